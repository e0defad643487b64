//! What is told without a seq: typing, status changes, notifications, presence. One for all who subscribed to its queue.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use chatcluster_contracts::ids::ConversationId;
use serde::Deserialize;

use super::frames::{JSON, Reader, SharedFrames};
use crate::protocol::stomp::{
    destination::SubscribeTo,
    encoder::{self, Message, MessageBody},
    ledger::AckId,
};

/// Notices have no seq; this tells them apart.
static NEXT: AtomicU64 = AtomicU64::new(1);

#[derive(Debug)]
pub(crate) struct Notice {
    pub(super) to: SubscribeTo,
    pub(super) number: u64,
    body: MessageBody,
    shared: SharedFrames,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

impl Notice {
    /// What a worker has for a user, by its JSON.
    pub(crate) fn of(payload: &[u8]) -> Self {
        let kind = serde_json::from_slice::<Kind<'_>>(payload).ok().and_then(|it| it.kind).unwrap_or_default();
        let to = match &*kind {
            "TYPING" => SubscribeTo::Typing,
            "STATUS" => SubscribeTo::StatusUpdates,
            "PRESENCE" => SubscribeTo::Presence,
            _ => SubscribeTo::Notifications,
        };
        Self::new(to, &[("type", &kind)], payload)
    }

    /// What is told to a room, by its JSON.
    pub(crate) fn of_room(room: &ConversationId, kind: &str, json: &[u8]) -> Self {
        Self::new(SubscribeTo::Room(room.clone()), &[("type", kind), ("room-id", room.as_str())], json)
    }

    pub(super) fn new(to: SubscribeTo, headers: &[(&str, &str)], json: &[u8]) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let body = MessageBody::new(&Message {
            destination: &to.to_string(),
            message_id: Some(&message_id(number)),
            content_type: Some(JSON),
            headers,
            body: json,
        });
        Self { to, number, body, shared: SharedFrames::default() }
    }

    /// The frame for one subscription.
    pub(super) fn frame(&mut self, reader: Reader<'_>, ack: Option<AckId>) -> Bytes {
        let Self { body, shared, .. } = self;
        let make = || {
            let ack = reader.ack(ack);
            let prefix = encoder::prefix(reader.version, reader.subscription, ack.as_deref());
            reader.carrier.text_of(&[&prefix, body.tail(reader.version)])
        };
        if ack.is_some() { make() } else { shared.get(reader, make) }
    }
}

/// The `message-id` of a notice.
pub(super) fn message_id(number: u64) -> String {
    format!("n-{number:x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{protocol::stomp::Version, session::Carrier};

    #[test]
    fn each_kind_has_its_queue() {
        assert_eq!(Notice::of(br#"{"type":"TYPING"}"#).to, SubscribeTo::Typing);
        assert_eq!(Notice::of(br#"{"type":"STATUS","x":1}"#).to, SubscribeTo::StatusUpdates);
        assert_eq!(Notice::of(br#"{"type":"PRESENCE"}"#).to, SubscribeTo::Presence);
        for other in [r#"{"type":"CONVERSATION_CREATED"}"#, "{}", "nonsense"] {
            assert_eq!(Notice::of(other.as_bytes()).to, SubscribeTo::Notifications, "{other}");
        }
        let mut notice = Notice::of(br#"{"type":"TYPING"}"#);
        let reader = Reader { carrier: Carrier::Tcp, version: Version::V1_2, subscription: Some("s") };
        let frame = notice.frame(reader, None);
        let start = b"MESSAGE\nsubscription:s\ndestination:/user/queue/typing\nmessage-id:n-";
        assert!(frame.starts_with(start) && frame.ends_with(b"\n\n{\"type\":\"TYPING\"}\0"), "{frame:?}");
        assert_eq!(notice.frame(reader, None).as_ptr(), frame.as_ptr());
        assert_ne!(notice.frame(reader, Some(AckId::new(1))), frame);
    }
}
