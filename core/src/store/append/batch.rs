//! One transaction for many sends: lock, look, decide, write, commit. Few round trips, because the row locks are held
//! meanwhile.

use chatcluster_contracts::ids::MessageId;
use sqlx::AnyConnection;
use uuid::Uuid;

use super::{Outcome, facts, rows};
use crate::{
    clock,
    domain::{message::NewMessage, plan::plan},
    store::{Context, Result, script::Script},
};

/// Who begins and ends the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bounds {
    /// The batch, on a connection of the lane's own, without round trips of their own: the first command begins with the
    /// transaction and the second ends with it. After an error the transaction may still be open.
    Batch,
    /// The caller.
    Caller,
}

/// What became of a batch.
pub(super) struct Done {
    /// In the order of the sends.
    pub(super) outcomes: Vec<Outcome>,
    /// The outbox shards that got something.
    pub(super) shards: Vec<u32>,
}

/// An error means that nothing of the batch was stored, unless it is one of the connection, which may have been lost
/// during the commit.
pub(super) async fn run(
    connection: &mut AnyConnection,
    context: &Context,
    sends: &[NewMessage],
    bounds: Bounds,
) -> Result<Done> {
    let mut looking = Script::new(context.dialect);
    if bounds == Bounds::Batch {
        looking.statement(context.dialect.begin(), []);
    }
    let asked = facts::ask(&mut looking, context.dialect, sends);
    let mut answers = looking.fetch(connection).await?.into_iter();
    if bounds == Bounds::Batch {
        // the beginning has no rows
        answers.next();
    }
    let (facts, people) = facts::read(asked, answers)?;
    #[cfg(feature = "plants")]
    let facts = with_a_gap(facts);
    let plan = plan(sends, facts, clock::now(), new_message_id);
    #[cfg(feature = "plants")]
    if bounds == Bounds::Batch && chatcluster_service::plants::planted_once_in("ack-without-commit", 20) {
        sqlx::Executor::execute(connection, "ROLLBACK").await?;
        return Ok(Done { outcomes: plan.outcomes, shards: Vec::new() });
    }
    let mut writing = Script::new(context.dialect);
    let shards = rows::write(&mut writing, context, sends, &plan, &people)?;
    if bounds == Bounds::Batch {
        writing.statement("COMMIT", []);
    }
    writing.execute(connection).await?;
    Ok(Done { outcomes: plan.outcomes, shards })
}

/// Version 7: in the order of creation, so that the primary key grows at its end.
fn new_message_id() -> MessageId {
    let mut buffer = Uuid::encode_buffer();
    let text = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
    // A UUID consists of characters an id may have; the parse cannot fail.
    MessageId::parse(text).unwrap_or_else(|_| new_message_id())
}

#[cfg(feature = "plants")]
fn with_a_gap(mut facts: crate::domain::plan::Facts) -> crate::domain::plan::Facts {
    if chatcluster_service::plants::planted_once_in("seq-skips", 10) {
        facts.conversations.values_mut().for_each(|locked| locked.last_seq = locked.last_seq.next());
    }
    facts
}
