//! What other tools do with a `ChatCluster`: scale it, watch it by Prometheus, stumble over it.

use chatcluster_operator::{crd::ConditionStatus, kinds::Kind};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{ListParams, Patch},
};
use serde_json::json;

use crate::support::{World, eventually, test_manager};

#[tokio::test]
async fn kubectl_scales_it_and_explains_it() {
    let world = World::new().await;
    let _operator = world.operator().await;
    let mut manifest = world.manifest("chat");
    manifest["spec"]["gateway"] = json!({"replicas": 2});
    world.apply(&manifest).await;
    world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;
    world.api.kubectl(&["scale", "chatcluster/chat", "--replicas=4", "-n", &world.namespace]).await.unwrap();
    eventually("the gateways are four", || async {
        let found = world.dynamic(Kind::Deployment).get("chat-gateway").await.ok()?;
        (found.data["spec"]["replicas"] == 4).then_some(())
    })
    .await;
    let status = world.clusters().get("chat").await.unwrap().status.unwrap().gateway.unwrap();
    assert!(status.selector.contains("app.kubernetes.io/component=gateway"), "{}", status.selector);
    let told = world.api.kubectl(&["explain", "chatcluster.spec.gateway.autoscaling"]).await.unwrap();
    assert!(told.contains("targetConnectionsPerPod") && told.contains("Connections of a pod, on average"), "{told}");
}

#[tokio::test]
async fn prometheus_gets_its_objects_where_it_is_installed() {
    let world = World::new().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    for (kind, plural) in [("ServiceMonitor", "servicemonitors"), ("PrometheusRule", "prometheusrules")] {
        let name = format!("{plural}.monitoring.coreos.com");
        let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": name},
            "spec": {
                "group": "monitoring.coreos.com",
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
            },
        });
        definitions.patch(&name, &test_manager(), &Patch::Apply(definition)).await.unwrap();
    }
    for kind in [Kind::ServiceMonitor, Kind::PrometheusRule] {
        eventually("the kind is served", || async { world.dynamic(kind).list(&ListParams::default()).await.ok() })
            .await;
    }
    eventually("discovery shows it", || async {
        let groups = world.client.list_api_groups().await.ok()?;
        groups.groups.iter().any(|group| group.name == "monitoring.coreos.com").then_some(())
    })
    .await;
    let _operator = world.operator().await;
    let mut manifest = world.manifest("chat");
    world.apply(&manifest).await;
    for kind in [Kind::ServiceMonitor, Kind::PrometheusRule] {
        eventually("its object is there", || async { (world.names(kind).await == ["chat"]).then_some(()) }).await;
    }
    manifest["spec"]["monitoring"] = json!({"enabled": false});
    world.apply(&manifest).await;
    for kind in [Kind::ServiceMonitor, Kind::PrometheusRule] {
        eventually("its object is gone", || async { world.names(kind).await.is_empty().then_some(()) }).await;
    }
}

#[tokio::test]
async fn an_object_of_somebody_else_is_not_taken_over() {
    let world = World::new().await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "chat-core"},
        "spec": {"selector": {"app": "mine"}, "ports": [{"port": 80}]},
    });
    world.dynamic(Kind::Service).patch("chat-core", &test_manager(), &Patch::Apply(service)).await.unwrap();
    let _operator = world.operator().await;
    world.apply(&world.manifest("chat")).await;
    let said = world.until_reason("chat", "Ready", "ApplyFailed").await;
    assert!(said.message.contains("Service chat-core") && said.message.contains("somebody else"), "{}", said.message);
    let found = world.dynamic(Kind::Service).get("chat-core").await.unwrap();
    assert_eq!(found.data["spec"]["selector"], json!({"app": "mine"}));
    eventually("the rest is made", || async { (world.names(Kind::Deployment).await.len() == 3).then_some(()) }).await;
}
