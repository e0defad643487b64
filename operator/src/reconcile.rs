//! One pass over one `ChatCluster`: the steps in their order.

use std::time::Duration;

use kube::{Resource, ResourceExt};

use crate::{
    apply::{Applied, Applier, Change, Owner},
    build::{self, Capabilities},
    caches::Guarded,
    claims::Claimant,
    cleanup,
    controller::Scope,
    crd::ChatCluster,
    events::News,
    kinds::{Kind, Object},
    memory::{self, FIRST_RETRY, Memory, SECRET_MISSING},
    metrics::Outcome,
    parts::{self, Parts},
    report,
    rollout::{self, Versions},
    status::{self, About, Finding, Report},
    streams_step::Streams,
    topics_step::TopicsFound,
    validate::{Component, ValidatedCluster, validate},
};

/// Longest pause after failures.
const LAST_RETRY: Duration = Duration::from_mins(1);

/// How a pass ended, and when to look again without being triggered.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    pub(crate) again: Duration,
}

/// What went wrong before there was anything to report on.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error("failed to write the status: {0}")]
    Status(#[source] kube::Error),
    #[error("failed to change the finalizer: {0}")]
    Finalizer(#[source] kube::Error),
    #[error("failed to write an object as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

pub(crate) async fn reconcile(cluster: &Guarded, scope: &Scope) -> Done {
    let shared = &scope.shared;
    let uid = cluster.meta().uid.clone().unwrap_or_default();
    let memory = shared.memory(&uid);
    let mut memory = memory.lock().await;
    let outcome = match &cluster.0 {
        Ok(cluster) => pass(cluster, scope, &mut memory).await,
        Err(undecodable) => report::undecoded(&undecodable.metadata, &undecodable.error, scope)
            .await
            .map(|()| Done { outcome: Outcome::error, again: LAST_RETRY * 5 })
            .map_err(PassError::Status),
    };
    match outcome {
        Ok(done) => {
            memory.failures =
                if matches!(done.outcome, Outcome::error) { memory.failures.saturating_add(1) } else { 0 };
            done
        }
        Err(error) => {
            shared.metrics.error("kubernetes");
            let (cluster, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
            tracing::warn!(cluster, namespace, %error, "pass failed");
            memory.failures = memory.failures.saturating_add(1);
            Done { outcome: Outcome::error, again: retry(memory.failures) }
        }
    }
}

fn retry(failures: u32) -> Duration {
    (FIRST_RETRY * 2_u32.saturating_pow(failures.saturating_sub(1).min(8))).min(LAST_RETRY)
}

async fn pass(cluster: &ChatCluster, scope: &Scope, memory: &mut Memory) -> Result<Done, PassError> {
    let shared = &scope.shared;
    let generation = cluster.metadata.generation;
    memory.begin(generation);
    if cluster.metadata.deletion_timestamp.is_some() {
        return cleanup::run(cluster, scope, memory).await.map_err(PassError::Finalizer);
    }
    let mut finalizer_changed = false;
    if !cluster.spec.paused {
        finalizer_changed = cleanup::keep_finalizer(cluster, &shared.client).await.map_err(PassError::Finalizer)?;
    }
    let (secrets, mut news) = match memory::read_secrets(cluster, scope, memory).await {
        Ok(read) => read,
        Err(error) => {
            shared.metrics.error("secret");
            let report = Report { obstacles: vec![("SecretUnreadable", error.to_string())], ..Report::default() };
            report::tell(cluster, scope, memory, &report, Vec::new()).await.map_err(PassError::Status)?;
            return Ok(Done { outcome: Outcome::error, again: retry(memory.failures + 1) });
        }
    };
    let valid = match validate(cluster, &secrets) {
        Ok(valid) => valid,
        Err(invalid) => {
            shared.metrics.error("spec");
            let report = Report { obstacles: vec![("InvalidSpec", invalid.to_string())], ..Report::default() };
            let changed = report::tell(cluster, scope, memory, &report, news).await.map_err(PassError::Status)?;
            return Ok(done(changed, shared.resync_interval));
        }
    };

    memory.secrets_missing = !valid.missing_secrets.is_empty();
    let owner = Owner::of(cluster);
    let capabilities = shared.discovery.capabilities(&shared.client).await;
    let before = Parts::look(scope, &valid, &owner);
    let known = capabilities.unwrap_or_default();
    let goal = build::build(&valid, &Versions::all(&valid.version), &known)?;
    let job = goal.iter().find(|object| object.kind == Kind::Job).map(|job| job.name().to_owned()).unwrap_or_default();
    let migration = before.migration(&job);
    let (versions, stage) = rollout::plan(&valid.version, &migration, &before.found());
    let is_on_its_way = stage != rollout::Stage::Done;
    let objects = if is_on_its_way { build::build(&valid, &versions, &known)? } else { goal };

    let held = held(&valid, before.is_migrating_otherwise(&job), capabilities.is_some());
    let applying = apply(scope, &valid, &owner, objects, known, held);
    let me = Claimant::of(cluster);
    let previous = cluster.status.as_ref();
    let (applied, topics, streams) = tokio::join!(
        applying,
        memory::topics(scope, &valid, &me, previous, memory.topics.take()),
        memory::streams(scope, &valid, &owner, &me, memory.streams.take()),
    );

    let mut after = Parts::look(scope, &valid, &owner);
    after.ask_pods(scope, &valid).await;
    let mut changed = finalizer_changed || !applied.changed.is_empty();
    news.extend(applied_news(&applied));
    if let Some(topics) = topics.fresh() {
        changed |= topics.changed;
        news.extend(topics.news.iter().cloned());
    }
    if let Some(streams) = streams.fresh() {
        changed |= streams.changed;
        news.extend(streams.news.iter().cloned());
    }
    if !valid.paused && parts::retry_migration(scope, &owner, &after, &job).await {
        news.push(News::normal("MigrationRetried", format!("Job {job} failed before and is started again")));
        changed = true;
    }

    let report = summary(&valid, &after, &job, topics.value(), streams.value(), &applied);
    applied.errors.iter().for_each(|_| shared.metrics.error("kubernetes"));
    let failed = !applied.errors.is_empty() || topics.value().failed || streams.value().failed;
    changed |= report::tell(cluster, scope, memory, &report, news).await.map_err(PassError::Status)?;
    memory.topics = Some(topics.into_inner());
    memory.streams = Some(streams.into_inner());

    if !valid.missing_secrets.is_empty() {
        shared.metrics.error("secret");
        return Ok(Done { outcome: Outcome::error, again: SECRET_MISSING });
    }
    if failed {
        // whoever gets on, if slowly, need not wait longer each time
        if changed {
            memory.failures = 0;
        }
        return Ok(Done { outcome: Outcome::error, again: retry(memory.failures + 1) });
    }
    Ok(done(changed, shared.resync_interval))
}

/// What must stay as it is for now.
fn held(valid: &ValidatedCluster, is_migrating: bool, knows_capabilities: bool) -> Vec<Kind> {
    let mut held = Vec::new();
    if !valid.missing_secrets.is_empty() {
        // pods could not start without them; those that run must not be replaced
        held.extend([Kind::Deployment, Kind::Job]);
    }
    if is_migrating {
        held.push(Kind::Job);
    }
    if !knows_capabilities {
        held.extend([Kind::HorizontalPodAutoscaler, Kind::ServiceMonitor, Kind::PrometheusRule]);
    }
    held
}

/// Everything that the pass found.
fn summary(
    valid: &ValidatedCluster,
    after: &Parts,
    job: &str,
    topics: &TopicsFound,
    streams: &Streams,
    applied: &Applied,
) -> Report {
    let migration = after.migration(job);
    let (_, stage) = rollout::plan(&valid.version, &migration, &after.found());
    let mut findings = vec![
        topics.finding.clone(),
        streams.finding.clone(),
        parts::database(valid, &migration, after.core.as_ref(), job),
        parts::component(valid, About::CoreAvailable, after.core.as_ref()),
        parts::component(valid, About::WorkerAvailable, after.worker.as_ref()),
        parts::component(valid, About::GatewayAvailable, after.gateway.as_ref()),
        status::upgraded(stage, &valid.version, after.complaint(stage)),
    ];
    if valid.paused {
        findings.push(Finding::yes(About::Paused, "Paused", "nothing is changed until spec.paused is false"));
    }
    Report {
        findings,
        obstacles: applied.errors.iter().map(|error| ("ApplyFailed", error.to_string())).collect(),
        gateway: after.gateway.as_ref().map(|found| parts::gateway(found, valid)),
        topics: topics.topics.clone(),
        version: (stage == rollout::Stage::Done).then(|| valid.version.clone()),
        cleanup_attempts: None,
    }
}

fn done(changed: bool, again: Duration) -> Done {
    Done { outcome: if changed { Outcome::changed } else { Outcome::unchanged }, again }
}

async fn apply(
    scope: &Scope,
    valid: &ValidatedCluster,
    owner: &Owner,
    mut objects: Vec<Object>,
    capabilities: Capabilities,
    held: Vec<Kind>,
) -> Applied {
    if valid.paused {
        return Applied::default();
    }
    objects.retain(|object| !held.contains(&object.kind));
    let kept = [vec![Kind::Secret], held].concat();
    let scalings = [(Component::Worker, &valid.worker.scaling), (Component::Gateway, &valid.gateway.scaling)];
    let initial_replicas = scalings
        .into_iter()
        .filter(|(_, scaling)| scaling.autoscaling().is_some())
        .map(|(component, scaling)| (valid.objects.component(component).into(), scaling.initial_replicas()))
        .collect();
    let optional =
        [(Kind::ServiceMonitor, capabilities.service_monitor), (Kind::PrometheusRule, capabilities.prometheus_rule)];
    let optional = optional.into_iter().filter(|(_, there)| *there).map(|(kind, _)| kind).collect();
    let applier = Applier { initial_replicas, optional, ..Applier::new(scope, owner) };
    applier.run(objects, &kept).await
}

fn applied_news(applied: &Applied) -> Vec<News> {
    let mut news: Vec<News> = Vec::new();
    let created = applied.changed.iter().filter(|changed| changed.change == Change::Created);
    let created: Vec<String> = created.map(|changed| format!("{:?} {}", changed.kind, changed.name)).collect();
    if !created.is_empty() {
        news.push(News::normal("Created", created.join(", ")));
    }
    for changed in &applied.changed {
        let what = format!("{:?} {}", changed.kind, changed.name);
        match &changed.change {
            Change::Created => {}
            Change::Updated(path) => news.push(News::normal("Updated", format!("{what}: {path}"))),
            Change::Deleted => news.push(News::normal("Deleted", what)),
        }
    }
    news.extend(applied.errors.iter().map(|error| News::warning("ApplyFailed", error.to_string())));
    news
}
