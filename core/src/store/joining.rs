//! Joining and leaving: each an event of its conversation, like any other.

use chatcluster_contracts::{
    event::Event,
    ids::{ConversationId, UserId, WorkspaceId},
    record::{UserChange, UserRecord},
    seq::Seq,
    topics::Topic,
};
use jiff::Timestamp;
use sqlx::AnyConnection;

use super::{Result, Store, members::joined, outbox::NewOutboxRow, sql::signed, transaction::retrying};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Join,
    Leave,
}

impl Store {
    /// Makes `subject` a member; `None`: they were one already.
    pub async fn add_member(
        &self,
        id: &ConversationId,
        workspace: &WorkspaceId,
        actor: &UserId,
        subject: &UserId,
    ) -> Result<Option<Seq>> {
        retrying(|| self.change_member(Change::Join, id, workspace, actor, subject)).await
    }

    /// Ends a membership; `None`: there was none.
    pub async fn remove_member(
        &self,
        id: &ConversationId,
        workspace: &WorkspaceId,
        actor: &UserId,
        subject: &UserId,
    ) -> Result<Option<Seq>> {
        retrying(|| self.change_member(Change::Leave, id, workspace, actor, subject)).await
    }

    /// The seq of the event; `None`: nothing was to be changed.
    async fn change_member(
        &self,
        change: Change,
        id: &ConversationId,
        workspace: &WorkspaceId,
        actor: &UserId,
        subject: &UserId,
    ) -> Result<Option<Seq>> {
        let mut write = self.write().await?;
        let mut conversation = write.lock(id, workspace).await?;
        let actor_is_member = joined(write.connection(), id, actor).await?.is_some();
        match change {
            Change::Join => conversation.may_add(actor, actor_is_member, subject)?,
            Change::Leave => conversation.may_remove(actor, actor_is_member, subject)?,
        }
        let is_member = joined(write.connection(), id, subject).await?.is_some();
        if is_member == (change == Change::Join) {
            return Ok(None);
        }
        let seq = write
            .append(&mut conversation, |seq, created_at| {
                let (conversation_id, user_id, actor_id) = (id.clone(), subject.clone(), actor.clone());
                match change {
                    Change::Join => Event::UserJoined { conversation_id, seq, user_id, actor_id, created_at },
                    Change::Leave => Event::UserLeft { conversation_id, seq, user_id, actor_id, created_at },
                }
            })
            .await?;
        let now = write.now;
        match change {
            Change::Join => begin(write.connection(), id, subject, seq, now).await?,
            Change::Leave => end(write.connection(), id, subject, seq).await?,
        }
        write.announce(&[user_row(change, workspace, subject, id, now)]).await?;
        write.commit().await?;
        Ok(Some(seq))
    }
}

async fn begin(
    connection: &mut AnyConnection,
    id: &ConversationId,
    user: &UserId,
    joined_seq: Seq,
    now: Timestamp,
) -> Result<()> {
    sqlx::query("INSERT INTO conversation_members (conversation_id, user_id, joined_seq, joined_at) VALUES (?,?,?,?)")
        .bind(id.as_str())
        .bind(user.as_str())
        .bind(signed(joined_seq))
        .bind(now.as_millisecond())
        .execute(&mut *connection)
        .await?;
    count_members(connection, id, 1).await
}

async fn end(connection: &mut AnyConnection, id: &ConversationId, user: &UserId, left_seq: Seq) -> Result<()> {
    let ending = sqlx::query(
        "UPDATE conversation_members SET left_seq = ? WHERE conversation_id = ? AND user_id = ? AND left_seq IS NULL",
    );
    ending.bind(signed(left_seq)).bind(id.as_str()).bind(user.as_str()).execute(&mut *connection).await?;
    count_members(connection, id, -1).await
}

/// The conversation must be locked by this transaction.
async fn count_members(connection: &mut AnyConnection, id: &ConversationId, change: i64) -> Result<()> {
    let counting = sqlx::query("UPDATE conversations SET member_count = member_count + ? WHERE id = ?");
    counting.bind(change).bind(id.as_str()).execute(connection).await?;
    Ok(())
}

/// For those who follow users and not conversations. It goes out after the event itself.
fn user_row(
    change: Change,
    workspace: &WorkspaceId,
    subject: &UserId,
    conversation: &ConversationId,
    now: Timestamp,
) -> NewOutboxRow {
    let change = match change {
        Change::Join => UserChange::UserJoined,
        Change::Leave => UserChange::UserLeft,
    };
    let record = UserRecord {
        change,
        user_id: subject.clone(),
        workspace_id: workspace.clone(),
        conversation_id: Some(conversation.clone()),
        timestamp: now,
    };
    NewOutboxRow {
        topic: Topic::Users,
        key: subject.as_str().to_owned(),
        follows: Some(conversation.clone()),
        event_type: change.as_str(),
        payload: serde_json::to_string(&record).unwrap_or_default(),
        traceparent: None,
    }
}
