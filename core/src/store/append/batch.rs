//! One transaction for many sends: lock, look, decide, write, commit. Few round trips, because the row locks are held
//! meanwhile.

use chatcluster_contracts::ids::MessageId;
use sqlx::{AnyConnection, Connection};
use uuid::Uuid;

use super::{Outcome, facts, rows};
use crate::{
    clock,
    domain::{message::NewMessage, plan::plan},
    store::{Context, Result},
};

/// Answers in the order of the sends; an error means that nothing of the batch was stored, unless it is one of the
/// connection, which may have been lost during the commit.
pub(super) async fn run(
    connection: &mut AnyConnection,
    context: &Context,
    sends: &[NewMessage],
) -> Result<Vec<Outcome>> {
    let mut transaction = connection.begin_with(context.dialect.begin()).await?;
    let facts = facts::read(&mut transaction, context.dialect, sends).await?;
    let plan = plan(sends, facts, clock::now(), new_message_id);
    if plan.appended.is_empty() {
        transaction.rollback().await?;
        return Ok(plan.outcomes);
    }
    let shards = rows::write(&mut transaction, context, sends, &plan).await?;
    transaction.commit().await?;
    context.wake.committed(shards);
    Ok(plan.outcomes)
}

/// Version 7: in the order of creation, so that the primary key grows at its end.
fn new_message_id() -> MessageId {
    let mut buffer = Uuid::encode_buffer();
    let text = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
    // A UUID consists of characters an id may have; the parse cannot fail.
    MessageId::parse(text).unwrap_or_else(|_| new_message_id())
}
