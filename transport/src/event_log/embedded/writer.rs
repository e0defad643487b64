//! The one task that writes: whatever waits shares a transaction, so that many callers share one sync to disk.

use std::{
    sync::{Arc, Weak},
    time::{SystemTime, UNIX_EPOCH},
};

use chatcluster_contracts::topics::{DEAD_LETTER_SUFFIX, Group, Topic};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::{
    Shared, away,
    partitions::Heads,
    store::{self, Pending},
};
use crate::event_log::{LogError, NewRecord, Record, TopicPartition, is_ephemeral, partitioner::partition_of};

/// Records of one transaction, at most (one caller's records are never split).
const BATCH: usize = 2048;

pub(super) enum Request {
    Append {
        records: Vec<NewRecord>,
        reply: oneshot::Sender<Result<(), LogError>>,
    },
    /// Positions of groups, to be kept over a restart.
    Positions {
        positions: Vec<(Group, TopicPartition, i64)>,
        reply: Option<oneshot::Sender<()>>,
    },
    /// Remove what expired before this time from the front of a partition; answers how many records went.
    Trim {
        place: (String, i32),
        expired_before_ms: i64,
        batch: i64,
        reply: oneshot::Sender<u64>,
    },
}

pub(super) fn gone() -> LogError {
    LogError::Unavailable("the log's writer is gone".to_owned())
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Runs until every sender is gone.
pub(super) async fn run(mut connection: SqliteConnection, mut requests: mpsc::Receiver<Request>, shared: Weak<Shared>) {
    while let Some(first) = requests.recv().await {
        let mut size = weight(&first);
        let mut batch = vec![first];
        while size < BATCH
            && let Ok(more) = requests.try_recv()
        {
            size += weight(&more);
            batch.push(more);
        }
        let heads = match shared.upgrade() {
            Some(shared) => shared.partitions.lock().heads().clone(),
            None => return,
        };
        let mut planned = Planned::new(heads, now_ms());
        for request in &batch {
            if let Request::Append { records, .. } = request {
                for record in records {
                    planned.add(record);
                }
            }
        }
        let written = write(&mut connection, &planned, &batch).await;
        let outcome = written.as_ref().map(drop).map_err(|error| {
            tracing::error!(%error, "embedded log could not be written");
            away(error)
        });
        if outcome.is_ok()
            && let Some(shared) = shared.upgrade()
        {
            let (heads, visible) = planned.into_visible();
            if !visible.is_empty() || !heads.is_empty() {
                shared.partitions.lock().appended(heads, visible);
            }
        }
        answer(batch, &outcome, written.unwrap_or_default());
    }
    // Merges the write-ahead log into the file, so that the last process to leave takes its files along.
    let _ = connection.close().await;
}

fn weight(request: &Request) -> usize {
    match request {
        Request::Append { records, .. } => records.len(),
        Request::Positions { positions, .. } => positions.len(),
        Request::Trim { .. } => BATCH / 4,
    }
}

/// Where the records of a batch go, before anything is written.
struct Planned {
    heads: Heads,
    changed: Heads,
    rows: Vec<Pending>,
    /// Those that consumers will see: no dead letters, but also what is not written at all.
    visible: Vec<Record>,
    now_ms: i64,
}

impl Planned {
    fn new(heads: Heads, now_ms: i64) -> Self {
        Self { heads, changed: Heads::new(), rows: Vec::new(), visible: Vec::new(), now_ms }
    }

    fn add(&mut self, record: &NewRecord) {
        let (name, partitions) = if record.dead_letter {
            (format!("{}{DEAD_LETTER_SUFFIX}", record.topic.default_name()), 1)
        } else {
            (record.topic.default_name().to_owned(), record.topic.partitions())
        };
        let partition = partition_of(record.key.as_bytes(), partitions);
        let place = (name.clone(), partition);
        let next = self.heads.entry(place.clone()).or_insert(0);
        let offset = *next;
        *next += 1;
        self.changed.insert(place, *next);
        if !record.dead_letter {
            self.visible.push(Record {
                partition: TopicPartition { topic: record.topic, partition },
                offset,
                key: Some(record.key.clone().into()),
                value: record.value.clone(),
                headers: record.headers.clone(),
                timestamp_ms: self.now_ms,
            });
        }
        if record.dead_letter || !is_ephemeral(record.topic) {
            self.rows.push(Pending {
                topic: name,
                partition,
                offset,
                timestamp_ms: self.now_ms,
                key: record.key.clone(),
                value: record.value.clone(),
                headers: record.headers.clone(),
            });
        }
    }

    fn into_visible(self) -> (Heads, Vec<Record>) {
        (self.changed, self.visible)
    }
}

/// One transaction for all of it. Answers how many records each trim removed, in order.
async fn write(
    connection: &mut SqliteConnection,
    planned: &Planned,
    batch: &[Request],
) -> Result<Vec<u64>, sqlx::Error> {
    let only_ephemeral =
        planned.rows.is_empty() && batch.iter().all(|request| matches!(request, Request::Append { .. }));
    if only_ephemeral {
        return Ok(Vec::new());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for row in &planned.rows {
        store::insert(&mut transaction, row).await?;
    }
    let ephemeral = Topic::ALL.into_iter().filter(|topic| is_ephemeral(*topic)).map(Topic::default_name);
    let ephemeral: Vec<&str> = ephemeral.collect();
    for (place, next) in planned.changed.iter().filter(|((topic, _), _)| !ephemeral.contains(&topic.as_str())) {
        store::set_head(&mut transaction, place, *next).await?;
    }
    let mut trimmed = Vec::new();
    for request in batch {
        match request {
            Request::Append { .. } => {}
            Request::Positions { positions, .. } => {
                for (group, place, next) in positions {
                    store::set_position(&mut transaction, *group, *place, *next).await?;
                }
            }
            Request::Trim { place, expired_before_ms, batch, .. } => {
                trimmed.push(store::trim(&mut transaction, place, *expired_before_ms, *batch).await?);
            }
        }
    }
    transaction.commit().await?;
    Ok(trimmed)
}

fn answer(batch: Vec<Request>, outcome: &Result<(), LogError>, trimmed: Vec<u64>) {
    let mut trimmed = trimmed.into_iter();
    // A caller that no longer waits needs no answer.
    for request in batch {
        let _ = match request {
            Request::Append { reply, .. } => reply.send(outcome.clone()).is_ok(),
            Request::Positions { reply, .. } => reply.is_some_and(|reply| reply.send(()).is_ok()),
            Request::Trim { reply, .. } => reply.send(trimmed.next().unwrap_or(0)).is_ok(),
        };
    }
}

/// Hands the positions of a group over; with `wait`, returns once they are on disk.
pub(super) async fn keep_positions(shared: &Arc<Shared>, group: Group, wait: bool) {
    let positions: Vec<_> = {
        let mut groups = shared.groups.lock();
        let Some(state) = groups.get_mut(&group) else { return };
        state.take_changed().into_iter().map(|(place, next)| (group, place, next)).collect()
    };
    if positions.is_empty() {
        return;
    }
    let (reply, answer) = oneshot::channel();
    let request = Request::Positions { positions, reply: wait.then_some(reply) };
    if shared.writer.send(request).await.is_ok() && wait {
        let _ = answer.await;
    }
}
