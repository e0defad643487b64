//! `messages`: history as it reads now, by cursor.

use chatcluster_contracts::{
    ids::{ClientMsgId, ConversationId, MessageId, UserId},
    seq::Seq,
};
use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::{
    Result, Store,
    sql::{id, optional_id, optional_text, query, seq, signed, text, time},
};

/// Messages in one page at most.
pub const MAX_HISTORY: u32 = 200;

#[derive(Debug, Clone)]
pub struct MessageRow {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub sender_id: UserId,
    pub client_msg_id: ClientMsgId,
    pub content: String,
    pub thread_root_id: Option<MessageId>,
    pub attachment_ids: Vec<String>,
    pub created_at: Timestamp,
}

/// Which page of the history.
#[derive(Debug, Clone, Copy)]
pub enum HistoryPage {
    Newest,
    /// The newest below this seq.
    Before(Seq),
    /// The oldest above this seq.
    After(Seq),
}

impl Store {
    /// Messages with `seq >= from`, ascending, at most `limit` (and [`MAX_HISTORY`]), and whether there are further ones
    /// in the page's direction.
    pub async fn history(
        &self,
        conversation: &ConversationId,
        from: Seq,
        page: HistoryPage,
        limit: u32,
    ) -> Result<(Vec<MessageRow>, bool)> {
        let (condition, bound, order) = match page {
            HistoryPage::Newest => ("seq <= ?", i64::MAX, "DESC"),
            HistoryPage::Before(seq) => ("seq < ?", signed(seq), "DESC"),
            HistoryPage::After(seq) => ("seq > ?", signed(seq), "ASC"),
        };
        let reading = query(format!(
            "SELECT id, conversation_id, seq, sender_id, client_msg_id, content, thread_root_id, attachment_ids, \
             created_at FROM messages WHERE conversation_id = ? AND seq >= ? AND {condition} ORDER BY seq {order} LIMIT ?"
        ));
        let limit = limit.clamp(1, MAX_HISTORY);
        let rows = reading
            .bind(conversation.as_str())
            .bind(signed(from))
            .bind(bound)
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.0.read)
            .await?;
        let mut messages: Vec<MessageRow> = rows.iter().map(message).collect::<Result<_, sqlx::Error>>()?;
        let more = messages.len() > limit as usize;
        messages.truncate(limit as usize);
        if order == "DESC" {
            messages.reverse();
        }
        Ok((messages, more))
    }
}

fn message(row: &AnyRow) -> Result<MessageRow, sqlx::Error> {
    let attachments = optional_text(row, "attachment_ids")?;
    Ok(MessageRow {
        message_id: id(row, "id")?,
        conversation_id: id(row, "conversation_id")?,
        seq: seq(row, "seq")?,
        sender_id: id(row, "sender_id")?,
        client_msg_id: id(row, "client_msg_id")?,
        content: text(row, "content")?,
        thread_root_id: optional_id(row, "thread_root_id")?,
        attachment_ids: attachments.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
        created_at: time(row, "created_at")?,
    })
}
