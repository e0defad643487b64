//! Prometheus metrics. Names are `chatcluster_<service>_<what>_<unit>`; labels never carry a user, room or connection.

use std::{fmt, sync::Arc};

use parking_lot::RwLock;
use prometheus_client::{
    encoding::text::encode,
    metrics::{gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// The metrics of one process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<RwLock<Registry>>);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// `service` is the second word of every name.
    pub fn new(service: &str) -> Self {
        let mut registry = Registry::with_prefix(format!("chatcluster_{service}"));
        let started: Gauge<f64, std::sync::atomic::AtomicU64> = Gauge::default();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        started.set(now.as_secs_f64());
        registry.register("start_time_seconds", "When the process started, seconds since the Unix epoch", started);
        Self(Arc::new(RwLock::new(registry)))
    }

    /// Adds metrics; they appear from now on.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.0.write())
    }

    /// The text that Prometheus scrapes (`OpenMetrics` 1.0).
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // writing into a String does not fail
        let _ = encode(&mut text, &self.0.read());
        text
    }
}

/// A histogram of seconds from 100 µs to about 26 s, factor 2: fit for everything from a Redis round trip to an outage.
pub fn latency_histogram() -> Histogram {
    Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(0.0001, 2.0, 19))
}
