//! Writes entries to the gateways' streams, and does not give up.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use chatcluster_contracts::{ids::Node, stream_entry::StreamEntry};
use chatcluster_service::health::Dependency;
use chatcluster_transport::gateway_streams::{Added, StreamWriter};

use crate::metrics::WorkerMetrics;

#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) writer: Arc<dyn StreamWriter>,
    pub(crate) redis: Dependency,
    pub(crate) metrics: WorkerMetrics,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Publisher")
    }
}

impl Publisher {
    /// Returns once every entry was acknowledged. Entries may be written twice; gateways drop repeats by seq.
    pub(crate) async fn write(&self, entries: Vec<(Node, Arc<StreamEntry>)>) {
        if entries.is_empty() {
            return;
        }
        let (start, count) = (Instant::now(), entries.len() as u64);
        let added = until_done("publish", &self.metrics, || async {
            let added = self.writer.add(entries.clone()).await;
            match &added {
                Ok(_) => self.redis.up(),
                Err(error) => self.redis.down(error),
            }
            added
        })
        .await;
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
