//! `notifications`, keyed by the user.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{ConversationId, UserId},
    time,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationRecord {
    pub id: String,
    pub user_id: UserId,
    pub title: String,
    pub content: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub related_entity_id: Option<String>,
    /// Where to find what it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub conversation_id: Option<ConversationId>,
    #[serde(default)]
    pub read: bool,
    #[serde(with = "time::text")]
    pub created_at: Timestamp,
}

/// The types that the platform itself produces; others may put any on the topic.
impl NotificationRecord {
    /// Somebody wrote `@username`; the related entity is the message.
    pub const MENTION: &str = "MENTION";
    /// Somebody made the user a member of a new conversation, which is the related entity.
    pub const CONVERSATION_CREATED: &str = "CONVERSATION_CREATED";
}
