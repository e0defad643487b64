//! `user.events`, keyed by the user: what changed about somebody.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{ConversationId, UserId, WorkspaceId},
    time,
};

/// What happened to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UserChange {
    /// The first connection opened.
    UserOnline,
    /// The last connection ended, and none came soon after.
    UserOffline,
    /// They became a member of the conversation named.
    UserJoined,
    /// They are no member of the conversation named any more.
    UserLeft,
}

impl UserChange {
    /// As it is written in records, and as their header `eventType`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserOnline => "USER_ONLINE",
            Self::UserOffline => "USER_OFFLINE",
            Self::UserJoined => "USER_JOINED",
            Self::UserLeft => "USER_LEFT",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRecord {
    #[serde(rename = "type")]
    pub change: UserChange,
    pub user_id: UserId,
    #[serde(default)]
    pub workspace_id: WorkspaceId,
    /// Of those who joined or left.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub conversation_id: Option<ConversationId>,
    #[serde(with = "time::text")]
    pub timestamp: Timestamp,
}
