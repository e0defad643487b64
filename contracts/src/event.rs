//! Conversation events: everything that is ordered takes a seq.
//!
//! An event's JSON is made once, by core, and is at the same time the outbox payload, the Kafka value and the native
//! frame that clients read. Nobody on the way re-encodes it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{ClientMsgId, ConversationId, MessageId, UserId},
    seq::Seq,
    time,
};

/// One event of a conversation's ordered log, exactly as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
pub enum Event {
    Message {
        conversation_id: ConversationId,
        seq: Seq,
        message_id: MessageId,
        client_msg_id: ClientMsgId,
        sender_id: UserId,
        content: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        thread_root_id: Option<MessageId>,
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        attachment_ids: Vec<String>,
        #[serde(with = "time::text")]
        created_at: Timestamp,
    },
    MessageEdited {
        conversation_id: ConversationId,
        seq: Seq,
        message_id: MessageId,
        user_id: UserId,
        content: String,
        version: u32,
        #[serde(with = "time::text")]
        created_at: Timestamp,
    },
    MessageDeleted {
        conversation_id: ConversationId,
        seq: Seq,
        message_id: MessageId,
        user_id: UserId,
        #[serde(with = "time::text")]
        created_at: Timestamp,
    },
    ReactionAdded {
        conversation_id: ConversationId,
        seq: Seq,
        message_id: MessageId,
        user_id: UserId,
        emoji: String,
        #[serde(with = "time::text")]
        created_at: Timestamp,
    },
    ReactionRemoved {
        conversation_id: ConversationId,
        seq: Seq,
        message_id: MessageId,
        user_id: UserId,
        emoji: String,
        #[serde(with = "time::text")]
        created_at: Timestamp,
    },
    MessagePinned {
        conversation_id: ConversationId,
        seq: Seq,
        message_id: MessageId,
        user_id: UserId,
        #[serde(with = "time::text")]
        created_at: Timestamp,
    },
    MessageUnpinned {
        conversation_id: ConversationId,
        seq: Seq,
        message_id: MessageId,
        user_id: UserId,
        #[serde(with = "time::text")]
        created_at: Timestamp,
    },
    UserJoined {
        conversation_id: ConversationId,
        seq: Seq,
        user_id: UserId,
        /// Who added them; the same as `user_id` for those who joined by themselves.
        actor_id: UserId,
        #[serde(with = "time::text")]
        created_at: Timestamp,
    },
    UserLeft {
        conversation_id: ConversationId,
        seq: Seq,
        user_id: UserId,
        actor_id: UserId,
        #[serde(with = "time::text")]
        created_at: Timestamp,
    },
}

/// The event's kind by its wire name: Kafka header `eventType`, outbox column `type`, stream entry field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    Message,
    MessageEdited,
    MessageDeleted,
    ReactionAdded,
    ReactionRemoved,
    MessagePinned,
    MessageUnpinned,
    UserJoined,
    UserLeft,
}

impl EventType {
    pub const ALL: [Self; 9] = [
        Self::Message,
        Self::MessageEdited,
        Self::MessageDeleted,
        Self::ReactionAdded,
        Self::ReactionRemoved,
        Self::MessagePinned,
        Self::MessageUnpinned,
        Self::UserJoined,
        Self::UserLeft,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "MESSAGE",
            Self::MessageEdited => "MESSAGE_EDITED",
            Self::MessageDeleted => "MESSAGE_DELETED",
            Self::ReactionAdded => "REACTION_ADDED",
            Self::ReactionRemoved => "REACTION_REMOVED",
            Self::MessagePinned => "MESSAGE_PINNED",
            Self::MessageUnpinned => "MESSAGE_UNPINNED",
            Self::UserJoined => "USER_JOINED",
            Self::UserLeft => "USER_LEFT",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Does this event change who receives the next one?
    pub const fn changes_membership(self) -> bool {
        matches!(self, Self::UserJoined | Self::UserLeft)
    }
}

impl Event {
    pub fn event_type(&self) -> EventType {
        match self {
            Self::Message { .. } => EventType::Message,
            Self::MessageEdited { .. } => EventType::MessageEdited,
            Self::MessageDeleted { .. } => EventType::MessageDeleted,
            Self::ReactionAdded { .. } => EventType::ReactionAdded,
            Self::ReactionRemoved { .. } => EventType::ReactionRemoved,
            Self::MessagePinned { .. } => EventType::MessagePinned,
            Self::MessageUnpinned { .. } => EventType::MessageUnpinned,
            Self::UserJoined { .. } => EventType::UserJoined,
            Self::UserLeft { .. } => EventType::UserLeft,
        }
    }

    pub fn conversation_id(&self) -> &ConversationId {
        match self {
            Self::Message { conversation_id, .. }
            | Self::MessageEdited { conversation_id, .. }
            | Self::MessageDeleted { conversation_id, .. }
            | Self::ReactionAdded { conversation_id, .. }
            | Self::ReactionRemoved { conversation_id, .. }
            | Self::MessagePinned { conversation_id, .. }
            | Self::MessageUnpinned { conversation_id, .. }
            | Self::UserJoined { conversation_id, .. }
            | Self::UserLeft { conversation_id, .. } => conversation_id,
        }
    }

    pub fn seq(&self) -> Seq {
        match self {
            Self::Message { seq, .. }
            | Self::MessageEdited { seq, .. }
            | Self::MessageDeleted { seq, .. }
            | Self::ReactionAdded { seq, .. }
            | Self::ReactionRemoved { seq, .. }
            | Self::MessagePinned { seq, .. }
            | Self::MessageUnpinned { seq, .. }
            | Self::UserJoined { seq, .. }
            | Self::UserLeft { seq, .. } => *seq,
        }
    }

    /// Who joined or left, for the events that change membership.
    pub fn subject(&self) -> Option<&UserId> {
        match self {
            Self::UserJoined { user_id, .. } | Self::UserLeft { user_id, .. } => Some(user_id),
            _ => None,
        }
    }

    /// The JSON that travels. Its first members are `type`, `conversationId`, `seq`, in this order.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What the road needs of an event: the rest of its JSON stays unread from core to client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHead {
    pub event_type: EventType,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    /// Membership events only.
    pub subject: Option<UserId>,
}

#[derive(Debug, thiserror::Error)]
pub enum InvalidEvent {
    #[error("the event is not the JSON that was agreed: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the event type {0:?} is unknown")]
    UnknownType(String),
    #[error("a {0} event without userId")]
    NoSubject(&'static str),
    #[error("an event with seq 0")]
    NoSeq,
}

impl EventHead {
    /// Reads the head of an event's JSON.
    pub fn of_json(payload: &[u8]) -> Result<Self, InvalidEvent> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(borrow, rename = "type")]
            event_type: std::borrow::Cow<'a, str>,
            conversation_id: ConversationId,
            seq: Seq,
            user_id: Option<UserId>,
        }
        let wire: Wire<'_> = serde_json::from_slice(payload)?;
        let event_type = EventType::parse(&wire.event_type)
            .ok_or_else(|| InvalidEvent::UnknownType(wire.event_type.into_owned()))?;
        if wire.seq == Seq::ZERO {
            return Err(InvalidEvent::NoSeq);
        }
        let subject = wire.user_id.filter(|_| event_type.changes_membership());
        if event_type.changes_membership() && subject.is_none() {
            return Err(InvalidEvent::NoSubject(event_type.as_str()));
        }
        Ok(Self { event_type, conversation_id: wire.conversation_id, seq: wire.seq, subject })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined() -> Event {
        Event::UserJoined {
            conversation_id: ConversationId::parse("c1").unwrap(),
            seq: Seq::new(7),
            user_id: UserId::parse("bob").unwrap(),
            actor_id: UserId::parse("ann").unwrap(),
            created_at: time::parse("2026-01-02T03:04:05.678Z").unwrap(),
        }
    }

    #[test]
    fn the_json_is_the_frame_clients_read() {
        let json = String::from_utf8(joined().to_json()).unwrap();
        assert_eq!(
            json,
            r#"{"type":"USER_JOINED","conversationId":"c1","seq":7,"userId":"bob","actorId":"ann","createdAt":"2026-01-02T03:04:05.678Z"}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), joined());
    }

    #[test]
    fn the_head_is_read_without_the_rest() {
        let head = EventHead::of_json(&joined().to_json()).unwrap();
        assert_eq!(head.seq, Seq::new(7));
        assert_eq!(head.subject.unwrap().as_str(), "bob");
        assert!(matches!(
            EventHead::of_json(br#"{"type":"NEW","conversationId":"c","seq":1}"#),
            Err(InvalidEvent::UnknownType(_))
        ));
        assert!(matches!(
            EventHead::of_json(br#"{"type":"MESSAGE","conversationId":"c","seq":0}"#),
            Err(InvalidEvent::NoSeq)
        ));
    }

    #[test]
    fn every_event_type_has_the_name_serde_writes() {
        for kind in EventType::ALL {
            assert_eq!(EventType::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(joined().event_type().as_str(), "USER_JOINED");
    }
}
