//! One pass over one `ChatCluster`: the steps in their order.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job};
use kube::{
    Api, Resource, ResourceExt,
    api::{ObjectMeta, Patch, PatchParams},
};
use serde_json::json;

use crate::{
    apply::{Applied, Applier, Change, Owner},
    build::{self, Capabilities},
    caches::Guarded,
    claims::Claimant,
    cleanup,
    controller::Scope,
    crd::{ChatCluster, ChatClusterStatus, ConditionStatus, GatewayStatus},
    dereference::{self, SecretError},
    events::{self, News},
    kinds::{CLUSTER_LABEL, Kind, MANAGED_BY_LABEL, MANAGER, Object},
    metrics::Outcome,
    observe::{self, Availability},
    rollout::{self, Found, Migration, Versions},
    secrets::{self, Secrets},
    status::{self, About, Finding, Report},
    streams_step::{self, Streams},
    topics_step::{self, TopicsFound},
    validate::{Component, ValidatedCluster, validate},
};

/// Looked at again so soon while a Secret is missing.
const SECRET_MISSING: Duration = Duration::from_secs(5);
/// First and longest pause after a failure.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LAST_RETRY: Duration = Duration::from_mins(1);
/// A failed migration is tried again after so long.
const MIGRATE_AGAIN: Duration = Duration::from_mins(3);

/// What is remembered of a `ChatCluster` between passes.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    generation: Option<i64>,
    secrets: Option<(Instant, Secrets)>,
    /// Something that the spec needs was not among them.
    secrets_missing: bool,
    topics: Option<(Instant, TopicsFound)>,
    streams: Option<(Instant, Streams)>,
    /// Passes that failed in a row.
    failures: u32,
}

impl Memory {
    /// Of another spec nothing is known.
    fn begin(&mut self, generation: Option<i64>) {
        if self.generation != generation {
            *self = Self { generation, failures: self.failures, ..Self::default() };
        }
    }
}

/// How a pass ended, and when to look again without being triggered.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    pub(crate) again: Duration,
}

/// What went wrong before there was anything to report on.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error(transparent)]
    Secret(#[from] SecretError),
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
        Err(undecodable) => undecoded(&undecodable.metadata, &undecodable.error, scope).await,
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
        return cleanup::run(cluster, scope).await.map_err(PassError::Finalizer);
    }
    let mut finalizer_changed = false;
    if !cluster.spec.paused {
        finalizer_changed = cleanup::keep_finalizer(cluster, &shared.client).await.map_err(PassError::Finalizer)?;
    }
    let (secrets, mut news) = read_secrets(cluster, scope, memory).await?;
    let valid = match validate(cluster, &secrets) {
        Ok(valid) => valid,
        Err(invalid) => {
            shared.metrics.error("spec");
            let report = Report { obstacles: vec![("InvalidSpec", invalid.to_string())], ..Report::default() };
            let changed = tell(cluster, scope, &report, news).await?;
            return Ok(done(changed, shared.resync_interval));
        }
    };

    memory.secrets_missing = !valid.missing_secrets.is_empty();
    let owner = Owner {
        namespace: valid.objects.namespace.clone(),
        name: valid.objects.cluster.as_str().to_owned(),
        uid: cluster.uid().unwrap_or_default(),
    };
    let capabilities = shared.discovery.capabilities(&shared.client).await;
    let before = Parts::look(scope, &valid, &owner);
    let goal = build::build(&valid, &Versions::all(&valid.version), &capabilities)?;
    let job = goal.iter().find(|object| object.kind == Kind::Job).map(|job| job.name().to_owned()).unwrap_or_default();
    let migration = before.migration(&job);
    let (versions, stage) = rollout::plan(&valid.version, &migration, &before.found());
    let is_on_its_way = stage != rollout::Stage::Done;
    let objects = if is_on_its_way { build::build(&valid, &versions, &capabilities)? } else { goal };

    let applying = apply(scope, &valid, &owner, objects, capabilities);
    let me = Claimant::of(cluster);
    let previous = cluster.status.as_ref();
    let (applied, topics, streams) = tokio::join!(
        applying,
        topics(scope, &valid, &me, previous, memory.topics.take()),
        streams(scope, &valid, &owner, memory.streams.take()),
    );

    let after = Parts::look(scope, &valid, &owner);
    let migration = after.migration(&job);
    let (_, stage) = rollout::plan(&valid.version, &migration, &after.found());
    let mut changed =
        finalizer_changed || !applied.changed.is_empty() || topics.fresh_changes() || streams.fresh_changes();
    news.extend(applied_news(&applied));
    if topics.is_new() {
        news.extend(topics.value().news.iter().cloned());
    }
    if streams.is_new() {
        news.extend(streams.value().news.iter().cloned());
    }
    if !valid.paused && retry_migration(scope, &owner, &after, &job).await {
        news.push(News::normal("MigrationRetried", format!("Job {job} failed before and is started again")));
        changed = true;
    }

    let mut report =
        Report { gateway: after.gateway.as_ref().map(|found| gateway(found, &valid)), ..Report::default() };
    report.findings = vec![
        topics.value().finding.clone(),
        streams.value().finding.clone(),
        database(&valid, &migration, after.core.as_ref(), &job),
        component(&valid, About::CoreAvailable, after.core.as_ref()),
        component(&valid, About::WorkerAvailable, after.worker.as_ref()),
        component(&valid, About::GatewayAvailable, after.gateway.as_ref()),
        status::upgraded(stage, &valid.version),
    ];
    report.topics = topics.value().topics.clone();
    report.version = (stage == rollout::Stage::Done).then(|| valid.version.clone());
    if valid.paused {
        report.findings.push(Finding::yes(About::Paused, "Paused", "nothing is changed until spec.paused is false"));
    }
    for error in &applied.errors {
        shared.metrics.error("kubernetes");
        report.obstacles.push(("ApplyFailed", error.to_string()));
    }
    let failed = !applied.errors.is_empty() || topics.value().failed || streams.value().failed;
    memory.topics = Some(topics.into_inner());
    memory.streams = Some(streams.into_inner());
    changed |= tell(cluster, scope, &report, news).await?;

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

fn done(changed: bool, again: Duration) -> Done {
    Done { outcome: if changed { Outcome::changed } else { Outcome::unchanged }, again }
}

/// A result of this pass, or one of an earlier pass that is young enough.
enum Step<T> {
    New(T),
    Known(Instant, T),
}

impl<T> Step<T> {
    fn value(&self) -> &T {
        match self {
            Self::New(value) | Self::Known(_, value) => value,
        }
    }

    const fn is_new(&self) -> bool {
        matches!(self, Self::New(_))
    }

    fn into_inner(self) -> (Instant, T) {
        match self {
            Self::New(value) => (Instant::now(), value),
            Self::Known(at, value) => (at, value),
        }
    }
}

impl Step<TopicsFound> {
    fn fresh_changes(&self) -> bool {
        self.is_new() && self.value().changed
    }
}

impl Step<Streams> {
    fn fresh_changes(&self) -> bool {
        self.is_new() && self.value().changed
    }
}

/// What was read less than this ago is not read again: watches trigger many passes.
fn is_young(scope: &Scope, at: Instant) -> bool {
    at.elapsed() < scope.shared.resync_interval * 4 / 5
}

async fn topics(
    scope: &Scope,
    valid: &ValidatedCluster,
    me: &Claimant,
    previous: Option<&ChatClusterStatus>,
    known: Option<(Instant, TopicsFound)>,
) -> Step<TopicsFound> {
    match known {
        Some((at, known)) if !known.failed && is_young(scope, at) => Step::Known(at, known),
        // after a failure the pauses grow, whatever triggers passes meanwhile
        Some((at, known)) if known.failed && valid.kafka.connection.is_some() && at.elapsed() < FIRST_RETRY / 2 => {
            Step::Known(at, known)
        }
        _ => Step::New(topics_step::run(&scope.shared, valid, me, previous).await),
    }
}

async fn streams(
    scope: &Scope,
    valid: &ValidatedCluster,
    owner: &Owner,
    known: Option<(Instant, Streams)>,
) -> Step<Streams> {
    let pods = scope.caches.gateway_pods(&owner.namespace, &owner.name);
    match known {
        Some((at, known)) if !known.failed && known.pods == pods && is_young(scope, at) => Step::Known(at, known),
        Some((at, known)) if known.failed && valid.redis.connection.is_some() && at.elapsed() < FIRST_RETRY / 2 => {
            Step::Known(at, known)
        }
        _ => Step::New(streams_step::run(&scope.shared, valid, pods).await),
    }
}

/// The Secrets that the spec names and the one that the operator makes; read again when they are old or incomplete.
async fn read_secrets(
    cluster: &ChatCluster,
    scope: &Scope,
    memory: &mut Memory,
) -> Result<(Secrets, Vec<News>), SecretError> {
    if let Some((at, known)) = &memory.secrets
        && is_young(scope, *at)
        && (!memory.secrets_missing || at.elapsed() < SECRET_MISSING / 2)
    {
        return Ok((known.clone(), Vec::new()));
    }
    let (client, namespace) = (&scope.shared.client, cluster.namespace().unwrap_or_default());
    let mut found = dereference::read(client, &namespace, secrets::named(&cluster.spec)).await?;
    let mut news = Vec::new();
    let auth = &cluster.spec.auth;
    if auth.signing_key_secret_ref.is_none() || auth.service_token_secret_ref.is_none() {
        let name = format!("{}-keys", cluster.name_any());
        let metadata = (!cluster.spec.paused).then(|| ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            labels: Some(BTreeMap::from([
                (CLUSTER_LABEL.to_owned(), cluster.name_any()),
                (MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned()),
            ])),
            owner_references: cluster.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        });
        let (data, made) = dereference::own_keys(client, &namespace, &name, metadata).await?;
        found.insert(&name, data);
        if made {
            news.push(News::normal("KeysCreated", format!("Secret {name} holds fresh keys")));
        }
    }
    memory.secrets = Some((Instant::now(), found.clone()));
    Ok((found, news))
}

async fn apply(
    scope: &Scope,
    valid: &ValidatedCluster,
    owner: &Owner,
    mut objects: Vec<Object>,
    capabilities: Capabilities,
) -> Applied {
    if valid.paused {
        return Applied::default();
    }
    let mut kept = vec![Kind::Secret];
    if !valid.missing_secrets.is_empty() {
        // pods could not start without them; those that run must not be replaced
        let held = [Kind::Deployment, Kind::Job];
        objects.retain(|object| !held.contains(&object.kind));
        kept.extend(held);
    }
    let scalings = [(Component::Worker, &valid.worker.scaling), (Component::Gateway, &valid.gateway.scaling)];
    let initial_replicas = scalings
        .into_iter()
        .filter(|(_, scaling)| scaling.autoscaling().is_some())
        .map(|(component, scaling)| (valid.objects.component(component).into(), scaling.initial_replicas()))
        .collect();
    let optional =
        [(Kind::ServiceMonitor, capabilities.service_monitor), (Kind::PrometheusRule, capabilities.prometheus_rule)];
    let optional = optional.into_iter().filter(|(_, there)| *there).map(|(kind, _)| kind).collect();
    let applier = Applier { client: &scope.shared.client, caches: &scope.caches, owner, initial_replicas, optional };
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

/// The parts as the watches show them.
struct Parts {
    core: Option<Availability>,
    worker: Option<Availability>,
    gateway: Option<Availability>,
    jobs: BTreeMap<String, (Job, Arc<kube::core::DynamicObject>)>,
}

impl Parts {
    fn look(scope: &Scope, valid: &ValidatedCluster, owner: &Owner) -> Self {
        let part = |component: Component| {
            let name = valid.objects.component(component);
            let object = scope.caches.get(Kind::Deployment, &owner.namespace, name.as_str())?;
            observe::typed::<Deployment>(&object).map(|deployment| Availability::of(&deployment))
        };
        let jobs = scope.caches.of_cluster(Kind::Job, &owner.namespace, &owner.name);
        let jobs =
            jobs.into_iter().filter_map(|object| Some((object.name_any(), (observe::typed::<Job>(&object)?, object))));
        Self {
            core: part(Component::Core),
            worker: part(Component::Worker),
            gateway: part(Component::Gateway),
            jobs: jobs.collect(),
        }
    }

    fn found(&self) -> Found {
        let running = |part: &Option<Availability>| part.as_ref().map(Availability::running);
        Found { core: running(&self.core), worker: running(&self.worker), gateway: running(&self.gateway) }
    }

    fn migration(&self, job: &str) -> Migration {
        observe::migration(self.jobs.get(job).map(|(job, _)| job))
    }
}

/// Deletes a Job that failed some time ago; the next pass makes it again.
async fn retry_migration(scope: &Scope, owner: &Owner, parts: &Parts, job: &str) -> bool {
    let Some((failed, object)) = parts.jobs.get(job) else { return false };
    let Some(at) = observe::failed_at(failed) else { return false };
    if Timestamp::now().duration_since(at).as_secs() < i64::try_from(MIGRATE_AGAIN.as_secs()).unwrap_or(i64::MAX) {
        return false;
    }
    let applier = Applier {
        client: &scope.shared.client,
        caches: &scope.caches,
        owner,
        initial_replicas: BTreeMap::new(),
        optional: Vec::new(),
    };
    applier.delete(Kind::Job, object).await.is_ok()
}

fn component(valid: &ValidatedCluster, about: About, found: Option<&Availability>) -> Finding {
    if found.is_none() && !valid.missing_secrets.is_empty() {
        let missing: BTreeSet<String> = valid.missing_secrets.iter().map(|(_, missing)| missing.to_string()).collect();
        let missing: Vec<String> = missing.into_iter().collect();
        return Finding::no(
            about,
            "SecretMissing",
            format!("the Deployment is made once they are there: {}", missing.join("; ")),
        );
    }
    observe::availability(about, found)
}

fn database(valid: &ValidatedCluster, migration: &Migration, core: Option<&Availability>, job: &str) -> Finding {
    let missing = valid.missing_secrets.iter().find(|(by, _)| *by == crate::validate::UsedBy::Database);
    match missing {
        Some((_, missing)) => Finding::no(About::DatabaseReady, "SecretMissing", missing.to_string()),
        None => observe::database(migration, core, job),
    }
}

fn gateway(found: &Availability, valid: &ValidatedCluster) -> GatewayStatus {
    let labels = build::metadata::selector(valid, Some(Component::Gateway.as_str()));
    let selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    GatewayStatus {
        replicas: found.replicas,
        ready: format!("{}/{}", found.ready, found.wanted),
        selector: selector.join(","),
    }
}

/// Writes the status when it differs, and tells the news. True: it was written.
async fn tell(cluster: &ChatCluster, scope: &Scope, report: &Report, mut news: Vec<News>) -> Result<bool, PassError> {
    let shared = &scope.shared;
    let previous = cluster.status.as_ref();
    let now = status::status(previous, cluster.metadata.generation, report, Timestamp::now());
    let ready = now.conditions.iter().find(|condition| condition.kind == "Ready").map(|condition| condition.status);
    shared.note_ready(
        &cluster.uid().unwrap_or_default(),
        match ready {
            Some(ConditionStatus::True) => "True",
            Some(ConditionStatus::False) => "False",
            _ => "Unknown",
        },
    );
    news.extend(events::of_conditions(previous, &now));
    let changed = previous != Some(&now);
    if changed {
        write_status(cluster, scope, &now).await.map_err(PassError::Status)?;
    }
    shared.events.tell(cluster, &news).await;
    Ok(changed)
}

pub(crate) async fn write_status(
    cluster: &ChatCluster,
    scope: &Scope,
    status: &ChatClusterStatus,
) -> Result<(), kube::Error> {
    let api: Api<ChatCluster> = Api::namespaced(scope.shared.client.clone(), &cluster.namespace().unwrap_or_default());
    let patch = json!({"apiVersion": ChatCluster::api_version(&()), "kind": ChatCluster::kind(&()), "status": status});
    let params = PatchParams::apply(MANAGER).force();
    match api.patch_status(&cluster.name_any(), &params, &Patch::Apply(patch)).await {
        // deleted meanwhile
        Err(kube::Error::Api(error)) if error.code == 404 => Ok(()),
        other => other.map(drop),
    }
}

/// Says of an object that does not fit its type why, without knowing more of it than its name.
async fn undecoded(metadata: &ObjectMeta, why: &str, scope: &Scope) -> Result<Done, PassError> {
    let (name, namespace) = (metadata.name.clone().unwrap_or_default(), metadata.namespace.clone().unwrap_or_default());
    scope.shared.metrics.error("spec");
    tracing::warn!(cluster = name, namespace, why, "ChatCluster cannot be read");
    let report = Report { obstacles: vec![("Undecodable", why.to_owned())], ..Report::default() };
    let status = status::status(None, metadata.generation, &report, Timestamp::now());
    // without the time of the transition: it is not known since when, and the next pass must write nothing new
    let mut status = serde_json::to_value(&status)?;
    if let Some(at) = status.pointer_mut("/conditions/0/lastTransitionTime") {
        *at = json!(
            metadata
                .creation_timestamp
                .as_ref()
                .map(|at| at.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
                .unwrap_or_default()
        );
    }
    let patch = json!({"apiVersion": ChatCluster::api_version(&()), "kind": ChatCluster::kind(&()), "status": status});
    let dynamic: Api<kube::core::DynamicObject> = Api::namespaced_with(
        scope.shared.client.clone(),
        &namespace,
        &kube::api::ApiResource::erase::<ChatCluster>(&()),
    );
    let written = dynamic.patch_status(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(patch)).await;
    written.map_err(PassError::Status)?;
    Ok(Done { outcome: Outcome::error, again: LAST_RETRY * 5 })
}
