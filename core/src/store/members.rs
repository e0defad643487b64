//! `conversation_members`: who belongs where, from which seq to which.

use chatcluster_contracts::{
    event::Event,
    ids::{ConversationId, UserId, WorkspaceId},
    problem::{Code, Problem},
    seq::Seq,
};
use sqlx::AnyConnection;

use super::{
    Result, Store, StoreError,
    sql::{id, integer, padded, padded_len, query, repeat, seq, signed, text},
    transaction::retrying,
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
    pub conversation_id: ConversationId,
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

    /// Makes `subject` a member; `None`: they were one already.
    pub async fn add_member(
        &self,
        id: &ConversationId,
        workspace: &WorkspaceId,
        actor: &UserId,
        subject: &UserId,
    ) -> Result<Option<Seq>> {
        retrying(|| self.add_member_once(id, workspace, actor, subject)).await
    }

    async fn add_member_once(
        &self,
        id: &ConversationId,
        workspace: &WorkspaceId,
        actor: &UserId,
        subject: &UserId,
    ) -> Result<Option<Seq>> {
        let mut write = self.write().await?;
        let mut conversation = write.lock(id, workspace).await?;
        let actor_is_member = joined(write.connection(), id, actor).await?.is_some();
        conversation.may_add(actor, actor_is_member, subject)?;
        if joined(write.connection(), id, subject).await?.is_some() {
            return Ok(None);
        }
        let event = |seq, created_at| Event::UserJoined {
            conversation_id: id.clone(),
            seq,
            user_id: subject.clone(),
            actor_id: actor.clone(),
            created_at,
        };
        let joined_seq = write.append(&mut conversation, event).await?;
        let now = write.now.as_millisecond();
        sqlx::query(
            "INSERT INTO conversation_members (conversation_id, user_id, joined_seq, joined_at) VALUES (?,?,?,?)",
        )
        .bind(id.as_str())
        .bind(subject.as_str())
        .bind(signed(joined_seq))
        .bind(now)
        .execute(write.connection())
        .await?;
        write.commit().await?;
        Ok(Some(joined_seq))
    }

    /// Ends a membership; `None`: there was none.
    pub async fn remove_member(
        &self,
        id: &ConversationId,
        workspace: &WorkspaceId,
        actor: &UserId,
        subject: &UserId,
    ) -> Result<Option<Seq>> {
        retrying(|| self.remove_member_once(id, workspace, actor, subject)).await
    }

    async fn remove_member_once(
        &self,
        id: &ConversationId,
        workspace: &WorkspaceId,
        actor: &UserId,
        subject: &UserId,
    ) -> Result<Option<Seq>> {
        let mut write = self.write().await?;
        let mut conversation = write.lock(id, workspace).await?;
        let actor_is_member = joined(write.connection(), id, actor).await?.is_some();
        conversation.may_remove(actor, actor_is_member, subject)?;
        if joined(write.connection(), id, subject).await?.is_none() {
            return Ok(None);
        }
        let event = |seq, created_at| Event::UserLeft {
            conversation_id: id.clone(),
            seq,
            user_id: subject.clone(),
            actor_id: actor.clone(),
            created_at,
        };
        let left_seq = write.append(&mut conversation, event).await?;
        sqlx::query(
            "UPDATE conversation_members SET left_seq = ? \
             WHERE conversation_id = ? AND user_id = ? AND left_seq IS NULL",
        )
        .bind(signed(left_seq))
        .bind(id.as_str())
        .bind(subject.as_str())
        .execute(write.connection())
        .await?;
        write.commit().await?;
        Ok(Some(left_seq))
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

    /// Who is entitled to event `at`.
    pub async fn members_at(&self, id: &ConversationId, at: Seq) -> Result<Vec<String>> {
        let asking = sqlx::query(
            "SELECT DISTINCT user_id FROM conversation_members \
             WHERE conversation_id = ? AND joined_seq <= ? AND (left_seq IS NULL OR left_seq >= ?)",
        );
        let rows = asking.bind(id.as_str()).bind(signed(at)).bind(signed(at)).fetch_all(&self.0.read).await?;
        Ok(rows.iter().map(|row| text(row, "user_id")).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Those of `users` who are members now, with the seq they joined at, and the head. The head is read first: an
    /// event that comes in between is beyond it.
    pub async fn memberships_of(
        &self,
        id: &ConversationId,
        users: &[UserId],
    ) -> Result<Option<(Seq, Vec<(UserId, Seq)>)>> {
        let Some(conversation) = self.conversation(id).await? else { return Ok(None) };
        let mut found = Vec::with_capacity(users.len());
        for chunk in users.chunks(256) {
            let list = repeat("?", padded_len(chunk.len()), ",");
            let mut asking = query(format!(
                "SELECT user_id, joined_seq FROM conversation_members \
                 WHERE conversation_id = ? AND left_seq IS NULL AND user_id IN ({list})"
            ))
            .bind(id.as_str());
            for user in padded(chunk) {
                asking = asking.bind(user.as_str());
            }
            for row in asking.fetch_all(&self.0.read).await? {
                found.push((super::sql::id(&row, "user_id")?, seq(&row, "joined_seq")?));
            }
        }
        Ok(Some((conversation.last_seq, found)))
    }

    /// Every conversation of the user with its head and watermark, in one query; with `past` also those that were left.
    pub async fn memberships(&self, user: &UserId, workspace: &WorkspaceId, past: bool) -> Result<Vec<Membership>> {
        let current = if past { "" } else { " AND m.left_seq IS NULL" };
        let asking = query(format!(
            "SELECT m.conversation_id, m.joined_seq, m.left_seq, c.last_seq, COALESCE(a.delivered_seq, 0) AS delivered_seq \
             FROM conversation_members m JOIN conversations c ON c.id = m.conversation_id \
             LEFT JOIN message_acks a ON a.conversation_id = m.conversation_id AND a.user_id = m.user_id \
             WHERE m.user_id = ? AND c.workspace_id = ?{current} ORDER BY m.conversation_id, m.joined_seq"
        ));
        let rows = asking.bind(user.as_str()).bind(workspace.as_str()).fetch_all(&self.0.read).await?;
        rows.iter()
            .map(|row| {
                Ok(Membership {
                    conversation_id: id(row, "conversation_id")?,
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
