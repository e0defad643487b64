//! `message_acks`: watermarks, one row a member, and what the senders are told when they move.

use chatcluster_contracts::{
    ids::{ConversationId, UserId, WorkspaceId},
    problem::{Code, Problem},
    record::StatusRecord,
    seq::Seq,
    topics::Topic,
};

use super::{
    Result, Store, StoreError, members,
    outbox::NewOutboxRow,
    sql::{id, query, seq, signed},
    transaction::{Write, retrying},
};
use crate::domain::receipt::{NewestOf, Watermarks, status_records};

/// Senders told of one move at most, and how far back messages are looked at: a member who returns after a year must
/// not make a transaction of a year.
const MAX_TOLD: i64 = 256;
const MAX_RANGE: u64 = 1_000;

/// Members in one page of watermarks.
const MAX_MARKS: i64 = 1_000;

#[derive(Debug, Clone)]
pub struct MemberMarks {
    pub user_id: UserId,
    pub marks: Watermarks,
}

impl Store {
    /// Moves the watermarks forward and answers where they stand. Senders are told through the outbox in the same
    /// transaction.
    pub async fn move_watermarks(
        &self,
        conversation: &ConversationId,
        workspace: &WorkspaceId,
        user: &UserId,
        delivered: Option<Seq>,
        read: Option<Seq>,
    ) -> Result<Watermarks> {
        let access = self.access(conversation, workspace, user).await?;
        let head = access.conversation.last_seq;
        // Most receipts repeat what is known: find out without a transaction.
        let known = self.watermarks(conversation, user).await?.unwrap_or_default();
        if known.moved(delivered, read, head) == known {
            return Ok(known);
        }
        retrying(|| self.move_watermarks_once(conversation, user, head, delivered, read)).await
    }

    async fn move_watermarks_once(
        &self,
        conversation: &ConversationId,
        user: &UserId,
        head: Seq,
        delivered: Option<Seq>,
        read: Option<Seq>,
    ) -> Result<Watermarks> {
        let mut write = self.write().await?;
        if members::joined(write.connection(), conversation, user).await?.is_none() {
            return Err(StoreError::Refused(Problem::new(Code::NotAMember, "only members send receipts")));
        }
        let stored = write.stored_marks(self.0.context.dialect.for_update(), conversation, user).await?;
        let before = stored.unwrap_or_default();
        let after = before.moved(delivered, read, head);
        if before == after {
            return Ok(before);
        }
        write.store_marks(conversation, user, stored.is_some(), after).await?;
        let newest = write.newest_of_senders(conversation, user, before, after).await?;
        let rows: Vec<NewOutboxRow> = status_records(conversation, user, before, after, &newest, write.now)
            .into_iter()
            .map(|(sender, record)| status_row(&sender, &record))
            .collect();
        write.announce(&rows).await?;
        write.commit().await?;
        Ok(after)
    }

    async fn watermarks(&self, conversation: &ConversationId, user: &UserId) -> Result<Option<Watermarks>> {
        let asking =
            sqlx::query("SELECT delivered_seq, read_seq FROM message_acks WHERE conversation_id = ? AND user_id = ?");
        let row = asking.bind(conversation.as_str()).bind(user.as_str()).fetch_optional(&self.0.read).await?;
        Ok(row.as_ref().map(marks).transpose()?)
    }

    /// Watermarks of the current members who have any.
    pub async fn member_watermarks(&self, conversation: &ConversationId) -> Result<Vec<MemberMarks>> {
        let asking = sqlx::query(
            "SELECT m.user_id, COALESCE(a.delivered_seq, 0) AS delivered_seq, COALESCE(a.read_seq, 0) AS read_seq \
             FROM conversation_members m LEFT JOIN message_acks a \
             ON a.conversation_id = m.conversation_id AND a.user_id = m.user_id \
             WHERE m.conversation_id = ? AND m.left_seq IS NULL ORDER BY m.user_id LIMIT ?",
        );
        let rows = asking.bind(conversation.as_str()).bind(MAX_MARKS).fetch_all(&self.0.read).await?;
        rows.iter().map(|row| Ok(MemberMarks { user_id: id(row, "user_id")?, marks: marks(row)? })).collect()
    }
}

impl Write {
    async fn stored_marks(
        &mut self,
        for_update: &str,
        conversation: &ConversationId,
        user: &UserId,
    ) -> Result<Option<Watermarks>> {
        let asking = query(format!(
            "SELECT delivered_seq, read_seq FROM message_acks WHERE conversation_id = ? AND user_id = ?{for_update}"
        ));
        let row = asking.bind(conversation.as_str()).bind(user.as_str()).fetch_optional(self.connection()).await?;
        Ok(row.as_ref().map(marks).transpose()?)
    }

    async fn store_marks(
        &mut self,
        conversation: &ConversationId,
        user: &UserId,
        exists: bool,
        marks: Watermarks,
    ) -> Result<()> {
        let storing = if exists {
            "UPDATE message_acks SET delivered_seq = ?, read_seq = ?, updated_at = ? \
             WHERE conversation_id = ? AND user_id = ?"
        } else {
            "INSERT INTO message_acks (delivered_seq, read_seq, updated_at, conversation_id, user_id) VALUES (?,?,?,?,?)"
        };
        let now = self.now.as_millisecond();
        sqlx::query(storing)
            .bind(signed(marks.delivered))
            .bind(signed(marks.read))
            .bind(now)
            .bind(conversation.as_str())
            .bind(user.as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Per other sender the newest message of what was read now, and the newest of what was only delivered.
    async fn newest_of_senders(
        &mut self,
        conversation: &ConversationId,
        reader: &UserId,
        before: Watermarks,
        after: Watermarks,
    ) -> Result<Vec<NewestOf>> {
        let mut found = Vec::new();
        let ranges = [(before.read, after.read), (before.delivered.max(after.read), after.delivered)];
        for (from, to) in ranges.into_iter().filter(|(from, to)| from < to) {
            let from = from.max(Seq::new(to.get().saturating_sub(MAX_RANGE)));
            let asking = sqlx::query(
                "SELECT m.id, m.sender_id, m.seq FROM messages m JOIN (SELECT MAX(seq) AS seq FROM messages \
                 WHERE conversation_id = ? AND seq > ? AND seq <= ? AND sender_id <> ? GROUP BY sender_id LIMIT ?) newest \
                 ON newest.seq = m.seq WHERE m.conversation_id = ?",
            );
            let rows = asking
                .bind(conversation.as_str())
                .bind(signed(from))
                .bind(signed(to))
                .bind(reader.as_str())
                .bind(MAX_TOLD)
                .bind(conversation.as_str())
                .fetch_all(self.connection())
                .await?;
            for row in &rows {
                found.push(NewestOf {
                    sender_id: id(row, "sender_id")?,
                    message_id: id(row, "id")?,
                    seq: seq(row, "seq")?,
                });
            }
        }
        Ok(found)
    }
}

fn marks(row: &sqlx::any::AnyRow) -> Result<Watermarks, sqlx::Error> {
    Ok(Watermarks { delivered: seq(row, "delivered_seq")?, read: seq(row, "read_seq")? })
}

/// What a sender is told. It follows the message, and what was told of it before.
pub(super) fn status_row(sender: &UserId, record: &StatusRecord) -> NewOutboxRow {
    NewOutboxRow {
        topic: Topic::Status,
        key: sender.as_str().to_owned(),
        follows: Some(record.conversation_id.clone()),
        event_type: record.status.as_str(),
        payload: serde_json::to_string(record).unwrap_or_default(),
        traceparent: None,
    }
}
