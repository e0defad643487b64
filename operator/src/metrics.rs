//! What the operator counts.

use std::sync::Arc;

use chatcluster_service::metrics::Metrics;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ResultLabel {
    pub result: Outcome,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "as it is written in the metrics")]
pub enum Outcome {
    /// Nothing was to be done.
    unchanged,
    /// Something was written.
    changed,
    error,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KindLabel {
    /// `kubernetes`, `kafka`, `redis`, `secret`, `spec`.
    pub kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct VerbLabel {
    /// HTTP method.
    pub verb: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReadyLabel {
    /// Value of the condition `Ready`.
    pub ready: &'static str,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct OperatorMetrics(Arc<Inner>);

#[derive(Debug)]
pub struct Inner {
    pub reconciles: Family<ResultLabel, Counter>,
    pub duration: Histogram,
    pub errors: Family<KindLabel, Counter>,
    pub managed_objects: Gauge,
    pub clusters: Family<ReadyLabel, Gauge>,
    pub leader: Gauge,
    pub api_requests: Family<VerbLabel, Counter>,
}

impl std::ops::Deref for OperatorMetrics {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl OperatorMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let inner = Inner {
            reconciles: Family::default(),
            duration: Histogram::new(buckets),
            errors: Family::default(),
            managed_objects: Gauge::default(),
            clusters: Family::default(),
            leader: Gauge::default(),
            api_requests: Family::default(),
        };
        metrics.register(|registry| {
            registry.register("reconciles", "Passes over a ChatCluster", inner.reconciles.clone());
            registry.register("reconcile_duration_seconds", "Duration of a pass", inner.duration.clone());
            registry.register("errors", "What went wrong, by where", inner.errors.clone());
            registry.register("managed_objects", "Objects made by this operator", inner.managed_objects.clone());
            registry.register("clusters", "ChatClusters by their condition Ready", inner.clusters.clone());
            registry.register("leader", "1: this operator is the one that works", inner.leader.clone());
            registry.register("api_requests", "Requests to the API server", inner.api_requests.clone());
        });
        Self(Arc::new(inner))
    }

    pub fn error(&self, kind: &'static str) {
        self.errors.get_or_create(&KindLabel { kind }).inc();
    }

    pub fn request(&self, method: &http::Method) {
        let verb = match *method {
            http::Method::GET => "get",
            http::Method::POST => "post",
            http::Method::PUT => "put",
            http::Method::PATCH => "patch",
            http::Method::DELETE => "delete",
            _ => "other",
        };
        self.api_requests.get_or_create(&VerbLabel { verb }).inc();
    }
}
