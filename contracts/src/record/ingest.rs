//! `message.ingest` and `chat-messages`: what external producers want stored as messages.

use serde::{Deserialize, Serialize};

use crate::ids::{ClientMsgId, ConversationId, UserId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngestRecord {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    pub conversation_id: ConversationId,
    pub sender_id: UserId,
    pub content: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_msg_id: Option<ClientMsgId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectRecord {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// Refused when absent, unless a service sender is configured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sender_id: Option<UserId>,
    pub recipient_id: UserId,
    pub conversation_id: ConversationId,
    pub content: String,
}
