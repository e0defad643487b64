//! Writes entries to the gateways' streams, and does not give up.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use chatcluster_contracts::{
    ids::{ConversationId, Node},
    room_message::RoomMessage,
    stream_entry::StreamEntry,
};
use chatcluster_service::health::Dependency;
use chatcluster_transport::{
    channels::{
        Retention,
        rooms::{Recorded, RoomChannels, RoomRecord},
    },
    gateway_streams::{Added, StreamError, StreamWriter},
};

use crate::{metrics::WorkerMetrics, plan::Plan};

#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) writer: Arc<dyn StreamWriter>,
    pub(crate) rooms: Arc<dyn RoomChannels>,
    pub(crate) keep_room: Retention,
    pub(crate) redis: Dependency,
    pub(crate) metrics: WorkerMetrics,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Publisher")
    }
}

impl Publisher {
    /// Returns once everything was acknowledged. What is written or published twice gateways drop by seq.
    pub(crate) async fn carry_out(&self, plan: Plan) {
        tokio::join!(self.write(plan.entries), self.publish(&plan.rooms), self.record(&plan.records));
    }

    async fn publish(&self, messages: &[(ConversationId, RoomMessage)]) {
        if messages.is_empty() {
            return;
        }
        let start = Instant::now();
        until_done("rooms", &self.metrics, || async { self.seen(self.rooms.publish(messages).await) }).await;
        self.metrics.room_messages.inc_by(messages.len() as u64);
        self.metrics.publish.observe(start.elapsed().as_secs_f64());
    }

    /// Returns once every record is in its room's log and was published.
    async fn record(&self, records: &[RoomRecord]) {
        if records.is_empty() {
            return;
        }
        #[cfg(feature = "plants")]
        if chatcluster_service::plants::planted_once_in("record-skipped", 10) {
            return;
        }
        let record = || async { self.seen(self.rooms.record(records, self.keep_room).await) };
        let outcomes = until_done("rooms", &self.metrics, record).await;
        let new = outcomes.iter().filter(|outcome| **outcome == Recorded::New).count();
        self.metrics.room_records.inc_by(new as u64);
        self.metrics.room_repeats.inc_by((outcomes.len() - new) as u64);
    }

    /// Tells `/readyz` how it went.
    fn seen<T>(&self, outcome: Result<T, StreamError>) -> Result<T, StreamError> {
        match &outcome {
            Ok(_) => self.redis.up(),
            Err(error) => self.redis.down(error),
        }
        outcome
    }

    /// Returns once every entry was acknowledged. Entries may be written twice; gateways drop repeats by seq.
    pub(crate) async fn write(&self, entries: Vec<(Node, Arc<StreamEntry>)>) {
        if entries.is_empty() {
            return;
        }
        let (start, count) = (Instant::now(), entries.len() as u64);
        let write = || async { self.seen(self.writer.add(entries.clone()).await) };
        let added = until_done("publish", &self.metrics, write).await;
        // a gateway without a stream is gone, or about to notice that Redis lost it: the database still has the event
        let missing = added.iter().filter(|outcome| **outcome == Added::NoStream).count() as u64;
        self.metrics.no_stream.inc_by(missing);
        self.metrics.entries.inc_by(count - missing);
        self.metrics.publish.observe(start.elapsed().as_secs_f64());
    }
}

/// Repeats `attempt` until it succeeds, with pauses that grow to a second. Whoever must stop drops the future.
pub(crate) async fn until_done<T, E, F>(
    stage: &'static str,
    metrics: &WorkerMetrics,
    mut attempt: impl FnMut() -> F,
) -> T
where
    E: std::fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    let mut pause = Duration::from_millis(10);
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => {
                metrics.retried(stage);
                tracing::debug!(stage, %error, "will be tried again");
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}
