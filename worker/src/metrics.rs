//! The worker's figures. Labels never name a user or conversation.

use chatcluster_service::metrics::{Metrics, latency_histogram};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct TopicLabel {
    pub(crate) topic: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct StageLabel {
    pub(crate) stage: &'static str,
}

#[derive(Debug, Clone)]
pub(crate) struct WorkerMetrics {
    pub(crate) records: Family<TopicLabel, Counter>,
    pub(crate) dead_letters: Family<TopicLabel, Counter>,
    pub(crate) entries: Counter,
    pub(crate) no_stream: Counter,
    pub(crate) retries: Family<StageLabel, Counter>,
    pub(crate) lag: Gauge,
    pub(crate) partitions: Gauge,
    pub(crate) resolve: Histogram,
    pub(crate) publish: Histogram,
    /// From the producer's clock to the acknowledged XADD.
    pub(crate) record_age: Histogram,
    pub(crate) connection_events: Counter,
    pub(crate) pruned: Counter,
    pub(crate) repaired: Counter,
}

impl WorkerMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let new = Self {
            records: Family::default(),
            dead_letters: Family::default(),
            entries: Counter::default(),
            no_stream: Counter::default(),
            retries: Family::default(),
            lag: Gauge::default(),
            partitions: Gauge::default(),
            resolve: latency_histogram(),
            publish: latency_histogram(),
            record_age: latency_histogram(),
            connection_events: Counter::default(),
            pruned: Counter::default(),
            repaired: Counter::default(),
        };
        metrics.register(|registry| {
            registry.register("records", "Records finished", new.records.clone());
            registry.register("dead_letters", "Records given up and kept for people", new.dead_letters.clone());
            registry.register("stream_entries", "Entries written to gateway streams", new.entries.clone());
            registry.register("stream_missing", "Entries for gateways without a stream", new.no_stream.clone());
            registry.register("retries", "Attempts repeated because something was away", new.retries.clone());
            registry.register("consumer_lag_records", "Records appended and not finished", new.lag.clone());
            registry.register("partitions", "Partitions assigned", new.partitions.clone());
            registry.register("resolve_seconds", "Finding members and connections of a batch", new.resolve.clone());
            registry.register("publish_seconds", "Writing a batch's entries", new.publish.clone());
            registry.register(
                "record_age_seconds",
                "Age of a record when its entries are written",
                new.record_age.clone(),
            );
            registry.register(
                "connection_events",
                "connection.add and connection.remove seen",
                new.connection_events.clone(),
            );
            registry.register("registry_pruned", "Registry entries removed that no gateway claims", new.pruned.clone());
            registry.register(
                "registry_repaired",
                "Registry entries put back that a gateway claims",
                new.repaired.clone(),
            );
        });
        new
    }

    pub(crate) fn retried(&self, stage: &'static str) {
        self.retries.get_or_create(&StageLabel { stage }).inc();
    }
}
