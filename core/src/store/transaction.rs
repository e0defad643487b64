//! Transactions that take a seq outside the hot path: the conversation is locked first, then decided, then the event
//! is appended, its projection changed and the outbox filled.

use chatcluster_contracts::{
    event::Event,
    ids::{ConversationId, WorkspaceId},
    problem::{Code, Problem},
    record::NotificationRecord,
    seq::Seq,
    topics::Topic,
};
use jiff::Timestamp;
use sqlx::{Any, AnyConnection, Transaction};

use super::{
    Context, Result, Store, StoreError, conversations,
    dialect::Dialect,
    events::{self, EventRow},
    notifications,
    outbox::{self, NewOutboxRow},
    script::Script,
    sql::signed,
};
use crate::{clock, domain::conversation::Conversation};

/// Runs of a transaction that keeps losing against others.
const ATTEMPTS: usize = 5;

pub(super) struct Write {
    transaction: Transaction<'static, Any>,
    context: Context,
    shards: Vec<u32>,
    /// One time for everything the transaction writes.
    pub(super) now: Timestamp,
}

impl Store {
    pub(super) async fn write(&self) -> Result<Write> {
        let context = self.0.context.clone();
        let transaction = self.0.write.begin_with(context.dialect.begin()).await?;
        Ok(Write { transaction, context, shards: Vec::new(), now: clock::now() })
    }
}

/// Runs a transaction again that lost a race against others, a few times.
pub(super) async fn retrying<T, F: Future<Output = Result<T>>>(run: impl Fn() -> F) -> Result<T> {
    for _ in 1..ATTEMPTS {
        match run().await {
            Err(error) if error.is_contention() => tracing::debug!(%error, "transaction lost a race; running it again"),
            other => return other,
        }
    }
    run().await
}

impl Write {
    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.context.dialect
    }

    /// The conversation, its row locked until the end of the transaction.
    pub(super) async fn lock(&mut self, id: &ConversationId, workspace: &WorkspaceId) -> Result<Conversation> {
        let locked = conversations::lock(&mut self.transaction, self.context.dialect, id).await?;
        locked.filter(|conversation| conversation.workspace_id == *workspace).ok_or_else(|| {
            StoreError::Refused(Problem::new(Code::UnknownConversation, "there is no such conversation"))
        })
    }

    /// Appends the event that `make` builds for the next seq. The conversation must be locked by this transaction.
    pub(super) async fn append(
        &mut self,
        conversation: &mut Conversation,
        make: impl FnOnce(Seq, Timestamp) -> Event,
    ) -> Result<Seq> {
        let seq = conversation.last_seq.next();
        let row = EventRow::of(&make(seq, self.now), self.now);
        let outbox = NewOutboxRow {
            topic: Topic::Messages,
            key: conversation.id.as_str().to_owned(),
            follows: None,
            event_type: row.event_type,
            payload: row.payload.clone(),
            traceparent: None,
        };
        let mut script = Script::new(self.context.dialect);
        events::insert(&mut script, &[row]);
        let shards = outbox::insert(&mut script, &self.context, &[outbox])?;
        script.statement(
            "UPDATE conversations SET last_seq = ? WHERE id = ?",
            [signed(seq).into(), conversation.id.as_str().into()],
        );
        script.execute(&mut self.transaction).await?;
        self.shards.extend(shards);
        conversation.last_seq = seq;
        Ok(seq)
    }

    /// Stores notifications and tells of them.
    pub(super) async fn notify(&mut self, records: &[NotificationRecord], event_type: &'static str) -> Result<()> {
        let mut script = Script::new(self.context.dialect);
        notifications::insert(&mut script, records);
        script.execute(&mut self.transaction).await?;
        let rows: Vec<_> = records.iter().map(|record| notifications::row(record, event_type)).collect();
        self.announce(&rows).await
    }

    /// Puts records into the outbox.
    pub(super) async fn announce(&mut self, rows: &[NewOutboxRow]) -> Result<()> {
        let mut script = Script::new(self.context.dialect);
        let shards = outbox::insert(&mut script, &self.context, rows)?;
        script.execute(&mut self.transaction).await?;
        self.shards.extend(shards);
        Ok(())
    }

    pub(super) async fn commit(self) -> Result<()> {
        self.transaction.commit().await?;
        self.context.wake.committed(self.shards);
        Ok(())
    }
}
