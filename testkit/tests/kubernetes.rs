//! The API server answers as a real one, tells what was asked of it, and lets a test play the controllers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by failing")]

use std::path::PathBuf;
use std::time::Instant;

use chatcluster_testkit::kubernetes::Rollout;
use chatcluster_testkit::{ApiServer, WAIT, await_condition};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams};

fn manifests(namespace: &str) -> String {
    format!(
        r"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: none}}]}}
---
apiVersion: batch/v1
kind: Job
metadata: {{name: migrate, namespace: {namespace}}}
spec:
  template:
    spec: {{restartPolicy: Never, containers: [{{name: migrate, image: none}}]}}
"
    )
}

fn config_map(namespace: &str, name: &str) -> String {
    format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {namespace}}}}}")
}

#[tokio::test]
async fn it_starts_survives_a_kill_and_leaves_nothing() {
    let start = Instant::now();
    let api = ApiServer::start().await.unwrap();
    println!("the API server serves after {:?}", start.elapsed());
    assert!(api.kubectl(&["version"]).await.unwrap().contains("Server Version: v1.3"));
    let namespace = api.namespace().await.unwrap();

    api.process().crash_and_restart().await.unwrap();
    let namespaces = api.kubectl(&["get", "namespaces", "-o", "name"]).await.unwrap();
    assert!(namespaces.contains(&namespace), "{namespaces}");
    let pids = [api.process().pid().unwrap(), api.etcd().pid().unwrap()];
    drop(api);
    assert!(pids.iter().all(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()));
}

#[tokio::test]
async fn the_audit_log_tells_who_asked_for_what_between_two_moments() {
    let api = ApiServer::shared().await.unwrap();
    let namespace = api.namespace().await.unwrap();
    let mark = api.audit_mark().await.unwrap();
    api.apply(&config_map(&namespace, "one")).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(api.client().await.unwrap(), &namespace);
    maps.list(&ListParams::default()).await.unwrap();
    maps.delete("one", &DeleteParams::default()).await.unwrap();

    let ours = |call: &chatcluster_testkit::kubernetes::Call| call.user == "admin" && call.namespace == namespace;
    let calls: Vec<_> = api.audit_since(mark).await.unwrap().into_iter().filter(ours).collect();
    let writes: Vec<_> = calls.iter().filter(|call| call.is_write()).collect();
    let seen: Vec<_> = writes.iter().map(|call| (call.verb.as_str(), call.name.as_str(), call.code)).collect();
    assert_eq!(seen, [("create", "one", 201), ("delete", "one", 200)]);
    assert!(writes.iter().all(|call| call.resource == "configmaps" && call.at >= writes[0].at));
    assert!(calls.iter().any(|call| call.verb == "list" && call.resource == "configmaps"));
    let after = api.audit_mark().await.unwrap();
    assert!(!api.audit_since(after).await.unwrap().iter().any(ours));
}

#[tokio::test]
async fn a_service_account_may_do_what_its_role_says() {
    let api = ApiServer::shared().await.unwrap();
    let namespace = api.namespace().await.unwrap();
    let access = api.service_account(&namespace, "operator").await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(access.client().await.unwrap(), &namespace);
    let refused = maps.list(&ListParams::default()).await.unwrap_err().to_string();
    assert!(refused.contains("forbidden"), "{refused}");

    let subject = format!("--serviceaccount={namespace}:operator");
    let create = ["-n", &namespace, "create"];
    let role = [&create[..], &["role", "reader", "--verb=list", "--resource=configmaps"]].concat();
    api.kubectl(&role).await.unwrap();
    let binding = [&create[..], &["rolebinding", "reader", "--role=reader", &subject]].concat();
    api.kubectl(&binding).await.unwrap();
    let list = || async { maps.list(&ListParams::default()).await };
    await_condition("the role to count", WAIT, list).await.unwrap();
    let manifest = config_map(&namespace, "one");
    let refused = api.kubectl_as(&access, &["apply", "-f", "-"], &manifest).await.unwrap_err().to_string();
    assert!(refused.contains("forbidden"), "{refused}");
}

#[tokio::test]
async fn workloads_look_as_the_test_says() {
    let api = ApiServer::shared().await.unwrap();
    let namespace = api.namespace().await.unwrap();
    api.apply(&manifests(&namespace)).await.unwrap();
    let client = api.client().await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);

    api.set_deployment_rollout(&namespace, "web", Rollout { updated: 1, available: 1 }).await.unwrap();
    let status = deployments.get("web").await.unwrap().status.unwrap();
    assert_eq!((status.replicas, status.updated_replicas, status.available_replicas), (Some(2), Some(1), Some(1)));
    api.set_deployment_available(&namespace, "web").await.unwrap();
    let rolled_out = api.kubectl(&["-n", &namespace, "rollout", "status", "deployment/web"]).await.unwrap();
    assert!(rolled_out.contains("successfully rolled out"), "{rolled_out}");

    api.set_job_complete(&namespace, "migrate").await.unwrap();
    let wait = ["-n", &namespace, "wait", "--for=condition=complete", "job/migrate", "--timeout=5s"];
    api.kubectl(&wait).await.unwrap();

    let pod = api.make_pod(&namespace, "web-1", &[("app", "web")], true).await.unwrap();
    assert_eq!(pod.status.unwrap().phase.as_deref(), Some("Running"));
    api.set_pod_ready(&namespace, "web-1", false).await.unwrap();
    api.remove_pod(&namespace, "web-1").await.unwrap();
    assert!(Api::<Pod>::namespaced(client, &namespace).get_opt("web-1").await.unwrap().is_none());
}

#[tokio::test]
async fn a_job_can_look_given_up() {
    let api = ApiServer::shared().await.unwrap();
    let namespace = api.namespace().await.unwrap();
    api.apply(&manifests(&namespace)).await.unwrap();
    api.set_job_failed(&namespace, "migrate").await.unwrap();
    let wait = ["-n", &namespace, "wait", "--for=condition=failed", "job/migrate", "--timeout=5s"];
    api.kubectl(&wait).await.unwrap();
}

#[tokio::test]
async fn controllers_let_everything_succeed_by_itself() {
    let api = ApiServer::shared().await.unwrap();
    let namespace = api.namespace().await.unwrap();
    let controllers = api.controllers(Some(&namespace)).await.unwrap();
    api.apply(&manifests(&namespace)).await.unwrap();
    let client = api.client().await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let jobs: Api<Job> = Api::namespaced(client, &namespace);
    let done = || async {
        let available = deployments.get("web").await.unwrap().status.and_then(|status| status.available_replicas);
        let succeeded = jobs.get("migrate").await.unwrap().status.and_then(|status| status.succeeded);
        if available == Some(2) && succeeded == Some(1) { Ok(()) } else { Err(format!("{available:?} {succeeded:?}")) }
    };
    await_condition("the workloads to be done", WAIT, done).await.unwrap();
    drop(controllers);
}

#[tokio::test]
async fn garbage_and_namespaces_go_when_the_test_says() {
    let api = ApiServer::shared().await.unwrap();
    let namespace = api.namespace().await.unwrap();
    api.apply(&manifests(&namespace)).await.unwrap();
    let client = api.client().await.unwrap();
    let uid = Api::<Deployment>::namespaced(client.clone(), &namespace).get("web").await.unwrap().metadata.uid.unwrap();
    let owned = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: owned, namespace: {namespace}, ownerReferences: \
         [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: {uid}}}]}}}}"
    );
    api.apply(&owned).await.unwrap();
    assert!(api.collect_garbage(&namespace).await.unwrap().is_empty());
    api.kubectl(&["-n", &namespace, "delete", "deployment", "web"]).await.unwrap();
    assert_eq!(api.collect_garbage(&namespace).await.unwrap(), ["ConfigMap/owned"]);

    api.kubectl(&["delete", "namespace", &namespace, "--wait=false"]).await.unwrap();
    assert!(api.empty_namespace(&namespace).await.unwrap().is_empty());
    api.finish_namespace(&namespace).await.unwrap();
    assert!(Api::<Namespace>::all(client).get_opt(&namespace).await.unwrap().is_none());
}
