//! What is changed by hand comes back; what others own is left alone.

use std::collections::BTreeSet;

use chatcluster_operator::{
    crd::ConditionStatus,
    kinds::{Kind, MANAGER},
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::{Value, json};

use crate::support::{World, eventually};

const KINDS: [Kind; 9] = [
    Kind::ServiceAccount,
    Kind::ConfigMap,
    Kind::NetworkPolicy,
    Kind::Service,
    Kind::Deployment,
    Kind::HorizontalPodAutoscaler,
    Kind::PodDisruptionBudget,
    Kind::Ingress,
    Kind::Job,
];

fn rich(world: &World) -> Value {
    let mut manifest = world.manifest("chat");
    manifest["spec"]["gateway"] = json!({
        "autoscaling": {"minReplicas": 2, "maxReplicas": 5},
        "ingress": {"host": "chat.example", "tlsSecretName": "tls"},
        "allowedOrigins": ["https://chat.example"],
    });
    manifest
}

/// JSON pointers of all scalars that the operator owns, by the managed fields of the API server itself.
fn owned(object: &DynamicObject) -> Vec<String> {
    let entries = object.metadata.managed_fields.iter().flatten();
    let ours = entries.filter(|entry| entry.manager.as_deref() == Some(MANAGER) && entry.subresource.is_none());
    let whole = serde_json::to_value(object).unwrap();
    let mut found = BTreeSet::new();
    for entry in ours {
        if let Some(fields) = &entry.fields_v1 {
            walk(&fields.0, &whole, String::new(), &mut found);
        }
    }
    found.into_iter().collect()
}

fn walk(fields: &Value, value: &Value, path: String, found: &mut BTreeSet<String>) {
    let Some(fields) = fields.as_object() else { return };
    let children: Vec<_> = fields.iter().filter(|(key, _)| *key != ".").collect();
    if children.is_empty() {
        scalars(value, path, found);
        return;
    }
    for (key, inner) in children {
        if let Some(name) = key.strip_prefix("f:") {
            if let Some(next) = value.get(name) {
                walk(inner, next, format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        } else if let Some(selector) = key.strip_prefix("k:") {
            let wanted: Value = serde_json::from_str(selector).unwrap();
            let matches = |element: &Value| {
                wanted
                    .as_object()
                    .unwrap()
                    .iter()
                    .all(|(key, value)| element.get(key).unwrap_or(&json!("TCP")) == value)
            };
            if let Some(index) = value.as_array().and_then(|list| list.iter().position(matches)) {
                walk(inner, &value[index], format!("{path}/{index}"), found);
            }
        }
    }
}

fn scalars(value: &Value, path: String, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                scalars(value, format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                scalars(value, format!("{path}/{index}"), found);
            }
        }
        _ => drop(found.insert(path)),
    }
}

/// Other values, of which the API server may take one.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(is) => vec![json!(!is)],
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or(1);
            vec![json!(number + 1), json!(number - 1)]
        }
        Value::String(text) => {
            let mut all = vec![json!(format!("{text}x")), json!("other")];
            all.extend(
                ["Always", "Never", "NodePort", "None", "Egress", "1Gi", "99m", "UDP", "Exact", "DoNotSchedule"]
                    .map(|it| json!(it)),
            );
            all
        }
        _ => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_owned_field_changed_by_hand_comes_back() {
    let world = World::new().await;
    let _operator = world.operator().await;
    world.apply(&rich(&world)).await;
    world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;
    world.until("chat", "RedisReady", ConditionStatus::True).await;

    let (mut restored, mut refused) = (0, Vec::new());
    for kind in KINDS {
        let api = world.dynamic(kind);
        for name in world.names(kind).await {
            let object = api.get(&name).await.unwrap();
            if object.metadata.owner_references.is_none() {
                continue;
            }
            for pointer in owned(&object) {
                match change(&api, &name, &pointer).await {
                    Some(before) => {
                        let what = format!("{kind:?} {name} {pointer} is {before} again");
                        let back = eventually(&what, || async {
                            let now = serde_json::to_value(api.get(&name).await.ok()?).ok()?;
                            (now.pointer(&pointer) == Some(&before)).then_some(())
                        });
                        back.await;
                        restored += 1;
                    }
                    None => refused.push(format!("{kind:?} {name} {pointer}")),
                }
            }
        }
    }
    println!("{restored} fields came back; {} could not be changed: {}", refused.len(), refused.join(", "));
    assert!(restored > 300, "{restored}");
}

/// Writes another value, as `kubectl edit` does. `None`: the API server takes none (or the Job, which is immutable).
async fn change(api: &Api<DynamicObject>, name: &str, pointer: &str) -> Option<Value> {
    // identity of the object, and its owner: without it, it is somebody else's
    if ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace", "/metadata/ownerReferences"]
        .iter()
        .any(|it| pointer.starts_with(it))
    {
        return None;
    }
    let whole = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
    if whole["kind"] == "Job" && !pointer.starts_with("/metadata") {
        return None;
    }
    let before = whole.pointer(pointer)?.clone();
    for other in others(&before) {
        let patch = json!([{"op": "test", "path": pointer, "value": before}, {"op": "replace", "path": pointer, "value": other}]);
        let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
        let params = PatchParams { field_manager: Some("somebody".into()), ..PatchParams::default() };
        if let Ok(now) = api.patch(name, &params, &Patch::<()>::Json(patch)).await {
            let now = serde_json::to_value(now).unwrap();
            if now.pointer(pointer) != Some(&before) {
                return Some(before);
            }
        }
    }
    None
}

#[tokio::test]
async fn what_is_deleted_or_no_longer_wanted_is_put_right() {
    let world = World::new().await;
    let _operator = world.operator().await;
    let manifest = rich(&world);
    world.apply(&manifest).await;
    world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;
    eventually("the autoscaler and the ingress exist", || async {
        let there = world.names(Kind::HorizontalPodAutoscaler).await == ["chat-gateway"]
            && world.names(Kind::Ingress).await.len() == 1;
        there.then_some(())
    })
    .await;
    for kind in [Kind::Service, Kind::ConfigMap, Kind::Deployment] {
        let api = world.dynamic(kind);
        let before = api.get("chat-gateway").await.unwrap().metadata.uid;
        api.delete("chat-gateway", &DeleteParams::background()).await.unwrap();
        eventually("it is made again", || async {
            let now = api.get("chat-gateway").await.ok()?.metadata.uid;
            (now != before).then_some(())
        })
        .await;
    }
    // blocks that go take their objects with them
    let mut plain = manifest.clone();
    plain["spec"]["gateway"] = json!({"replicas": 1});
    plain["spec"]["core"] = json!({"replicas": 1});
    plain["spec"]["networkPolicy"] = json!({"enabled": false});
    world.apply(&plain).await;
    eventually("autoscaler, ingress, policies and budgets are gone", || async {
        let left = world.names(Kind::HorizontalPodAutoscaler).await.len()
            + world.names(Kind::Ingress).await.len()
            + world.names(Kind::NetworkPolicy).await.len();
        (left == 0 && world.names(Kind::PodDisruptionBudget).await == ["chat-worker"]).then_some(())
    })
    .await;
    let gateway = world.dynamic(Kind::Deployment).get("chat-gateway").await.unwrap();
    assert_eq!(gateway.data["spec"]["replicas"], 1);
}

#[tokio::test]
async fn the_autoscalers_number_survives() {
    let world = World::new().await;
    let operator = world.operator().await;
    let manifest = rich(&world);
    world.apply(&manifest).await;
    let deployments = world.dynamic(Kind::Deployment);
    let replicas = || async { deployments.get("chat-gateway").await.ok()?.data["spec"]["replicas"].as_i64() };
    eventually("it starts with the least", || async { (replicas().await == Some(2)).then_some(()) }).await;
    // as the autoscaler does it
    let scale = json!({"spec": {"replicas": 4}});
    let params = PatchParams { field_manager: Some("kube-controller-manager".into()), ..PatchParams::default() };
    deployments.patch_scale("chat-gateway", &params, &Patch::Merge(scale)).await.unwrap();
    for pass in 0..10 {
        // every pass has something to do in this Deployment
        let mut changed = manifest.clone();
        changed["spec"]["gateway"]["maxConnections"] = json!(1000 + pass);
        world.apply(&changed).await;
        eventually("the change arrived", || async {
            let config = world.dynamic(Kind::ConfigMap).get("chat-gateway").await.ok()?;
            config.data["data"].to_string().contains(&format!("{}", 1000 + pass)).then_some(())
        })
        .await;
        assert_eq!(replicas().await, Some(4), "after pass {pass}");
    }
    // and without an autoscaler the manifest decides again
    let mut fixed = manifest.clone();
    fixed["spec"]["gateway"] = json!({"replicas": 3});
    world.apply(&fixed).await;
    eventually("the manifest's number", || async { (replicas().await == Some(3)).then_some(()) }).await;
    // and back: the number that is there is kept
    world.apply(&manifest).await;
    eventually("the autoscaler is back", || async {
        (world.names(Kind::HorizontalPodAutoscaler).await.len() == 1).then_some(())
    })
    .await;
    world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;
    assert_eq!(replicas().await, Some(3));
    operator.stop().await;
}
