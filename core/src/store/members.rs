//! `conversation_members`: who belongs where, from which seq to which.

use chatcluster_contracts::{
    ids::{ConversationId, UserId, WorkspaceId},
    problem::{Code, Problem},
    rpc::RoomFacts,
    seq::Seq,
};
use sqlx::AnyConnection;

use super::{
    Result, Store, StoreError,
    sql::{id, integer, optional_text, padded, padded_len, query, repeat, seq, signed, text},
    users::{User, user},
};
use crate::domain::conversation::Conversation;

/// What a member may do in a conversation follows from these two.
#[derive(Debug, Clone)]
pub struct Access {
    pub conversation: Conversation,
    pub joined_seq: Seq,
}

/// One interval of membership with what a backfill needs.
#[derive(Debug, Clone)]
pub struct Membership {
    pub user_id: UserId,
    pub conversation_id: ConversationId,
    pub facts: RoomFacts,
    pub head: Seq,
    pub joined_seq: Seq,
    pub left_seq: Option<Seq>,
    pub delivered_seq: Seq,
}

impl Membership {
    /// The highest seq the member is entitled to now.
    pub fn end(&self) -> Seq {
        self.left_seq.unwrap_or(self.head).min(self.head)
    }
}

/// Which memberships count besides those that last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    None,
    All,
    /// Those that began at this time, in ms since the epoch, or later.
    BegunSince(i64),
}

/// One interval of membership of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    pub user: UserId,
    pub joined: Seq,
    /// `None`: it lasts.
    pub left: Option<Seq>,
}

/// Which stays that are over count besides those that last: each that meets one of these.
#[derive(Debug, Clone, Copy, Default)]
pub struct Over {
    /// Those that ended with this event or a later one.
    pub ended_from: Option<Seq>,
    /// Those that began at this time, in ms since the epoch, or later.
    pub begun_since: Option<i64>,
}

/// Members in one page.
pub const MAX_MEMBERS: u32 = 500;

impl Store {
    /// The conversation, if it exists in the workspace and the user is a member.
    pub async fn access(&self, id: &ConversationId, workspace: &WorkspaceId, user: &UserId) -> Result<Access> {
        let conversation =
            self.conversation(id).await?.filter(|conversation| conversation.workspace_id == *workspace).ok_or_else(
                || StoreError::Refused(Problem::new(Code::UnknownConversation, "there is no such conversation")),
            )?;
        let mut connection = self.0.read.acquire().await?;
        match joined(&mut connection, id, user).await? {
            Some(joined_seq) => Ok(Access { conversation, joined_seq }),
            None => Err(StoreError::Refused(Problem::new(Code::NotAMember, "only members see a conversation"))),
        }
    }

    /// Current members in the order of their ids, from after `after`.
    pub async fn members(&self, id: &ConversationId, after: Option<&UserId>, limit: u32) -> Result<Vec<User>> {
        let asking = sqlx::query(
            "SELECT u.id, u.workspace_id, u.username, u.display_name, u.issuer \
             FROM conversation_members m JOIN users u ON u.id = m.user_id \
             WHERE m.conversation_id = ? AND m.left_seq IS NULL AND m.user_id > ? ORDER BY m.user_id LIMIT ?",
        );
        let rows = asking
            .bind(id.as_str())
            .bind(after.map_or("", UserId::as_str))
            .bind(i64::from(limit.clamp(1, MAX_MEMBERS)))
            .fetch_all(&self.0.read)
            .await?;
        Ok(rows.iter().map(user).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Who is entitled to event `at`; at most `limit` of them.
    pub async fn members_at(&self, id: &ConversationId, at: Seq, limit: u64) -> Result<Vec<String>> {
        let asking = sqlx::query(
            "SELECT DISTINCT user_id FROM conversation_members \
             WHERE conversation_id = ? AND joined_seq <= ? AND (left_seq IS NULL OR left_seq >= ?) LIMIT ?",
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let asking = asking.bind(id.as_str()).bind(signed(at)).bind(signed(at)).bind(limit);
        let rows = asking.fetch_all(&self.0.read).await?;
        Ok(rows.iter().map(|row| text(row, "user_id")).collect::<Result<_, sqlx::Error>>()?)
    }

    /// The stays of `users` that last, and those that are `over` and count all the same: then a user may have several. And
    /// the conversation, whose head is read first: an event that comes in between is beyond it.
    pub async fn stays_of(
        &self,
        id: &ConversationId,
        users: &[UserId],
        over: Over,
    ) -> Result<Option<(Conversation, Vec<Stay>)>> {
        let Some(conversation) = self.conversation(id).await? else { return Ok(None) };
        let mut found = Vec::with_capacity(users.len());
        for chunk in users.chunks(256) {
            let list = repeat("?", padded_len(chunk.len()), ",");
            let mut asking = query(format!(
                "SELECT user_id, joined_seq, left_seq FROM conversation_members WHERE conversation_id = ? \
                 AND (left_seq IS NULL OR left_seq >= ? OR joined_at >= ?) AND user_id IN ({list})"
            ))
            .bind(id.as_str())
            .bind(over.ended_from.map_or(i64::MAX, signed))
            .bind(over.begun_since.unwrap_or(i64::MAX));
            for user in padded(chunk) {
                asking = asking.bind(user.as_str());
            }
            for row in asking.fetch_all(&self.0.read).await? {
                found.push(Stay {
                    user: super::sql::id(&row, "user_id")?,
                    joined: seq(&row, "joined_seq")?,
                    left: integer(&row, "left_seq").ok().map(|value| Seq::new(value.unsigned_abs())),
                });
            }
        }
        Ok(Some((conversation, found)))
    }

    /// Every conversation of these users of a workspace with its head and the user's watermark, in one query. Each user's
    /// are in the order of their ids, then of joining.
    pub async fn memberships(
        &self,
        users: &[UserId],
        workspace: &WorkspaceId,
        ended: Ended,
    ) -> Result<Vec<Membership>> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let begun_since = match ended {
            Ended::None => i64::MAX,
            Ended::All => i64::MIN,
            Ended::BegunSince(ms) => ms,
        };
        let list = repeat("?", padded_len(users.len()), ",");
        let mut asking = query(format!(
            "SELECT m.user_id, m.conversation_id, m.joined_seq, m.left_seq, c.last_seq, c.is_open, c.fanout, \
             c.member_count, COALESCE(a.delivered_seq, 0) AS delivered_seq \
             FROM conversation_members m JOIN conversations c ON c.id = m.conversation_id \
             LEFT JOIN message_acks a ON a.conversation_id = m.conversation_id AND a.user_id = m.user_id \
             WHERE m.user_id IN ({list}) AND c.workspace_id = ? AND (m.left_seq IS NULL OR m.joined_at >= ?) \
             ORDER BY m.conversation_id, m.joined_seq"
        ));
        for user in padded(users) {
            asking = asking.bind(user.as_str());
        }
        let asking = asking.bind(workspace.as_str()).bind(begun_since);
        let rows = asking.fetch_all(&self.0.read).await?;
        rows.iter()
            .map(|row| {
                Ok(Membership {
                    user_id: id(row, "user_id")?,
                    conversation_id: id(row, "conversation_id")?,
                    facts: RoomFacts {
                        workspace_id: workspace.as_str().to_owned(),
                        open: integer(row, "is_open")? != 0,
                        member_count: integer(row, "member_count")?.unsigned_abs(),
                        fanout: optional_text(row, "fanout")?.unwrap_or_default(),
                    },
                    head: seq(row, "last_seq")?,
                    joined_seq: seq(row, "joined_seq")?,
                    left_seq: integer(row, "left_seq").ok().map(|value| Seq::new(value.unsigned_abs())),
                    delivered_seq: seq(row, "delivered_seq")?,
                })
            })
            .collect()
    }
}

/// The seq at which the user joined, if a member now.
pub(super) async fn joined(
    connection: &mut AnyConnection,
    conversation: &ConversationId,
    user: &UserId,
) -> Result<Option<Seq>> {
    let asking = sqlx::query(
        "SELECT joined_seq FROM conversation_members WHERE conversation_id = ? AND user_id = ? AND left_seq IS NULL",
    );
    let row = asking.bind(conversation.as_str()).bind(user.as_str()).fetch_optional(connection).await?;
    Ok(row.map(|row| seq(&row, "joined_seq")).transpose()?)
}
