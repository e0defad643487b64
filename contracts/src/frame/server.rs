//! What the gateway says. Conversation events are not here: their JSON is made by core ([`crate::event::Event`]).

use serde::Serialize;

use crate::{
    ids::{ConversationId, MessageId, UserId},
    problem::Problem,
    record::{NotificationRecord, StatusRecord},
    seq::Seq,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
pub enum ServerFrame<'a> {
    Connected {
        session_id: &'a str,
        user_id: &'a UserId,
        /// The client should be heard of at least this often.
        heartbeat_ms: u64,
    },
    /// Hand it back in CONNECT to go on from here.
    Position {
        position: &'a str,
    },
    Ack {
        client_msg_id: &'a str,
        message_id: &'a str,
        conversation_id: &'a str,
        seq: Seq,
    },
    Typing {
        conversation_id: &'a ConversationId,
        user_id: &'a UserId,
        is_typing: bool,
    },
    Status {
        message_id: &'a MessageId,
        conversation_id: &'a ConversationId,
        status: crate::record::Status,
        user_id: &'a UserId,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<Seq>,
        timestamp: String,
    },
    Notification {
        notification: &'a NotificationRecord,
    },
    Presence {
        user_id: &'a UserId,
        online: bool,
        /// When it changed: an older frame that comes later says nothing new.
        since: String,
    },
    /// The events `from..=head` are not sent: read them by REST. What follows goes on after `head`.
    Resync {
        conversation_id: &'a ConversationId,
        from: Seq,
        head: Seq,
    },
    Error {
        code: &'a str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_msg_id: Option<&'a str>,
        /// Of a refused JOIN or LEAVE.
        #[serde(skip_serializing_if = "Option::is_none")]
        room_id: Option<&'a ConversationId>,
    },
    Pong,
    /// The session listens to the room: events after `seq` follow, and records.
    Joined {
        room_id: &'a ConversationId,
        seq: Seq,
    },
    /// It does not any more.
    Left {
        room_id: &'a ConversationId,
    },
    /// Records of the room may be missing, those that came after `since` if that is known.
    Gap {
        room_id: &'a ConversationId,
        #[serde(skip_serializing_if = "Option::is_none")]
        since: Option<&'a str>,
    },
}

impl<'a> ServerFrame<'a> {
    pub fn error(problem: &'a Problem, client_msg_id: Option<&'a str>) -> Self {
        Self::Error { code: problem.code.as_str(), message: &problem.detail, client_msg_id, room_id: None }
    }

    /// A JOIN or LEAVE is refused.
    pub fn room_error(problem: &'a Problem, room_id: &'a ConversationId) -> Self {
        let (code, message) = (problem.code.as_str(), problem.detail.as_str());
        Self::Error { code, message, client_msg_id: None, room_id: Some(room_id) }
    }

    pub fn status(record: &'a StatusRecord) -> Self {
        Self::Status {
            message_id: &record.message_id,
            conversation_id: &record.conversation_id,
            status: record.status,
            user_id: &record.user_id,
            seq: record.seq,
            timestamp: crate::time::format(record.timestamp),
        }
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
