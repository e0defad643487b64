//! What may be sent, and what became of it.

use chatcluster_contracts::{
    event::Event,
    ids::{ClientMsgId, ConversationId, MessageId, UserId, WorkspaceId},
    problem::{Code, Problem},
    seq::Seq,
    trace::TraceParent,
};
use jiff::Timestamp;

/// Longest content of a message, in bytes of UTF-8.
pub const MAX_CONTENT_BYTES: usize = 64 * 1024;
pub const MAX_ATTACHMENTS: usize = 16;

/// The text of a message: not empty, not longer than [`MAX_CONTENT_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content(String);

impl Content {
    pub fn parse(text: String) -> Result<Self, Problem> {
        if text.trim().is_empty() {
            return Err(Problem::new(Code::InvalidField, "content must not be empty"));
        }
        if text.len() > MAX_CONTENT_BYTES {
            let detail = format!("content has at most {MAX_CONTENT_BYTES} bytes, this one {}", text.len());
            return Err(Problem::new(Code::PayloadTooLarge, detail));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A message somebody wants stored. The sender comes from a verified token.
#[derive(Debug, Clone)]
pub struct NewMessage {
    pub sender_id: UserId,
    pub workspace_id: WorkspaceId,
    pub conversation_id: ConversationId,
    pub client_msg_id: ClientMsgId,
    pub content: Content,
    pub thread_root_id: Option<MessageId>,
    pub attachment_ids: Vec<String>,
    pub trace: Option<TraceParent>,
}

impl NewMessage {
    /// The event under which the message enters the conversation's log.
    pub fn event(&self, stored: &Stored) -> Event {
        Event::Message {
            conversation_id: self.conversation_id.clone(),
            seq: stored.seq,
            message_id: stored.message_id.clone(),
            client_msg_id: self.client_msg_id.clone(),
            sender_id: self.sender_id.clone(),
            content: self.content.as_str().to_owned(),
            thread_root_id: self.thread_root_id.clone(),
            attachment_ids: self.attachment_ids.clone(),
            created_at: stored.created_at,
        }
    }
}

/// Checks the names of attachments; whether they exist is the attachment store's question.
pub fn attachment_ids(ids: Vec<String>) -> Result<Vec<String>, Problem> {
    if ids.len() > MAX_ATTACHMENTS {
        let detail = format!("attachmentIds has at most {MAX_ATTACHMENTS} entries");
        return Err(Problem::new(Code::InvalidField, detail));
    }
    match ids.iter().find_map(|id| MessageId::parse(id).err()) {
        Some(error) => Err(Problem::new(Code::InvalidField, format!("attachmentIds: {error}"))),
        None => Ok(ids),
    }
}

/// The result of a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub created_at: Timestamp,
    /// Nothing was stored by this call: the result is that of an earlier one.
    pub repeated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_neither_empty_nor_too_long() {
        assert_eq!(Content::parse(" \n".into()).unwrap_err().code, Code::InvalidField);
        assert!(Content::parse("x".repeat(MAX_CONTENT_BYTES)).is_ok());
        assert_eq!(Content::parse("x".repeat(MAX_CONTENT_BYTES + 1)).unwrap_err().code, Code::PayloadTooLarge);
    }

    #[test]
    fn attachments_are_few_and_well_named() {
        assert!(attachment_ids(vec!["a-1".into()]).is_ok());
        assert!(attachment_ids(vec!["a/1".into()]).is_err());
        assert!(attachment_ids(vec!["a".into(); MAX_ATTACHMENTS + 1]).is_err());
    }
}
