//! `typing-events`, keyed by the conversation; worth nothing a minute later.

use serde::{Deserialize, Serialize};

use crate::ids::{ConversationId, UserId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypingRecord {
    pub conversation_id: ConversationId,
    pub user_id: UserId,
    pub is_typing: bool,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
}
