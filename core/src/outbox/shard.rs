//! Publishes one shard while its lease lasts. Rows are read from the start of the table each time, without those in
//! flight; appended in order per key; deleted once acknowledged. At the first failure the shard stops and starts again
//! from the table: records may repeat, none is skipped.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chatcluster_contracts::{record::header, trace::TraceParent};
use chatcluster_transport::event_log::{LogError, NewRecord, Producer};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    in_flight::{Answers, Appended, InFlight, Row, at, maybe},
    lease::Until,
};
use crate::{
    metrics::RelayMetrics,
    store::{OutboxRow, Store, StoreError},
};

/// Looked at without a wake-up this often: for what a lost call or another process left.
const POLL: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

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
        let mut flight = InFlight::default();
        flight.more = true;
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
            let due = flight.delete_due();
            let outcome = tokio::select! {
                rows = maybe(&mut flight.reading) => flight.take(rows).map_err(ShardError::from).and_then(|()| self.append(&mut flight)),
                Some((appended, results)) = flight.appends.next(), if !flight.appends.is_empty() => {
                    self.acknowledge(&mut flight, appended, results).and_then(|()| self.append(&mut flight))
                }
                deleted = maybe(&mut flight.deleting) => flight.deleted(deleted).map_err(ShardError::from),
                () = wake.rows(self.number), if !stopping => { flight.more = true; Ok(()) }
                _ = poll.tick() => { flight.more = true; Ok(()) }
                () = at(due) => Ok(()),
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
        if !self.is_held() {
            flight.let_go();
            return Ok(());
        }
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
        #[cfg(feature = "plants")]
        if chatcluster_service::plants::planted("delete-before-append") {
            std::mem::take(&mut appended.rows).into_iter().for_each(|row| flight.acknowledged(row));
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
            flight.acknowledged(row);
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
        if let Err(error) = self.store.outbox_delete(&flight.undeleted()).await {
            tracing::debug!(shard = self.number, %error, "acknowledged outbox rows stay for now");
        }
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
