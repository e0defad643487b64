//! `notifications`, keyed by the user.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ids::UserId, time};

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
    #[serde(default)]
    pub read: bool,
    #[serde(with = "time::text")]
    pub created_at: Timestamp,
}
