//! Writes a decided batch: multi-row inserts and one update.

use std::collections::BTreeSet;

use chatcluster_contracts::{
    ids::{MessageId, UserId},
    record::NotificationRecord,
    topics::Topic,
};
use uuid::Uuid;

use super::facts::People;
use crate::{
    domain::{
        mention::mentioned,
        message::{NewMessage, Stored},
        plan::Plan,
        receipt::sent_records,
    },
    store::{
        Context, Result,
        acks::status_row,
        events::{self, EventRow},
        notifications,
        outbox::{self, NewOutboxRow},
        script::Script,
        sql::{repeat, signed},
    },
};

/// Characters of a message that a notification repeats.
const MAX_EXCERPT: usize = 200;

/// Answers the outbox shards that get something.
pub(super) fn write(
    script: &mut Script,
    context: &Context,
    sends: &[NewMessage],
    plan: &Plan,
    people: &People,
) -> Result<Vec<u32>> {
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
            follows: None,
            event_type: row.event_type,
            payload: row.payload.clone(),
            traceparent: send.trace.map(|trace| trace.to_string()),
        });
        event_rows.push(row);
    }
    let told = sent_records(plan.appended.iter().map(|(index, stored)| (&sends[*index].sender_id, stored)));
    outbox_rows.extend(told.iter().map(|(sender, record)| status_row(sender, record)));
    let mentions: Vec<_> =
        plan.appended.iter().flat_map(|(index, stored)| mentions(&sends[*index], stored, people)).collect();
    notifications::insert(script, &mentions);
    outbox_rows.extend(mentions.iter().map(|mention| notifications::row(mention, NotificationRecord::MENTION)));
    events::insert(script, &event_rows);
    let shards = outbox::insert(script, context, &outbox_rows)?;
    heads(script, plan);
    Ok(shards)
}

/// One notification for each member whose name is in the text, the sender excepted.
fn mentions(send: &NewMessage, stored: &Stored, people: &People) -> Vec<NotificationRecord> {
    if people.members.is_empty() {
        return Vec::new();
    }
    let named = mentioned(send.content.as_str());
    let member = |name: &str| people.members.get(&(send.conversation_id.clone(), name.to_owned()));
    let members: BTreeSet<&UserId> = named.iter().filter_map(|name| member(name.as_str())).collect();
    let sender = people.display_names.get(&send.sender_id).map_or("Somebody", String::as_str);
    let mention = |user: &UserId| NotificationRecord {
        id: Uuid::now_v7().to_string(),
        user_id: user.clone(),
        title: format!("{sender} mentioned you"),
        content: send.content.as_str().chars().take(MAX_EXCERPT).collect(),
        kind: NotificationRecord::MENTION.into(),
        related_entity_id: Some(stored.message_id.as_str().to_owned()),
        conversation_id: Some(stored.conversation_id.clone()),
        read: false,
        created_at: stored.created_at,
    };
    members.into_iter().filter(|user| **user != send.sender_id).map(mention).collect()
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
