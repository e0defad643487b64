//! What kube-controller-manager, a scheduler and a kubelet would do, at the moment a test wants it. All of it is done by
//! the user `testkit`, so that the audit log tells it from the code under test.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::discovery::{ApiResource, Scope, verbs};
use kube::discovery::Discovery;
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::ApiServer;
use crate::servers::random_name;

/// How far a Deployment has rolled out, in pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Of the newest template.
    pub updated: i32,
    /// Of any template, ready and available.
    pub available: i32,
}

impl ApiServer {
    /// A new namespace with a name of its own.
    pub async fn namespace(&self) -> Result<String> {
        let name = format!("t-{}", random_name(10).to_lowercase());
        self.create_namespace(&name).await?;
        Ok(name)
    }

    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        let namespaces: Api<Namespace> = Api::all(self.stand_in.client().await?);
        let made = namespaces.create(&PostParams::default(), &namespace).await;
        made.with_context(|| format!("failed to make the namespace {name}")).map(drop)
    }

    /// Makes the Deployment look rolled out: all pods that its `spec.replicas` asks for are new, ready and available.
    pub async fn set_deployment_available(&self, namespace: &str, name: &str) -> Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.stand_in.client().await?, namespace);
        let deployment = get(&deployments, name).await?;
        let replicas = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let rollout = Rollout { updated: replicas, available: replicas };
        patch_status(&deployments, name, &deployment_status(deployment.metadata.generation, replicas, rollout)).await
    }

    /// Makes the Deployment look like one on its way, or like one that has failed.
    pub async fn set_deployment_rollout(&self, namespace: &str, name: &str, rollout: Rollout) -> Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.stand_in.client().await?, namespace);
        let deployment = get(&deployments, name).await?;
        let replicas = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        patch_status(&deployments, name, &deployment_status(deployment.metadata.generation, replicas, rollout)).await
    }

    /// Makes the Job look finished well.
    pub async fn set_job_complete(&self, namespace: &str, name: &str) -> Result<()> {
        let jobs: Api<Job> = Api::namespaced(self.stand_in.client().await?, namespace);
        patch_status(&jobs, name, &job_complete()).await
    }

    /// Makes the Job look given up.
    pub async fn set_job_failed(&self, namespace: &str, name: &str) -> Result<()> {
        let jobs: Api<Job> = Api::namespaced(self.stand_in.client().await?, namespace);
        patch_status(&jobs, name, &job_failed()).await
    }

    /// A pod as a `ReplicaSet` would make it, running on no node.
    pub async fn make_pod(&self, namespace: &str, name: &str, labels: &[(&str, &str)], ready: bool) -> Result<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.stand_in.client().await?, namespace);
        let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        });
        let pod: Pod = serde_json::from_value(pod).context("failed to describe a pod")?;
        let made = pods.create(&PostParams::default(), &pod).await;
        made.with_context(|| format!("failed to make the pod {namespace}/{name}"))?;
        self.set_pod_ready(namespace, name, ready).await?;
        get(&pods, name).await
    }

    /// Runs the pod and lets its readiness probe answer so.
    pub async fn set_pod_ready(&self, namespace: &str, name: &str, ready: bool) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.stand_in.client().await?, namespace);
        let state = if ready { "True" } else { "False" };
        let condition = |kind: &str| json!({"type": kind, "status": state, "lastTransitionTime": now()});
        let conditions = [condition("Ready"), condition("ContainersReady")];
        patch_status(&pods, name, &json!({"phase": "Running", "conditions": conditions})).await
    }

    /// Removes the pod at once, as a kubelet does when its containers have ended.
    pub async fn remove_pod(&self, namespace: &str, name: &str) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.stand_in.client().await?, namespace);
        let removed = pods.delete(name, &DeleteParams::default().grace_period(0)).await;
        removed.with_context(|| format!("failed to remove the pod {namespace}/{name}")).map(drop)
    }

    /// Asks for the deletion of everything in the namespace, as the namespace controller does once the namespace is
    /// being deleted, and answers what is still there: `kind/name`, held by a finalizer.
    pub async fn empty_namespace(&self, namespace: &str) -> Result<Vec<String>> {
        let client = self.stand_in.client().await?;
        for object in objects(&client, namespace).await? {
            object.delete(&client, namespace).await?;
        }
        Ok(objects(&client, namespace).await?.iter().map(Object::to_string).collect())
    }

    /// Takes the namespace controller's finalizer away, after which a namespace that is being deleted is gone. What is
    /// left in it stays in etcd, so call [`ApiServer::empty_namespace`] until it answers nothing.
    pub async fn finish_namespace(&self, namespace: &str) -> Result<()> {
        let client = self.stand_in.client().await?;
        let mut document: Value = serde_json::to_value(get(&Api::<Namespace>::all(client.clone()), namespace).await?)
            .context("failed to write a namespace")?;
        document["spec"]["finalizers"] = json!([]);
        let body = serde_json::to_vec(&document).context("failed to write a namespace")?;
        let request = http::Request::put(format!("/api/v1/namespaces/{namespace}/finalize"))
            .header("content-type", "application/json")
            .body(body)
            .context("failed to write a request")?;
        client.request_text(request).await.with_context(|| format!("failed to finish {namespace}")).map(drop)
    }

    /// Removes what belongs to an owner that is gone, and what belongs to that, as the garbage collector does. Answers
    /// what was removed: `kind/name`. Owners outside the namespace are not looked at.
    pub async fn collect_garbage(&self, namespace: &str) -> Result<Vec<String>> {
        let client = self.stand_in.client().await?;
        let mut removed = Vec::new();
        loop {
            let all = objects(&client, namespace).await?;
            let there: HashSet<String> = all.iter().filter_map(|object| object.object.uid()).collect();
            let orphans: Vec<&Object> = all.iter().filter(|object| object.is_orphan(&there)).collect();
            if orphans.is_empty() {
                return Ok(removed);
            }
            for orphan in orphans {
                orphan.delete(&client, namespace).await?;
                removed.push(orphan.to_string());
            }
        }
    }
}

/// An object of whatever kind, with how to reach it.
struct Object {
    resource: ApiResource,
    object: DynamicObject,
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.resource.kind, self.object.name_any())
    }
}

impl Object {
    /// Something that is being deleted already is left to its finalizers.
    fn is_orphan(&self, there: &HashSet<String>) -> bool {
        let owners = self.object.owner_references();
        self.object.metadata.deletion_timestamp.is_none()
            && !owners.is_empty()
            && owners.iter().all(|owner| !there.contains(&owner.uid))
    }

    async fn delete(&self, client: &Client, namespace: &str) -> Result<()> {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &self.resource);
        match api.delete(&self.object.name_any(), &DeleteParams::background().grace_period(0)).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            outcome => outcome.with_context(|| format!("failed to delete {self}")).map(drop),
        }
    }
}

/// Everything in the namespace that can be listed and deleted.
async fn objects(client: &Client, namespace: &str) -> Result<Vec<Object>> {
    let discovery = Discovery::new(client.clone()).run().await.context("failed to ask which resources there are")?;
    let mut found = Vec::new();
    for (resource, capabilities) in discovery.groups().flat_map(kube::discovery::ApiGroup::recommended_resources) {
        let usable = capabilities.supports_operation(verbs::LIST) && capabilities.supports_operation(verbs::DELETE);
        if capabilities.scope != Scope::Namespaced || !usable {
            continue;
        }
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let listed = api.list(&ListParams::default()).await;
        let listed = listed.with_context(|| format!("failed to list {} in {namespace}", resource.plural))?;
        found.extend(listed.items.into_iter().map(|object| Object { resource: resource.clone(), object }));
    }
    Ok(found)
}

async fn get<K>(api: &Api<K>, name: &str) -> Result<K>
where
    K: Clone + DeserializeOwned + Debug,
{
    api.get(name).await.with_context(|| format!("failed to read {name}"))
}

pub(super) async fn patch_status<K>(api: &Api<K>, name: &str, status: &Value) -> Result<()>
where
    K: Clone + DeserializeOwned + Debug,
{
    let patched = api.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await;
    patched.with_context(|| format!("failed to set the status of {name}")).map(drop)
}

/// `replicas` is what the Deployment asks for.
pub(super) fn deployment_status(generation: Option<i64>, replicas: i32, rollout: Rollout) -> Value {
    let there = replicas.max(rollout.available).max(rollout.updated);
    let available = rollout.available >= replicas;
    let done = available && rollout.updated >= replicas;
    let reason = if done { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" };
    let available = if available { "True" } else { "False" };
    json!({
        "observedGeneration": generation,
        "replicas": there,
        "updatedReplicas": rollout.updated,
        "readyReplicas": rollout.available,
        "availableReplicas": rollout.available,
        "unavailableReplicas": there - rollout.available,
        "conditions": [
            {"type": "Available", "status": available, "reason": "MinimumReplicas", "lastTransitionTime": now(), "lastUpdateTime": now()},
            {"type": "Progressing", "status": "True", "reason": reason, "lastTransitionTime": now(), "lastUpdateTime": now()},
        ],
    })
}

/// The API server insists on the order of the conditions' history: first the criteria, then the end.
pub(super) fn job_complete() -> Value {
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "CompletionsReached", "lastTransitionTime": now(), "lastProbeTime": now()});
    json!({
        "startTime": now(),
        "completionTime": now(),
        "active": 0,
        "ready": 0,
        "terminating": 0,
        "succeeded": 1,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
    })
}

fn job_failed() -> Value {
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": now(), "lastProbeTime": now()});
    json!({
        "startTime": now(),
        "active": 0,
        "ready": 0,
        "terminating": 0,
        "failed": 1,
        "conditions": [condition("FailureTarget"), condition("Failed")],
    })
}

/// The API server keeps whole seconds.
fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
