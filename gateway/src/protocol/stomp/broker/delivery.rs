//! A message on its way to one subscriber, and the MESSAGE frame that it becomes.

use std::sync::Arc;

use bytes::Bytes;

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
    /// The MESSAGE frame for a subscription whose id is `subscription`. The sender's own headers are in it.
    pub fn encode(&self, version: Version, subscription: Option<&str>) -> Bytes {
        let tag = self.tag.to_string();
        let sent = &self.message.headers;
        let own = |name: &str| OWN.contains(&name) || name == REDELIVERED.0;
        let mut headers: Vec<_> = sent.iter().filter(|(name, _)| !own(name)).collect();
        if self.redelivered {
            headers.push(REDELIVERED);
        }
        let body = MessageBody::new(&Message {
            destination: &self.message.destination,
            message_id: &tag,
            content_type: sent.get("content-type"),
            headers: &headers,
            body: &self.message.body,
        });
        let ack = (self.needs_ack && version == Version::V1_2).then_some(tag.as_str());
        let mut frame = Vec::with_capacity(64 + body.tail(version).len());
        encoder::write_prefix(&mut frame, version, subscription, ack);
        frame.extend_from_slice(body.tail(version));
        Bytes::from(frame)
    }
}

const REDELIVERED: (&str, &str) = ("redelivered", "true");
