//! `message_producer_outbox`: rows are inserted with what they tell of, read in insert order, deleted once published.

use std::time::Duration;

use chatcluster_contracts::{
    ids::ConversationId,
    problem::{Code, Problem},
    topics::Topic,
    trace::TraceParent,
};
use uuid::Uuid;

use super::{
    Context, Result, Store, StoreError,
    script::Script,
    sql::{integer, optional_text, padded, padded_len, query, repeat, text},
};
use crate::{clock, domain::shard};

/// Kafka takes records of 1 MiB unless told otherwise; headers and key need room too.
const MAX_PAYLOAD_BYTES: usize = 900 * 1024;

/// A record on its way out.
#[derive(Debug)]
pub(super) struct NewOutboxRow {
    pub(super) topic: Topic,
    /// The record's key, `aggregateid`.
    pub(super) key: String,
    /// What decides the shard where that is not the key: rows of one shard go out in order.
    pub(super) follows: Option<ConversationId>,
    /// Header `eventType`.
    pub(super) event_type: &'static str,
    pub(super) payload: String,
    pub(super) traceparent: Option<String>,
}

/// A row as the relay reads it.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    pub id: String,
    /// Insert order, not commit order.
    pub position: i64,
    /// The topic's full name.
    pub topic: String,
    pub key: String,
    pub event_type: String,
    pub payload: String,
    pub traceparent: Option<String>,
}

/// How much waits, and how long the oldest has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxDepth {
    pub rows: i64,
    pub oldest_ms: i64,
}

/// Answers the shards that get something.
pub(super) fn insert(script: &mut Script, context: &Context, rows: &[NewOutboxRow]) -> Result<Vec<u32>> {
    if let Some(row) = rows.iter().find(|row| row.payload.len() > MAX_PAYLOAD_BYTES) {
        let detail = format!("a {} record has at most {MAX_PAYLOAD_BYTES} bytes", row.event_type);
        return Err(StoreError::Refused(Problem::new(Code::PayloadTooLarge, detail)));
    }
    let now = clock::now_ms();
    let mut shards: Vec<u32> = Vec::new();
    script.insert(
        "INSERT INTO message_producer_outbox (id, aggregatetype, aggregateid, type, payload, traceparent, shard, created_at)",
        rows.iter().map(|row| {
            let shard = shard::of(row.follows.as_ref().map_or(&row.key, ConversationId::as_str), context.shards);
            if !shards.contains(&shard) {
                shards.push(shard);
            }
            let id = Uuid::now_v7();
            [
                id.to_string().into(),
                context.names.topic(row.topic).into(),
                row.key.as_str().into(),
                row.event_type.into(),
                row.payload.as_str().into(),
                row.traceparent.clone().unwrap_or_else(|| untraced(id)).into(),
                i64::from(shard).into(),
                now.into(),
            ]
        }),
    );
    Ok(shards)
}

/// Of a record that nothing traced came before: a context of its own that is not sampled. Every record has the header:
/// Debezium, which may take the relay's place, would put one without a value.
fn untraced(id: Uuid) -> String {
    let (trace_id, parent_id) = (id.as_u128(), id.as_u64_pair().1);
    TraceParent { trace_id, parent_id, sampled: false }.to_string()
}

impl Store {
    /// The first rows of a shard that are not among `skip`. Reads from the start of the table each time: a position
    /// may commit after a higher one.
    pub async fn outbox_rows(&self, shard: u32, skip: &[i64], limit: u32) -> Result<Vec<OutboxRow>> {
        let except = match skip.len() {
            0 => String::new(),
            len => format!("AND position NOT IN ({}) ", repeat("?", padded_len(len), ",")),
        };
        let mut reading = query(format!(
            "SELECT id, position, aggregatetype, aggregateid, type, payload, traceparent FROM message_producer_outbox \
             WHERE shard = ? {except}ORDER BY position LIMIT ?"
        ))
        .bind(i64::from(shard));
        for position in padded(skip) {
            reading = reading.bind(*position);
        }
        let rows = reading.bind(i64::from(limit)).fetch_all(&self.0.read).await?;
        Ok(rows.iter().map(stored).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Deletes by primary key: a range would lock the gaps that new rows go into.
    pub async fn outbox_delete(&self, ids: &[String]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let list = repeat("?", padded_len(ids.len()), ",");
        let mut deleting = query(format!("DELETE FROM message_producer_outbox WHERE id IN ({list})"));
        for id in padded(ids) {
            deleting = deleting.bind(id.as_str());
        }
        deleting.execute(&self.0.write).await?;
        Ok(())
    }

    /// Ids of the first rows, of those the ones older than `age`.
    pub async fn outbox_older_than(&self, age: Duration, limit: u32) -> Result<Vec<String>> {
        let reading = query("SELECT id, created_at FROM message_producer_outbox ORDER BY position LIMIT ?".to_owned());
        let rows = reading.bind(i64::from(limit)).fetch_all(&self.0.read).await?;
        let before = clock::now_ms() - i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let mut old = Vec::new();
        for row in &rows {
            if integer(row, "created_at")? < before {
                old.push(text(row, "id")?);
            }
        }
        Ok(old)
    }

    pub async fn outbox_depth(&self) -> Result<OutboxDepth> {
        // MIN over the whole table would read all of it; the lowest position is the oldest row, nearly.
        let asking = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM message_producer_outbox) AS depth, \
             (SELECT created_at FROM message_producer_outbox ORDER BY position LIMIT 1) AS oldest",
        );
        let row = asking.fetch_one(&self.0.read).await?;
        let rows = integer(&row, "depth")?;
        let oldest_ms = if rows == 0 { 0 } else { integer(&row, "oldest").map_or(0, |at| clock::now_ms() - at) };
        Ok(OutboxDepth { rows, oldest_ms })
    }
}

fn stored(row: &sqlx::any::AnyRow) -> Result<OutboxRow, sqlx::Error> {
    Ok(OutboxRow {
        id: text(row, "id")?,
        position: integer(row, "position")?,
        topic: text(row, "aggregatetype")?,
        key: text(row, "aggregateid")?,
        event_type: text(row, "type")?,
        payload: text(row, "payload")?,
        traceparent: optional_text(row, "traceparent")?,
    })
}
