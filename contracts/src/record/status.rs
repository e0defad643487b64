//! `message-status-events`, keyed by the sender of the message.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{ConversationId, MessageId, UserId},
    seq::Seq,
    time,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Committed.
    Sent,
    /// A recipient's client confirmed it.
    Delivered,
    /// A recipient's read watermark passed it.
    Read,
}

impl Status {
    /// As it is written in records, and as their header `eventType`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "SENT",
            Self::Delivered => "DELIVERED",
            Self::Read => "READ",
        }
    }
}

/// A watermark moved up to `message_id`: it and everything of the same sender before it has this status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusRecord {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub status: Status,
    /// Who received or read (of [`Status::Sent`]: who sent); the record's key is who sent.
    pub user_id: UserId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seq: Option<Seq>,
    #[serde(with = "time::text")]
    pub timestamp: Timestamp,
}
