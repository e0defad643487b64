//! Writes what was found into the status, once and only when it differs, and tells the news.

use jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, ObjectMeta, Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::json;

use crate::{
    controller::Scope,
    crd::{ChatCluster, ChatClusterStatus, ConditionStatus},
    events::{self, News},
    kinds::MANAGER,
    memory::Memory,
    status::{self, Report},
};

/// Writes the status when it differs, and tells the news. True: it was written.
pub(crate) async fn tell(
    cluster: &ChatCluster,
    scope: &Scope,
    memory: &mut Memory,
    report: &Report,
    mut news: Vec<News>,
) -> Result<bool, kube::Error> {
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
        write_status(cluster, scope, &now).await?;
    }
    shared.events.tell(cluster, &memory.untold(news)).await;
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
pub(crate) async fn undecoded(metadata: &ObjectMeta, why: &str, scope: &Scope) -> Result<(), kube::Error> {
    let (name, namespace) = (metadata.name.clone().unwrap_or_default(), metadata.namespace.clone().unwrap_or_default());
    scope.shared.metrics.error("spec");
    tracing::warn!(cluster = name, namespace, why, "ChatCluster cannot be read");
    let report = Report { obstacles: vec![("Undecodable", why.to_owned())], ..Report::default() };
    // the time of its creation: it is not known since when, and the next pass must write nothing new
    let since = metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |at| at.0);
    let status = status::status(None, metadata.generation, &report, since);
    let patch = json!({"apiVersion": ChatCluster::api_version(&()), "kind": ChatCluster::kind(&()), "status": status});
    let resource = ApiResource::erase::<ChatCluster>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(scope.shared.client.clone(), &namespace, &resource);
    api.patch_status(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(patch)).await.map(drop)
}
