//! A message on its way to one subscriber, and the MESSAGE frame that it becomes.

use std::sync::Arc;

use bytes::BufMut;

use super::{
    super::{
        encoder::{self, Message, MessageBody},
        frame::Version,
        ledger::AckId,
        request::Send,
    },
    Subscriber,
};

/// Headers that the broker says itself, or that were meant for it.
const OWN: [&str; 8] =
    ["destination", "content-type", "content-length", "receipt", "transaction", "message-id", "subscription", "ack"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub to: Subscriber,
    /// Both the `message-id` and the `ack` of the MESSAGE, so that every version acknowledges by it.
    pub tag: AckId,
    pub message: Arc<Send>,
    /// Somebody received it before and did not acknowledge it.
    pub redelivered: bool,
    pub needs_ack: bool,
}

impl Delivery {
    /// What all who receive the message share. The sender's own headers are in it; the `message-id` is not.
    pub fn body(&self) -> MessageBody {
        let sent = &self.message.headers;
        let own = |name: &str| OWN.contains(&name) || name == REDELIVERED.0;
        let mut headers: Vec<_> = sent.iter().filter(|(name, _)| !own(name)).collect();
        if self.redelivered {
            headers.push(REDELIVERED);
        }
        MessageBody::new(&Message {
            destination: &self.message.destination,
            message_id: None,
            content_type: sent.get("content-type"),
            headers: &headers,
            body: &self.message.body,
        })
    }

    /// What stands before the [`body`](Self::body) for a subscription whose id is `subscription`. Where nothing is
    /// acknowledged, one `tag` may do for all who receive the message.
    pub fn write_prefix(&self, out: &mut impl BufMut, version: Version, subscription: Option<&str>, tag: AckId) {
        let tag = tag.to_string();
        let ack = (self.needs_ack && version == Version::V1_2).then_some(tag.as_str());
        encoder::write_prefix(out, version, subscription, ack);
        encoder::write_header(out, version, "message-id", &tag);
    }
}

const REDELIVERED: (&str, &str) = ("redelivered", "true");
