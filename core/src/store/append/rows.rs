//! Writes a decided batch: three multi-row inserts and one update.

use chatcluster_contracts::topics::Topic;
use sqlx::AnyConnection;

use crate::{
    domain::{message::NewMessage, plan::Plan},
    store::{
        Context, Result,
        events::{self, EventRow},
        outbox::{self, NewOutboxRow},
        sql::{padded, padded_len, query, repeat, signed},
    },
};

/// Answers the outbox shards that got something.
pub(super) async fn write(
    connection: &mut AnyConnection,
    context: &Context,
    sends: &[NewMessage],
    plan: &Plan,
) -> Result<Vec<u32>> {
    messages(connection, sends, plan).await?;
    let mut event_rows = Vec::with_capacity(plan.appended.len());
    let mut outbox_rows = Vec::with_capacity(plan.appended.len());
    for (index, stored) in &plan.appended {
        let send = &sends[*index];
        let row = EventRow::of(&send.event(stored), stored.created_at);
        outbox_rows.push(NewOutboxRow {
            topic: Topic::Messages,
            key: stored.conversation_id.as_str().to_owned(),
            event_type: row.event_type,
            payload: row.payload.clone(),
            traceparent: send.trace.map(|trace| trace.to_string()),
        });
        event_rows.push(row);
    }
    events::insert(connection, &event_rows).await?;
    let shards = outbox::insert(connection, context, &outbox_rows).await?;
    heads(connection, plan).await?;
    Ok(shards)
}

async fn messages(connection: &mut AnyConnection, sends: &[NewMessage], plan: &Plan) -> Result<()> {
    let mut inserting = query(format!(
        "INSERT INTO messages (id, conversation_id, seq, sender_id, client_msg_id, content, thread_root_id, \
         attachment_ids, created_at) VALUES {}",
        repeat("(?,?,?,?,?,?,?,?,?)", plan.appended.len(), ",")
    ));
    for (index, stored) in &plan.appended {
        let send = &sends[*index];
        let attachments =
            (!send.attachment_ids.is_empty()).then(|| serde_json::to_string(&send.attachment_ids).unwrap_or_default());
        inserting = inserting
            .bind(stored.message_id.as_str())
            .bind(stored.conversation_id.as_str())
            .bind(signed(stored.seq))
            .bind(send.sender_id.as_str())
            .bind(send.client_msg_id.as_str())
            .bind(send.content.as_str())
            .bind(send.thread_root_id.as_ref().map(|root| root.as_str().to_owned()))
            .bind(attachments)
            .bind(stored.created_at.as_millisecond());
    }
    inserting.execute(connection).await?;
    Ok(())
}

async fn heads(connection: &mut AnyConnection, plan: &Plan) -> Result<()> {
    let heads: Vec<_> = plan.heads.iter().collect();
    let count = padded_len(heads.len());
    let mut updating = query(format!(
        "UPDATE conversations SET last_seq = CASE id {} ELSE last_seq END WHERE id IN ({})",
        repeat("WHEN ? THEN ?", count, " "),
        repeat("?", count, ",")
    ));
    for (conversation, head) in padded(&heads) {
        updating = updating.bind(conversation.as_str()).bind(signed(**head));
    }
    for (conversation, _) in padded(&heads) {
        updating = updating.bind(conversation.as_str());
    }
    updating.execute(connection).await?;
    Ok(())
}
