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

/// How evenly the work is spread is seen by the partition.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct PartitionLabel {
    pub(crate) topic: &'static str,
    pub(crate) partition: i32,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct StageLabel {
    pub(crate) stage: &'static str,
}

#[derive(Debug, Clone)]
pub(crate) struct WorkerMetrics {
    pub(crate) records: Family<PartitionLabel, Counter>,
    /// Typing that was read too late.
    pub(crate) expired: Counter,
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
    pub(crate) user_events_logged: Counter,
    pub(crate) presence_told: Counter,
    /// 1 while core is left alone because it did not answer.
    pub(crate) core_circuit_open: Gauge,
    pub(crate) room_messages: Counter,
    pub(crate) room_records: Counter,
    pub(crate) room_repeats: Counter,
}

impl WorkerMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let new = Self {
            records: Family::default(),
            expired: Counter::default(),
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
            user_events_logged: Counter::default(),
            presence_told: Counter::default(),
            core_circuit_open: Gauge::default(),
            room_messages: Counter::default(),
            room_records: Counter::default(),
            room_repeats: Counter::default(),
        };
        metrics.register(|registry| {
            registry.register("records", "Records finished", new.records.clone());
            registry.register("typing_expired", "Typing indicators that were read too late", new.expired.clone());
            let told = "Users of whom others were told that they came or went";
            registry.register("presence_told", told, new.presence_told.clone());
            let open = "1 while core is not asked because it did not answer";
            registry.register("core_circuit_open", open, new.core_circuit_open.clone());
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
            registry.register("user_events_logged", "User events added to their logs", new.user_events_logged.clone());
            registry.register("room_messages", "Events and heads published to rooms", new.room_messages.clone());
            registry.register("room_records", "Records added to rooms' logs and published", new.room_records.clone());
            registry.register("room_repeats", "Records that their room had already", new.room_repeats.clone());
        });
        new
    }

    pub(crate) fn retried(&self, stage: &'static str) {
        self.retries.get_or_create(&StageLabel { stage }).inc();
    }
}
