//! When a `ChatCluster` is looked at: when it, or anything made for it, changes; and from time to time, because Secrets,
//! Kafka and Redis cannot be watched.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use chatcluster_service::health::Dependency;
use futures_util::StreamExt;
use kube::{
    Client, Resource, ResourceExt,
    runtime::controller::{self, Action, Config, applier},
};
use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    caches::{Caches, Guarded},
    capabilities::Discovery,
    claims::{Claimant, Claims},
    events::Events,
    kafka,
    memory::Memory,
    metrics::{OperatorMetrics, Outcome, ReadyLabel, ResultLabel},
    options::Options,
    reconcile::{self, Done},
    redis, validate,
};

/// Triggers of one burst are one pass.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// A pass that panicked was logged, and is tried again.
const AFTER_PANIC: Duration = Duration::from_mins(1);
/// A pass that takes longer hangs on something that has no timeout of its own.
const MOST: Duration = Duration::from_mins(2);

/// What all namespaces share.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) resync_interval: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) concurrency: u16,
    pub(crate) metrics: OperatorMetrics,
    pub(crate) api_server: Dependency,
    pub(crate) events: Events,
    pub(crate) discovery: Discovery,
    /// Topics on Kafka, and prefixes in Redis.
    pub(crate) topics: Claims,
    pub(crate) prefixes: Claims,
    pub(crate) kafka: kafka::Clients,
    pub(crate) redis: redis::Connections,
    /// By uid: what is remembered between passes. Nothing in it is missed after a restart.
    memory: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Memory>>>>,
    /// By uid: the condition `Ready`, for the metric.
    ready: Mutex<HashMap<String, &'static str>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(
        client: Client,
        options: &Options,
        metrics: OperatorMetrics,
        identity: &str,
        api_server: Dependency,
    ) -> Self {
        Self {
            api_server,
            events: Events::new(client.clone(), identity),
            client,
            resync_interval: options.resync_interval,
            call_timeout: options.call_timeout,
            concurrency: options.concurrency,
            metrics,
            discovery: Discovery::default(),
            topics: Claims::default(),
            prefixes: Claims::default(),
            kafka: kafka::Clients::new(),
            redis: redis::Connections::new(),
            memory: Mutex::default(),
            ready: Mutex::default(),
        }
    }

    pub(crate) fn memory(&self, uid: &str) -> Arc<tokio::sync::Mutex<Memory>> {
        self.memory.lock().entry(uid.to_owned()).or_default().clone()
    }

    pub(crate) fn note_ready(&self, uid: &str, ready: &'static str) {
        let mut all = self.ready.lock();
        all.insert(uid.to_owned(), ready);
        self.count_ready(&all);
    }

    fn count_ready(&self, all: &HashMap<String, &'static str>) {
        for value in ["True", "False", "Unknown"] {
            let count = all.values().filter(|ready| **ready == value).count();
            let gauge = self.metrics.clusters.get_or_create(&ReadyLabel { ready: value });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Forgets clusters that are gone, and lets new ones claim their topics before any of them is worked on: after a
    /// restart too the older one keeps what both name.
    fn keep_count(&self, scope: &Scope) {
        let living: BTreeSet<String> =
            scope.caches.clusters().state().iter().filter_map(|it| it.meta().uid.clone()).collect();
        let mut known = scope.known.lock();
        let gone: Vec<String> = known.difference(&living).cloned().collect();
        if gone.is_empty() && known.len() == living.len() {
            return;
        }
        for cluster in scope.caches.clusters().state() {
            if let Ok(cluster) = &cluster.0
                && cluster.metadata.uid.as_ref().is_some_and(|uid| !known.contains(uid))
                && let Some((servers, topics)) = validate::claimed_topics(&cluster.spec)
            {
                self.topics.claim(&servers, &topics, &Claimant::of(cluster));
            }
        }
        *known = living;
        drop(known);
        let mut memory = self.memory.lock();
        let mut ready = self.ready.lock();
        for uid in &gone {
            memory.remove(uid);
            ready.remove(uid);
        }
        self.topics.forget(&gone);
        self.prefixes.forget(&gone);
        self.count_ready(&ready);
    }
}

/// One namespace, or all of them.
pub(crate) struct Scope {
    pub(crate) shared: Arc<Shared>,
    pub(crate) caches: Arc<Caches>,
    known: Mutex<BTreeSet<String>>,
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope").field("caches", &self.caches).finish_non_exhaustive()
    }
}

/// Works until `stop`; passes under way are finished, those that wait for their time are not.
pub(crate) async fn run(shared: Arc<Shared>, namespace: Option<String>, stop: CancellationToken) {
    let (caches, triggers) = Caches::watch(&shared.client, namespace.as_deref());
    let (clusters, watching) = (caches.clusters().clone(), shared.clone());
    let config = Config::default().debounce(DEBOUNCE).concurrency(shared.concurrency);
    let scope = Arc::new(Scope { shared, caches, known: Mutex::default() });
    let (under_way, killed) = (TaskTracker::new(), CancellationToken::new());
    // whoever drops this function ends its passes too
    let _killer = killed.clone().drop_guard();
    let spawner = under_way.clone();
    let passes = applier(
        move |cluster, scope| {
            // a task of its own, so that it outlives the stream of passes
            let pass = Box::pin(killed.clone().run_until_cancelled_owned(pass(cluster, scope)));
            let pass = spawner.spawn(async move { pass.await.unwrap_or_else(Action::await_change) });
            Box::pin(async move { Ok(pass.await.unwrap_or_else(|_| Action::requeue(AFTER_PANIC))) })
        },
        |_, error: &Infallible, _| match *error {},
        scope,
        clusters,
        triggers,
        config,
    );
    let working = passes.for_each(|outcome| async {
        match outcome {
            Ok(_) => watching.api_server.up(),
            Err(controller::Error::QueueError(error)) => {
                watching.metrics.error("kubernetes");
                watching.api_server.down(&error);
                tracing::warn!(%error, "a watch was interrupted; it goes on as soon as it can");
            }
            // of an object that is gone by now
            Err(error) => tracing::debug!(%error, "controller"),
        }
    });
    tokio::select! {
        () = working => {}
        () = stop.cancelled() => {}
    }
    under_way.close();
    under_way.wait().await;
}

async fn pass(cluster: Arc<Guarded>, scope: Arc<Scope>) -> Action {
    scope.shared.keep_count(&scope);
    let (start, shared) = (Instant::now(), &scope.shared);
    let name = format!("{}/{}", cluster.namespace().unwrap_or_default(), cluster.name_any());
    let looked = async {
        scope.caches.ready().await;
        reconcile::reconcile(&cluster, &scope).await
    };
    let done = tokio::time::timeout(MOST, looked).await;
    let Done { outcome, again } = done.unwrap_or_else(|_| {
        tracing::error!(cluster = name, "pass took too long and was given up");
        Done { outcome: Outcome::error, again: Duration::from_secs(10) }
    });
    let took = start.elapsed();
    shared.metrics.reconciles.get_or_create(&ResultLabel { result: outcome }).inc();
    shared.metrics.duration.observe(took.as_secs_f64());
    shared.metrics.managed_objects.set(i64::try_from(scope.caches.managed()).unwrap_or(i64::MAX));
    tracing::debug!(cluster = name, ?outcome, took_ms = took.as_millis(), again_s = again.as_secs_f64(), "pass");
    // spread over time: many clusters must not all come at the same moment
    Action::requeue(again.mul_f64(rand::random_range(0.9..1.0)))
}
