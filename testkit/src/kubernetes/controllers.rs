//! The stand-in's controllers, for tests in which rollouts are not the subject: every Deployment is available and every
//! Job complete as soon as somebody makes or changes one.

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::task::JoinSet;

use super::ApiServer;
use super::stand_in::{Rollout, deployment_status, job_complete, patch_status};

/// Works until dropped.
#[derive(Debug)]
pub struct Controllers {
    _tasks: JoinSet<()>,
}

impl ApiServer {
    /// Lets Deployments roll out and Jobs succeed at once, in this namespace or in all of them. Belongs to the runtime
    /// of the test that calls it.
    pub async fn controllers(&self, namespace: Option<&str>) -> Result<Controllers> {
        let client = self.stand_in.client().await.context("failed to start the controllers")?;
        let mut tasks = JoinSet::new();
        tasks.spawn(deployments(client.clone(), namespace.map(str::to_owned)));
        tasks.spawn(jobs(client, namespace.map(str::to_owned)));
        Ok(Controllers { _tasks: tasks })
    }
}

async fn deployments(client: Client, namespace: Option<String>) {
    let api: Api<Deployment> = api(&client, namespace.as_deref());
    let changes = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
    let work = changes.try_for_each_concurrent(8, |deployment| {
        let client = client.clone();
        async move {
            let generation = deployment.metadata.generation;
            let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            let status = deployment.status.clone().unwrap_or_default();
            let done = status.observed_generation == generation && status.available_replicas.unwrap_or(0) == replicas;
            if !done && let Some(namespace) = deployment.namespace() {
                let api: Api<Deployment> = Api::namespaced(client, &namespace);
                let status =
                    deployment_status(generation, replicas, Rollout { updated: replicas, available: replicas });
                report(patch_status(&api, &deployment.name_any(), &status).await);
            }
            Ok(())
        }
    });
    report(work.await.context("the watch of Deployments ended"));
}

async fn jobs(client: Client, namespace: Option<String>) {
    let api: Api<Job> = api(&client, namespace.as_deref());
    let changes = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
    let work = changes.try_for_each_concurrent(8, |job| {
        let client = client.clone();
        async move {
            let done = job.status.as_ref().is_some_and(|status| status.start_time.is_some());
            if !done && let Some(namespace) = job.namespace() {
                let api: Api<Job> = Api::namespaced(client, &namespace);
                report(patch_status(&api, &job.name_any(), &job_complete()).await);
            }
            Ok(())
        }
    });
    report(work.await.context("the watch of Jobs ended"));
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// An object that was deleted meanwhile is no harm, a server that a test stopped neither; a person reads this only when
/// a test fails.
fn report(outcome: Result<()>) {
    if let Err(error) = outcome {
        eprintln!("testkit: controllers: {error:#}");
    }
}
