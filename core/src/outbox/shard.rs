//! Publishes one shard while its lease lasts. Rows are read from the start of the table each time, without those in
//! flight; appended in order per key; deleted once acknowledged. At the first failure the shard stops and starts again from the
//! table: records may repeat, none is skipped.

use std::{
    collections::{HashSet, VecDeque},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chatcluster_contracts::{record::header, trace::TraceParent};
use chatcluster_transport::event_log::{LogError, NewRecord, Producer};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::watch, time::sleep_until};
use tokio_util::sync::CancellationToken;

use super::lease::Until;
use crate::{
    metrics::RelayMetrics,
    store::{OutboxRow, Result as StoreResult, Store, StoreError},
};

/// Rows in one append.
const BATCH: u32 = 500;
/// Appends that wait for their acknowledgement.
const MAX_APPENDS: usize = 4;
/// Rows read and not yet deleted.
const MAX_IN_FLIGHT: usize = 2_000;
/// Acknowledged rows wait this long for others, so that deletes do not compete with sends for the disk.
const DELETE_AFTER: Duration = Duration::from_millis(20);
/// Looked at without a wake-up this often: for what a lost call or another process left.
const POLL: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// What the event log said of each record.
type Answers = Vec<Result<(), LogError>>;

#[derive(Debug, thiserror::Error)]
pub(super) enum ShardError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the outbox row {id} is for topic {topic:?}, which is none of ours")]
    Topic { id: String, topic: String },
}

pub(super) struct Shard {
    pub(super) number: u32,
    pub(super) store: Store,
    pub(super) producer: Arc<dyn Producer>,
    pub(super) lease: watch::Receiver<Until>,
    pub(super) metrics: RelayMetrics,
}

/// Rows between their reading and their deletion.
#[derive(Default)]
struct InFlight {
    /// Of every row in flight; what a reading leaves out.
    positions: Vec<i64>,
    appends: FuturesUnordered<Boxed<(Appended, Answers)>>,
    /// Keys of the records in `appends`. Of one key only one append is under way: were two, and the first failed, the
    /// second would stand in the log before the repeat of the first.
    busy: HashSet<String>,
    /// Rows that wait for their key.
    held: Vec<OutboxRow>,
    acknowledged: VecDeque<Row>,
    delete_at: Option<tokio::time::Instant>,
    deleting: Option<Boxed<StoreResult<Vec<i64>>>>,
    reading: Option<Boxed<StoreResult<Vec<OutboxRow>>>>,
    /// There may be rows that were not read.
    more: bool,
}

struct Row {
    id: String,
    position: i64,
}

struct Appended {
    rows: Vec<Row>,
    keys: HashSet<String>,
    at: Instant,
}

impl Shard {
    /// Runs until `stop`, and then until nothing is in flight.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut backoff = FIRST_BACKOFF;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                held = self.lease.wait_for(|until| until.is_some_and(|until| Instant::now() < until)) => {
                    if held.is_err() { return }
                }
            }
            self.store.wake().set_held(self.number, true);
            let began = Instant::now();
            let ended = self.publish(&stop).await;
            self.store.wake().set_held(self.number, false);
            if let Err(error) = ended {
                self.metrics.failures.inc();
                if began.elapsed() > MAX_BACKOFF {
                    backoff = FIRST_BACKOFF;
                }
                tracing::warn!(shard = self.number, %error, backoff_ms = backoff.as_millis(), "outbox shard stopped");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(backoff) => {}
                }
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }
    }

    /// Publishes until the lease runs out or `stop`, or something fails.
    async fn publish(&self, stop: &CancellationToken) -> Result<(), ShardError> {
        let wake = self.store.wake().clone();
        let mut flight = InFlight { more: true, ..InFlight::default() };
        let mut poll = tokio::time::interval(POLL);
        let result = loop {
            let stopping = stop.is_cancelled() || !self.is_held();
            if stopping && flight.is_empty() {
                break Ok(());
            }
            if !stopping && flight.may_read() {
                flight.read(&self.store, self.number);
            }
            flight.delete(&self.store, stopping);
            let outcome = tokio::select! {
                rows = maybe(&mut flight.reading) => flight.take(rows).and_then(|()| self.append(&mut flight)),
                Some((appended, results)) = flight.appends.next(), if !flight.appends.is_empty() => {
                    self.acknowledge(&mut flight, appended, results).and_then(|()| self.append(&mut flight))
                }
                deleted = maybe(&mut flight.deleting) => flight.deleted(deleted),
                () = wake.rows(self.number), if !stopping => { flight.more = true; Ok(()) }
                _ = poll.tick() => { flight.more = true; Ok(()) }
                () = at(flight.delete_at), if flight.deleting.is_none() => Ok(()),
                () = stop.cancelled(), if !stopping => Ok(()),
            };
            if let Err(error) = outcome {
                break Err(error);
            }
        };
        self.settle(&mut flight).await;
        result
    }

    fn is_held(&self) -> bool {
        self.lease.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Hands what can go to the event log.
    fn append(&self, flight: &mut InFlight) -> Result<(), ShardError> {
        let batch = flight.next_batch();
        if batch.is_empty() {
            return Ok(());
        }
        let mut appended = Appended { rows: Vec::new(), keys: HashSet::new(), at: Instant::now() };
        let mut records = Vec::with_capacity(batch.len());
        for row in batch {
            note(&row);
            appended.rows.push(Row { id: row.id.clone(), position: row.position });
            appended.keys.insert(row.key.clone());
            records.push(record(row, &self.store)?);
        }
        flight.busy.extend(appended.keys.iter().cloned());
        let producer = self.producer.clone();
        flight.appends.push(Box::pin(async move { (appended, producer.append(records).await) }));
        Ok(())
    }

    /// Everything before the first failure is published; the failure ends this run.
    fn acknowledge(&self, flight: &mut InFlight, appended: Appended, results: Answers) -> Result<(), ShardError> {
        self.metrics.append_latency.observe(appended.at.elapsed().as_secs_f64());
        if results.len() < appended.rows.len() {
            return Err(
                LogError::Unavailable("the event log answered for fewer records than it was given".into()).into()
            );
        }
        for key in &appended.keys {
            flight.busy.remove(key);
        }
        for (row, result) in appended.rows.into_iter().zip(results) {
            result?;
            self.metrics.published.inc();
            flight.acknowledged.push_back(row);
            flight.delete_at.get_or_insert_with(|| tokio::time::Instant::now() + DELETE_AFTER);
        }
        Ok(())
    }

    /// Ends a run in order: what is still on its way must land before the shard starts again from the table, or the
    /// repeat would overtake it. Then what was acknowledged is deleted; should that fail it is published once more.
    async fn settle(&self, flight: &mut InFlight) {
        let landed = async { while flight.appends.next().await.is_some() {} };
        let _ = tokio::time::timeout(MAX_BACKOFF, landed).await;
        if let Some(deleting) = flight.deleting.take() {
            let _ = deleting.await;
        }
        let ids: Vec<String> = flight.acknowledged.drain(..).map(|row| row.id).collect();
        if let Err(error) = self.store.outbox_delete(&ids).await {
            tracing::debug!(shard = self.number, %error, "acknowledged outbox rows stay for now");
        }
    }
}

impl InFlight {
    fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.reading.is_none()
    }

    fn may_read(&self) -> bool {
        self.more && self.reading.is_none() && self.appends.len() < MAX_APPENDS && self.positions.len() < MAX_IN_FLIGHT
    }

    fn read(&mut self, store: &Store, shard: u32) {
        self.more = false;
        let (store, skip) = (store.clone(), self.positions.clone());
        self.reading = Some(Box::pin(async move { store.outbox_rows(shard, &skip, BATCH).await }));
    }

    fn take(&mut self, rows: StoreResult<Vec<OutboxRow>>) -> Result<(), ShardError> {
        let rows = rows?;
        self.more |= rows.len() >= BATCH as usize;
        self.positions.extend(rows.iter().map(|row| row.position));
        self.held.extend(rows);
        Ok(())
    }

    /// The next rows that can go, in order: those whose key is free.
    fn next_batch(&mut self) -> Vec<OutboxRow> {
        if self.appends.len() >= MAX_APPENDS {
            return Vec::new();
        }
        let mut batch = Vec::new();
        for row in std::mem::take(&mut self.held) {
            if batch.len() >= BATCH as usize || self.busy.contains(&row.key) {
                self.held.push(row);
            } else {
                batch.push(row);
            }
        }
        batch
    }

    fn delete(&mut self, store: &Store, now: bool) {
        let due = self.delete_at.is_some_and(|at| now || at <= tokio::time::Instant::now());
        if !due || self.deleting.is_some() {
            return;
        }
        self.delete_at = None;
        let rows: Vec<Row> = self.acknowledged.drain(..).collect();
        let store = store.clone();
        self.deleting = Some(Box::pin(async move {
            let (ids, positions): (Vec<_>, Vec<_>) = rows.into_iter().map(|row| (row.id, row.position)).unzip();
            store.outbox_delete(&ids).await.map(|()| positions)
        }));
    }

    fn deleted(&mut self, positions: StoreResult<Vec<i64>>) -> Result<(), ShardError> {
        let gone: HashSet<i64> = positions?.into_iter().collect();
        self.positions.retain(|position| !gone.contains(position));
        Ok(())
    }
}

fn record(row: OutboxRow, store: &Store) -> Result<NewRecord, ShardError> {
    let Some(topic) = store.names().role(&row.topic) else {
        return Err(ShardError::Topic { id: row.id, topic: row.topic });
    };
    let mut headers = vec![
        (header::ID.to_owned(), Bytes::from(row.id)),
        (header::EVENT_TYPE.to_owned(), Bytes::from(row.event_type)),
    ];
    if let Some(trace) = row.traceparent {
        headers.push((header::TRACEPARENT.to_owned(), Bytes::from(trace)));
    }
    Ok(NewRecord { topic, dead_letter: false, key: row.key, value: Bytes::from(row.payload), headers })
}

/// The log line of a traced message on its way out.
fn note(row: &OutboxRow) {
    let Some(trace) = row.traceparent.as_deref().and_then(TraceParent::parse).filter(|trace| trace.sampled) else {
        return;
    };
    let _span = chatcluster_service::trace::hop("core.relay", &trace).entered();
    tracing::info!(trace_id = %trace.trace_id_hex(), hop = "core.relay", key = row.key, "message");
}

/// Waits for the future in the slot and empties it; forever when there is none.
async fn maybe<T>(slot: &mut Option<Boxed<T>>) -> T {
    match slot {
        Some(future) => {
            let value = future.await;
            *slot = None;
            value
        }
        None => std::future::pending().await,
    }
}

async fn at(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
