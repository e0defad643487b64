//! Manifests that make no sense are refused by the API server, with the field and the reason.

use serde_json::{Value, json};

use crate::support::{World, test_manager};

/// (what is changed, what the answer must say)
fn senseless() -> Vec<(Value, &'static str)> {
    let topic = |role: &str, value: Value| json!({"kafka": {"topics": {role: value}}});
    let auto = |min: i32, max: i32| json!({"minReplicas": min, "maxReplicas": max});
    vec![
        (json!({"version": ""}), "spec.version"),
        (json!({"version": "a b"}), "spec.version"),
        (json!({"version": null}), "spec.version"),
        (json!({"version": 1}), "spec.version"),
        (json!({"image": {"registry": "UPPER"}}), "spec.image.registry"),
        (json!({"image": {"pullPolicy": "Sometimes"}}), "spec.image.pullPolicy"),
        (json!({"kafka": null}), "spec.kafka"),
        (json!({"kafka": {"bootstrapServers": "kafka"}}), "spec.kafka.bootstrapServers"),
        (json!({"kafka": {"bootstrapServers": "kafka:9092,"}}), "spec.kafka.bootstrapServers"),
        (json!({"kafka": {"prefix": "a b"}}), "spec.kafka.prefix"),
        (json!({"kafka": {"replicationFactor": 0}}), "spec.kafka.replicationFactor"),
        (json!({"kafka": {"saslMechanism": "GSSAPI"}}), "spec.kafka.saslMechanism"),
        (json!({"kafka": {"credentialsSecretRef": {"name": "No_Name"}}}), "spec.kafka.credentialsSecretRef.name"),
        (topic("messages", json!({"partitions": 0})), "spec.kafka.topics.messages.partitions"),
        (topic("messages", json!({"partitions": 5000})), "spec.kafka.topics.messages.partitions"),
        (topic("typing", json!({"retention": "soon"})), "spec.kafka.topics.typing.retention"),
        (topic("typing", json!({"retention": "0s"})), "spec.kafka.topics.typing.retention"),
        (topic("users", json!({"name": "a/b"})), "spec.kafka.topics.users.name"),
        (json!({"redis": {"url": "redis://here:6379"}}), "exactly one of url and urlSecretRef"),
        (json!({"redis": {"urlSecretRef": null}}), "exactly one of url and urlSecretRef"),
        (json!({"redis": {"urlSecretRef": null, "url": "http://here"}}), "spec.redis.url"),
        (json!({"redis": {"urlSecretRef": null, "url": "redis://:secret@here"}}), "belongs into a Secret"),
        (json!({"redis": {"mode": "Sentinel"}}), "spec.redis.mode"),
        (json!({"redis": {"streamMaxLength": 1}}), "spec.redis.streamMaxLength"),
        (json!({"database": {"urlSecretRef": null}}), "exactly one of url and urlSecretRef"),
        (json!({"database": {"url": "mysql://u@h/db"}}), "exactly one of url and urlSecretRef"),
        (json!({"database": {"urlSecretRef": null, "url": "postgres://h/db"}}), "spec.database.url"),
        (json!({"database": {"urlSecretRef": null, "url": "mysql://u:p@h/db"}}), "belongs into a Secret"),
        (json!({"database": {"connectionsPerPod": 1}}), "spec.database.connectionsPerPod"),
        (json!({"auth": {"jwks": ["ftp://keys"]}}), "spec.auth.jwks"),
        (json!({"core": {"replicas": 0}}), "spec.core.replicas"),
        (json!({"core": {"resources": {"requests": {"cpu": "much"}}}}), "spec.core.resources.requests.cpu"),
        (json!({"worker": {"replicas": 2, "autoscaling": auto(1, 2)}}), "exclude each other"),
        (json!({"worker": {"autoscaling": auto(3, 2)}}), "must not exceed maxReplicas"),
        (json!({"gateway": {"replicas": 2, "autoscaling": auto(1, 2)}}), "exclude each other"),
        (json!({"gateway": {"autoscaling": auto(9, 2)}}), "must not exceed maxReplicas"),
        (json!({"gateway": {"autoscaling": {"minReplicas": 1}}}), "spec.gateway.autoscaling.maxReplicas"),
        (json!({"gateway": {"drainSeconds": 0}}), "spec.gateway.drainSeconds"),
        (json!({"gateway": {"allowedOrigins": ["*"]}}), "spec.gateway.allowedOrigins"),
        (json!({"gateway": {"service": {"type": "ExternalName"}}}), "spec.gateway.service.type"),
        (json!({"gateway": {"ingress": {}}}), "spec.gateway.ingress.host"),
        (json!({"logging": {"otlpEndpoint": "collector"}}), "spec.logging.otlpEndpoint"),
        (json!({"deletionPolicy": "Forget"}), "spec.deletionPolicy"),
        (json!({"paused": "yes"}), "spec.paused"),
        (json!({"gatway": {"replicas": 1}}), "spec.gatway"),
    ]
}

/// As `kubectl apply` of a changed file: `null` removes.
fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (into, change) => *into = change.clone(),
    }
}

async fn refusal(world: &World, manifest: &Value) -> Option<String> {
    let mut params = test_manager();
    params.dry_run = true;
    params.field_validation = Some(kube::api::ValidationDirective::Strict);
    let name = manifest["metadata"]["name"].as_str().unwrap();
    world.clusters().patch(name, &params, &kube::api::Patch::Apply(manifest)).await.err().map(|error| error.to_string())
}

#[tokio::test]
async fn a_senseless_manifest_is_refused_with_field_and_reason() {
    let world = World::new().await;
    let good = world.manifest("chat");
    assert_eq!(refusal(&world, &good).await, None);
    let cases = senseless();
    assert!(cases.len() >= 30);
    let mut wrong = Vec::new();
    for (change, expected) in cases {
        let mut manifest = good.clone();
        merge(&mut manifest["spec"], &change);
        match refusal(&world, &manifest).await {
            Some(said) if said.contains(expected) => {}
            other => wrong.push(format!("{change}: {other:?} does not say {expected}")),
        }
    }
    for (name, expected) in
        [("9lives", "starts with a letter"), ("a.b", "starts with a letter"), (&"x".repeat(41), "at most 40")]
    {
        let mut manifest = good.clone();
        manifest["metadata"]["name"] = json!(name);
        match refusal(&world, &manifest).await {
            Some(said) if said.contains(expected) => {}
            other => wrong.push(format!("{name}: {other:?} does not say {expected}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_cannot_change_is_refused_even_when_its_parent_is_removed() {
    let world = World::new().await;
    let mut manifest = world.manifest("chat");
    merge(&mut manifest["spec"], &json!({"kafka": {"topics": {"messages": {"name": "mine", "partitions": 24}}}}));
    world.apply(&manifest).await;
    let changes = [
        (json!({"kafka": {"prefix": "other."}}), "kafka.prefix cannot be changed"),
        (json!({"redis": {"prefix": "other:"}}), "redis.prefix cannot be changed"),
        (json!({"kafka": {"topics": {"messages": {"name": "yours"}}}}), "messages.name cannot be changed"),
        (json!({"kafka": {"topics": {"messages": {"partitions": 23}}}}), "messages.partitions cannot be lowered"),
        (json!({"kafka": {"topics": {"messages": {"partitions": 25}}}}), "allowPartitionGrowth"),
        (json!({"kafka": {"topics": {"messages": null}}}), "messages"),
        (json!({"kafka": {"topics": null}}), "messages"),
        (json!({"kafka": {"topics": {"users": {"partitions": 2}}}}), "users.partitions cannot be lowered"),
    ];
    for (change, expected) in changes {
        let mut other = manifest.clone();
        merge(&mut other["spec"], &change);
        let said = refusal(&world, &other).await.unwrap_or_else(|| panic!("{change} was taken"));
        assert!(said.contains(expected), "{change}: {said}");
    }
    let mut grown = manifest.clone();
    merge(
        &mut grown["spec"],
        &json!({"kafka": {"allowPartitionGrowth": true, "topics": {"messages": {"partitions": 25}}}}),
    );
    assert_eq!(refusal(&world, &grown).await, None);
}
