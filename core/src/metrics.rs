//! Core's own figures. Names and labels are decided here.

use std::time::Duration;

use chatcluster_contracts::{
    problem::{Code, Problem},
    topics::Topic,
};
use chatcluster_service::metrics::{Metrics, latency_histogram};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
};

use crate::domain::message::Stored;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    /// `stored`, `repeated` or a code of `problem.rs`.
    outcome: &'static str,
}

/// Sends, from the queue to the answer.
#[derive(Debug, Clone)]
pub struct SendMetrics {
    sends: Family<Outcome, Counter>,
    latency: Histogram,
    pub(crate) batch_size: Histogram,
    pub(crate) contended: Counter,
}

impl Default for SendMetrics {
    fn default() -> Self {
        Self {
            sends: Family::default(),
            latency: latency_histogram(),
            batch_size: Histogram::new(exponential_buckets(1.0, 2.0, 7)),
            contended: Counter::default(),
        }
    }
}

impl SendMetrics {
    pub(crate) fn sent(&self, outcome: &Result<Stored, Problem>, took: Duration) {
        let outcome = match outcome {
            Ok(stored) if stored.repeated => "repeated",
            Ok(_) => "stored",
            Err(problem) => problem.code.as_str(),
        };
        self.sends.get_or_create(&Outcome { outcome }).inc();
        self.latency.observe(took.as_secs_f64());
    }

    pub fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            registry.register("sends", "Sends by outcome", self.sends.clone());
            registry.register("send_duration_seconds", "From the queue to the answer", self.latency.clone());
            registry.register("send_batch_size", "Sends in one transaction", self.batch_size.clone());
            registry.register(
                "send_contended_batches",
                "Batches that lost a race and ran one by one",
                self.contended.clone(),
            );
        });
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct IngestOutcome {
    topic: &'static str,
    /// `stored`, `repeated` or a code of `problem.rs`.
    outcome: &'static str,
}

/// Records of outside producers.
#[derive(Debug, Clone, Default)]
pub(crate) struct IngestMetrics {
    records: Family<IngestOutcome, Counter>,
    pub(crate) retries: Counter,
}

impl IngestMetrics {
    pub(crate) fn stored(&self, topic: Topic, repeated: bool) {
        self.count(topic, if repeated { "repeated" } else { "stored" });
    }

    pub(crate) fn refused(&self, topic: Topic, code: Code) {
        self.count(topic, code.as_str());
    }

    fn count(&self, topic: Topic, outcome: &'static str) {
        self.records.get_or_create(&IngestOutcome { topic: topic.default_name(), outcome }).inc();
    }

    pub(crate) fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            registry.register("ingest_records", "Records of producers by outcome", self.records.clone());
            registry.register("ingest_retries", "Attempts to store a record that failed", self.retries.clone());
        });
    }
}

/// The relay and its table.
#[derive(Debug, Clone)]
pub struct RelayMetrics {
    pub(crate) published: Counter,
    pub(crate) failures: Counter,
    pub(crate) append_latency: Histogram,
    pub(crate) depth: Gauge,
    pub(crate) oldest_ms: Gauge,
    pub(crate) shards_held: Gauge,
}

impl Default for RelayMetrics {
    fn default() -> Self {
        Self {
            published: Counter::default(),
            failures: Counter::default(),
            append_latency: latency_histogram(),
            depth: Gauge::default(),
            oldest_ms: Gauge::default(),
            shards_held: Gauge::default(),
        }
    }
}

impl RelayMetrics {
    pub fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            registry.register(
                "outbox_published_records",
                "Records acknowledged by the event log",
                self.published.clone(),
            );
            registry.register(
                "outbox_publish_failures",
                "Appends that failed; the shard starts again",
                self.failures.clone(),
            );
            registry.register(
                "outbox_append_duration_seconds",
                "Append until acknowledged",
                self.append_latency.clone(),
            );
            registry.register("outbox_rows", "Rows in the outbox", self.depth.clone());
            registry.register("outbox_oldest_milliseconds", "Age of the oldest row", self.oldest_ms.clone());
            registry.register("outbox_shards_held", "Shards whose lease this process holds", self.shards_held.clone());
        });
    }
}
