//! The end of a `ChatCluster` with `deletionPolicy: Delete`: its topics and streams are removed before it may go. What is
//! gone already is as good as removed, attempts are bounded, and an annotation skips it all: deletion never hangs.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use chatcluster_contracts::topics::Group;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

use crate::{
    apply::{Applier, Owner},
    claims::Claimant,
    controller::Scope,
    crd::{ChatCluster, DeletionPolicy},
    dereference,
    events::News,
    kafka,
    kinds::{CLUSTER_LABEL, Kind},
    memory::Memory,
    metrics::Outcome,
    reconcile::Done,
    redis, report, secrets,
    status::{self, Report},
    streams_step,
    validate::{ValidatedCluster, validate},
};

pub(crate) const FINALIZER: &str = "chatcluster.dev/cleanup";
/// Annotation: `"true"` lets a `ChatCluster` go without cleaning up.
pub(crate) const SKIP: &str = "chatcluster.dev/skip-cleanup";
/// After so many failures the rest is left where it is.
const ATTEMPTS: u32 = 5;
/// Pods get so long to go, besides the gateways' drain, before their topics are taken away under them.
const PODS_GONE_WITHIN: Duration = Duration::from_mins(1);

/// The finalizer is there exactly as long as the policy is Delete. True: it was changed.
pub(crate) async fn keep_finalizer(cluster: &ChatCluster, client: &Client) -> Result<bool, kube::Error> {
    let wanted = cluster.spec.deletion_policy == DeletionPolicy::Delete;
    let there = cluster.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    if wanted != there {
        set_finalizer(cluster, client, wanted).await?;
    }
    Ok(wanted != there)
}

async fn set_finalizer(cluster: &ChatCluster, client: &Client, wanted: bool) -> Result<(), kube::Error> {
    let mut finalizers: Vec<&str> = cluster.finalizers().iter().map(String::as_str).collect();
    finalizers.retain(|finalizer| *finalizer != FINALIZER);
    if wanted {
        finalizers.push(FINALIZER);
    }
    // the version makes sure that nobody else's finalizer is lost
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": cluster.resource_version()}});
    let api: Api<ChatCluster> = Api::namespaced(client.clone(), &cluster.namespace().unwrap_or_default());
    match api.patch(&cluster.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Err(kube::Error::Api(error)) if error.code == 404 => Ok(()),
        other => other.map(drop),
    }
}

/// One step towards the end of a `ChatCluster` that is being deleted.
pub(crate) async fn run(cluster: &ChatCluster, scope: &Scope, memory: &mut Memory) -> Result<Done, kube::Error> {
    let shared = &scope.shared;
    if !cluster.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return Ok(Done { outcome: Outcome::unchanged, again: Duration::from_mins(5) });
    }
    if cluster.annotations().get(SKIP).is_some_and(|value| value == "true") {
        return let_go(
            cluster,
            scope,
            News::warning("CleanupSkipped", "topics and streams stay, as the annotation says"),
        )
        .await;
    }
    if cluster.spec.deletion_policy == DeletionPolicy::Retain {
        return let_go(cluster, scope, News::normal("Retained", "topics and streams stay")).await;
    }
    // the status written after a failure is itself a reason for a pass
    let pause = memory.cleanup_not_before.and_then(|at| at.checked_duration_since(Instant::now()));
    if let Some(pause) = pause {
        return Ok(Done { outcome: Outcome::unchanged, again: pause });
    }
    if pods_end(cluster, scope).await? {
        return Ok(Done { outcome: Outcome::changed, again: Duration::from_secs(1) });
    }
    match clean(cluster, scope).await {
        Ok(what) => let_go(cluster, scope, News::normal("CleanedUp", what)).await,
        Err(why) => {
            shared.metrics.error("cleanup");
            let attempts = cluster.status.as_ref().and_then(|status| status.cleanup_attempts).unwrap_or(0) + 1;
            if attempts >= ATTEMPTS {
                let note = format!("topics and streams are left behind after {attempts} attempts: {why}");
                return let_go(cluster, scope, News::warning("CleanupAbandoned", note)).await;
            }
            let message = format!(
                "attempt {attempts} of {ATTEMPTS} to remove topics and streams failed: {why}; to let it go without, annotate \
                 it with {SKIP}=true"
            );
            shared.events.tell(cluster, &[News::warning("CleanupFailed", message.clone())]).await;
            let report = Report {
                obstacles: vec![("CleaningUp", message)],
                cleanup_attempts: Some(attempts),
                ..Report::default()
            };
            let status =
                status::status(cluster.status.as_ref(), cluster.metadata.generation, &report, Timestamp::now());
            report::write_status(cluster, scope, &status).await?;
            let pause = Duration::from_secs(1 << attempts);
            memory.cleanup_not_before = Some(Instant::now() + pause);
            Ok(Done { outcome: Outcome::error, again: pause })
        }
    }
}

async fn let_go(cluster: &ChatCluster, scope: &Scope, news: News) -> Result<Done, kube::Error> {
    scope.shared.events.tell(cluster, &[news]).await;
    set_finalizer(cluster, &scope.shared.client, false).await?;
    Ok(Done { outcome: Outcome::changed, again: Duration::from_mins(5) })
}

/// Ends core, workers and gateways, which would go on producing. True: there are some still.
async fn pods_end(cluster: &ChatCluster, scope: &Scope) -> Result<bool, kube::Error> {
    let owner = Owner::of(cluster);
    let applier = Applier::new(scope, &owner);
    let makers = [Kind::Deployment, Kind::Job]
        .into_iter()
        .flat_map(|kind| {
            scope.caches.of_cluster(kind, &owner.namespace, &owner.name).into_iter().map(move |it| (kind, it))
        })
        .filter(|(_, object)| applier.owns(object) && object.metadata.deletion_timestamp.is_none());
    for (kind, object) in makers {
        if let Err(error) = applier.delete(kind, &object).await {
            tracing::warn!(%error, "not deleted yet");
        }
    }
    let since = cluster.metadata.deletion_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |at| at.0);
    let patience = PODS_GONE_WITHIN + Duration::from_secs(u64::from(cluster.spec.gateway.drain_seconds));
    if Timestamp::now().duration_since(since).unsigned_abs() >= patience {
        return Ok(false);
    }
    let pods: Api<Pod> = Api::namespaced(scope.shared.client.clone(), &owner.namespace);
    let selector = format!("{CLUSTER_LABEL}={}", owner.name);
    Ok(!pods.list_metadata(&ListParams::default().labels(&selector).limit(1)).await?.items.is_empty())
}

/// Removes what can be removed; says what, or why not.
async fn clean(cluster: &ChatCluster, scope: &Scope) -> Result<String, String> {
    let shared = &scope.shared;
    let namespace = cluster.namespace().unwrap_or_default();
    let secrets = dereference::read(&shared.client, &namespace, secrets::named(&cluster.spec)).await;
    let valid =
        validate(cluster, &secrets.map_err(|error| error.to_string())?).map_err(|invalid| invalid.to_string())?;
    let (topics, streams) = tokio::join!(remove_topics(cluster, scope, &valid), remove_streams(cluster, scope, &valid));
    Ok(format!("{} and {} removed", topics?, streams?))
}

async fn remove_topics(cluster: &ChatCluster, scope: &Scope, valid: &ValidatedCluster) -> Result<String, String> {
    let connection = valid.kafka.connection.as_ref().ok_or("a Secret for Kafka is missing")?;
    let declared: BTreeSet<String> = valid.kafka.topics.iter().map(|topic| topic.name.clone()).collect();
    let me = Claimant::of(cluster);
    let taken = scope.shared.topics.claim(&valid.kafka.servers(), &declared, &me);
    let ours: Vec<String> =
        declared.into_iter().filter(|name| !taken.iter().any(|(theirs, _)| theirs == name)).collect();
    // another ChatCluster of the same prefix would have the same groups
    let groups =
        if taken.is_empty() { Group::ALL.map(|group| valid.kafka.names.group(group)).into() } else { Vec::new() };
    let admin =
        scope.shared.kafka.get(&connection.options(scope.shared.call_timeout)).map_err(|error| error.to_string())?;
    let left = kafka::remove(&admin, &ours, &groups).await.map_err(|error| error.to_string())?;
    if let Some(first) = left.first() {
        return Err(format!("{}: {}", first.name, first.error));
    }
    Ok(format!("{} topics", ours.len()))
}

async fn remove_streams(cluster: &ChatCluster, scope: &Scope, valid: &ValidatedCluster) -> Result<String, String> {
    if let Some(holder) = streams_step::holder(&scope.shared, valid, &Claimant::of(cluster)) {
        return Ok(format!("no streams, which are those of {holder},"));
    }
    let connection = valid.redis.connection.as_ref().ok_or("a Secret for Redis is missing")?;
    let redis = scope.shared.redis.get(connection).map_err(|error| error.to_string())?;
    let count = redis::streams::remove_all(&redis, &valid.redis.keys).await.map_err(|error| error.to_string())?;
    Ok(format!("{count} streams"))
}
