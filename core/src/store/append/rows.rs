//! Writes a decided batch: three multi-row inserts and one update.

use chatcluster_contracts::{ids::MessageId, topics::Topic};

use crate::{
    domain::{message::NewMessage, plan::Plan},
    store::{
        Context, Result,
        events::{self, EventRow},
        outbox::{self, NewOutboxRow},
        script::Script,
        sql::{repeat, signed},
    },
};

/// Answers the outbox shards that get something.
pub(super) fn write(script: &mut Script, context: &Context, sends: &[NewMessage], plan: &Plan) -> Result<Vec<u32>> {
    if plan.appended.is_empty() {
        return Ok(Vec::new());
    }
    messages(script, sends, plan);
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
    events::insert(script, &event_rows);
    let shards = outbox::insert(script, context, &outbox_rows)?;
    heads(script, plan);
    Ok(shards)
}

fn messages(script: &mut Script, sends: &[NewMessage], plan: &Plan) {
    script.insert(
        "INSERT INTO messages (id, conversation_id, seq, sender_id, client_msg_id, content, thread_root_id, \
         attachment_ids, created_at)",
        plan.appended.iter().map(|(index, stored)| {
            let send = &sends[*index];
            let attachments = (!send.attachment_ids.is_empty())
                .then(|| serde_json::to_string(&send.attachment_ids).unwrap_or_default());
            let client_msg_id = send.client_msg_id.as_str().into();
            #[cfg(feature = "plants")]
            let client_msg_id = match chatcluster_service::plants::planted("no-idempotence") {
                true => format!("{}~{}", send.client_msg_id, stored.message_id).into(),
                false => client_msg_id,
            };
            [
                stored.message_id.as_str().into(),
                stored.conversation_id.as_str().into(),
                signed(stored.seq).into(),
                send.sender_id.as_str().into(),
                client_msg_id,
                send.content.as_str().into(),
                send.thread_root_id.as_ref().map(MessageId::as_str).into(),
                attachments.into(),
                stored.created_at.as_millisecond().into(),
            ]
        }),
    );
}

fn heads(script: &mut Script, plan: &Plan) {
    let count = plan.heads.len();
    let heads = plan.heads.iter().flat_map(|(id, head)| [id.as_str().into(), signed(*head).into()]);
    script.statement(
        &format!(
            "UPDATE conversations SET last_seq = CASE id {} ELSE last_seq END WHERE id IN ({})",
            repeat("WHEN ? THEN ?", count, " "),
            repeat("?", count, ",")
        ),
        heads.chain(plan.heads.keys().map(|id| id.as_str().into())),
    );
}
