//! What is refused and in which words, what is read out of a manifest, and when fingerprints change.

use serde_json::{Value, json};

use super::*;
use crate::{
    kafka::Security,
    secrets::{PASSWORD, SERVICE_TOKEN, SIGNING_KEY, USERNAME},
};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n";
const TOKEN: &str = "0123456789abcdef";

fn manifest(name: &str) -> Value {
    let text = match name {
        "minimal" => include_str!("../../tests/clusters/minimal.yaml"),
        "full" => include_str!("../../tests/clusters/full.yaml"),
        _ => include_str!("../../tests/clusters/autoscaled.yaml"),
    };
    serde_saphyr::from_str(text).unwrap()
}

/// Every Secret that the manifests of the tests name.
fn all_secrets() -> Vec<(&'static str, &'static str, &'static str)> {
    vec![
        ("mysql", "url", "mysql://chat:geheim@mysql.example:3307/chat"),
        ("redis", "url", "rediss://chat:geheim@redis.example:6380"),
        ("redis", "ca.crt", CERTIFICATE),
        ("kafka-ca", "ca.crt", CERTIFICATE),
        ("kafka-user", USERNAME, "chat"),
        ("kafka-user", PASSWORD, "geheim"),
        ("chat-signing", "key.pem", KEY),
        ("chat-token", "token", TOKEN),
        ("chat-keys", SIGNING_KEY, KEY),
        ("chat-keys", SERVICE_TOKEN, TOKEN),
    ]
}

fn secrets(all: &[(&str, &str, &str)]) -> Secrets {
    let mut data = BTreeMap::<&str, BTreeMap<String, Vec<u8>>>::new();
    for (name, key, value) in all {
        data.entry(name).or_default().insert((*key).to_owned(), value.as_bytes().to_vec());
    }
    let mut secrets = Secrets::default();
    for (name, data) in data {
        secrets.insert(name, Some(data));
    }
    secrets
}

fn read(manifest: Value, all: &[(&str, &str, &str)]) -> Result<ValidatedCluster, Invalid> {
    validate(&serde_json::from_value(manifest).unwrap(), &secrets(all))
}

/// One of `minimal`, `full`, `autoscaled`, with all its Secrets.
pub(crate) fn validated(name: &str) -> ValidatedCluster {
    read(manifest(name), &all_secrets()).unwrap()
}

/// `full` without what would get into the way of a change, with `value` at `path`.
fn with(path: &str, value: Value) -> Value {
    let mut manifest = manifest("full");
    let (parent, last) = path.rsplit_once('/').unwrap();
    let mut at = &mut manifest;
    for step in parent.split('/').filter(|step| !step.is_empty()) {
        at = &mut at[step];
    }
    if at.is_null() {
        *at = json!({});
    }
    at[last] = value;
    manifest
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn every_mistake_is_refused_with_the_field_that_has_it() {
    let long = "x".repeat(300);
    let auto =
        |min: i32, max: i32, cpu: i32| json!({"minReplicas": min, "maxReplicas": max, "targetCPUUtilization": cpu});
    for (path, value, field) in [
        ("/metadata/name", json!("Chat"), "metadata.name"),
        ("/metadata/name", json!("1chat"), "metadata.name"),
        ("/metadata/name", json!("a".repeat(41)), "metadata.name"),
        ("/metadata/name", json!("chat-"), "metadata.name"),
        ("/spec/version", json!("a b"), "spec.version"),
        ("/spec/version", json!(""), "spec.version"),
        ("/spec/image/registry", json!("HTTPS://x"), "spec.image.registry"),
        ("/spec/image/pullSecrets", json!([{"name": "A_B"}]), "spec.image.pullSecrets[0].name"),
        ("/spec/kafka/bootstrapServers", json!("kafka"), "spec.kafka.bootstrapServers"),
        ("/spec/kafka/bootstrapServers", json!("kafka:0"), "spec.kafka.bootstrapServers"),
        ("/spec/kafka/bootstrapServers", json!("a:1,,b:2"), "spec.kafka.bootstrapServers"),
        ("/spec/kafka/replicationFactor", json!(0), "spec.kafka.replicationFactor"),
        ("/spec/kafka/prefix", json!("a/b"), "spec.kafka.prefix"),
        ("/spec/kafka/tls/caSecretRef", json!({"name": "A", "key": "k"}), "spec.kafka.tls.caSecretRef.name"),
        ("/spec/kafka/tls/caSecretRef", json!({"name": "a", "key": "k/k"}), "spec.kafka.tls.caSecretRef.key"),
        ("/spec/kafka/topics/direct", json!({"name": "a b"}), "spec.kafka.topics.direct.name"),
        ("/spec/kafka/topics/direct", json!({"name": ".."}), "spec.kafka.topics.direct.name"),
        ("/spec/kafka/topics/direct", json!({"name": long}), "spec.kafka.topics.direct.name"),
        ("/spec/kafka/topics/direct", json!({"partitions": 0}), "spec.kafka.topics.direct.partitions"),
        ("/spec/kafka/topics/direct", json!({"partitions": 1001}), "spec.kafka.topics.direct.partitions"),
        ("/spec/kafka/topics/direct", json!({"retention": "7"}), "spec.kafka.topics.direct.retention"),
        ("/spec/kafka/topics/direct", json!({"retention": "0d"}), "spec.kafka.topics.direct.retention"),
        ("/spec/kafka/topics/direct", json!({"retention": "9999999999999d"}), "spec.kafka.topics.direct.retention"),
        ("/spec/kafka/topics/direct", json!({"name": "acme.messages"}), "spec.kafka.topics"),
        ("/spec/kafka/topics/direct", json!({"name": "acme.messages.dlq"}), "spec.kafka.topics"),
        ("/spec/redis/url", json!("redis://h"), "spec.redis"),
        ("/spec/redis", json!({}), "spec.redis"),
        ("/spec/redis", json!({"url": "http://h"}), "spec.redis.url"),
        ("/spec/redis", json!({"url": "redis://h:x"}), "spec.redis.url"),
        ("/spec/redis", json!({"url": "redis://:geheim@h"}), "spec.redis.url"),
        ("/spec/redis", json!({"url": "redis://h/1", "mode": "Cluster"}), "spec.redis.url"),
        (
            "/spec/redis",
            json!({"url": "redis://h", "caSecretRef": {"name": "a", "key": "b"}}),
            "spec.redis.caSecretRef",
        ),
        ("/spec/redis/prefix", json!("a b"), "spec.redis.prefix"),
        ("/spec/redis/streamMaxLength", json!(5), "spec.redis.streamMaxLength"),
        ("/spec/database/url", json!("mysql://h/d"), "spec.database"),
        ("/spec/database", json!({}), "spec.database"),
        ("/spec/database", json!({"url": "postgres://h/d"}), "spec.database.url"),
        ("/spec/database", json!({"url": "mysql://h"}), "spec.database.url"),
        ("/spec/database", json!({"url": "mysql://u:geheim@h/d"}), "spec.database.url"),
        ("/spec/database/connectionsPerPod", json!(1), "spec.database.connectionsPerPod"),
        ("/spec/auth/audience", json!(""), "spec.auth.audience"),
        ("/spec/auth", json!({"jwks": ["https://keys.example"]}), "spec.auth.jwks[0]"),
        ("/spec/auth", json!({"jwks": ["a=file:///x"], "issuers": ["i"]}), "spec.auth.jwks[0]"),
        ("/spec/auth/issuers", json!(["a,b"]), "spec.auth.issuers[0]"),
        ("/spec/core/replicas", json!(0), "spec.core.replicas"),
        ("/spec/core/resources/requests", json!({"cpu": "much"}), "spec.core.resources.requests.cpu"),
        ("/spec/core/resources/requests", json!({"cpu": 3}), "spec.core.resources.requests.cpu"),
        ("/spec/core/resources/requests", json!({"memory": "3Gi"}), "spec.core.resources.requests.memory"),
        ("/spec/core/resources/limits", json!({"memory": "512ki"}), "spec.core.resources.limits.memory"),
        (
            "/spec/core/pod/labels",
            json!({"app.kubernetes.io/name": "x"}),
            "spec.core.pod.labels[\"app.kubernetes.io/name\"]",
        ),
        (
            "/spec/core/pod/labels",
            json!({"chatcluster.dev/cluster": "x"}),
            "spec.core.pod.labels[\"chatcluster.dev/cluster\"]",
        ),
        ("/spec/core/pod/labels", json!({"a": "b c"}), "spec.core.pod.labels[\"a\"]"),
        ("/spec/core/pod/labels", json!({"-a": "b"}), "spec.core.pod.labels[\"-a\"]"),
        (
            "/spec/core/pod/annotations",
            json!({"chatcluster.dev/config-hash": "x"}),
            "spec.core.pod.annotations[\"chatcluster.dev/config-hash\"]",
        ),
        ("/spec/core/pod/nodeSelector", json!({"a/b/c": "x"}), "spec.core.pod.nodeSelector[\"a/b/c\"]"),
        ("/spec/core/pod/tolerations", json!([{"operator": "Like"}]), "spec.core.pod.tolerations[0].operator"),
        ("/spec/core/pod/tolerations", json!([{"value": "x"}]), "spec.core.pod.tolerations[0].operator"),
        (
            "/spec/core/pod/tolerations",
            json!([{"operator": "Exists", "value": "x"}]),
            "spec.core.pod.tolerations[0].value",
        ),
        ("/spec/core/pod/tolerations", json!([{"key": "a", "effect": "Maybe"}]), "spec.core.pod.tolerations[0].effect"),
        (
            "/spec/core/pod/tolerations",
            json!([{"key": "a", "tolerationSeconds": 1}]),
            "spec.core.pod.tolerations[0].tolerationSeconds",
        ),
        ("/spec/core/pod/priorityClassName", json!("Very High"), "spec.core.pod.priorityClassName"),
        ("/spec/worker/autoscaling", auto(1, 2, 70), "spec.worker.replicas"),
        ("/spec/worker", json!({"autoscaling": auto(3, 2, 70)}), "spec.worker.autoscaling.minReplicas"),
        ("/spec/worker", json!({"autoscaling": auto(0, 2, 70)}), "spec.worker.autoscaling.minReplicas"),
        ("/spec/worker", json!({"autoscaling": auto(1, 2000, 70)}), "spec.worker.autoscaling.maxReplicas"),
        ("/spec/gateway", json!({"autoscaling": auto(1, 2, 0)}), "spec.gateway.autoscaling.targetCPUUtilization"),
        ("/spec/gateway/replicas", json!(1001), "spec.gateway.replicas"),
        ("/spec/gateway/drainSeconds", json!(0), "spec.gateway.drainSeconds"),
        ("/spec/gateway/maxConnections", json!(0), "spec.gateway.maxConnections"),
        ("/spec/gateway/allowedOrigins", json!(["https://a/b"]), "spec.gateway.allowedOrigins[0]"),
        ("/spec/gateway/trustedProxies", json!(17), "spec.gateway.trustedProxies"),
        ("/spec/gateway/heartbeatSeconds", json!(0), "spec.gateway.heartbeatSeconds"),
        ("/spec/gateway/resumeEvents", json!(0), "spec.gateway.resumeEvents"),
        ("/spec/gateway/stomp/port", json!(613), "spec.gateway.stomp.port"),
        ("/spec/gateway/stomp/port", json!(8082), "spec.gateway.stomp.port"),
        ("/spec/gateway/stomp/port", json!(8084), "spec.gateway.stomp.port"),
        ("/spec/gateway/sockjs/disconnectSeconds", json!(301), "spec.gateway.sockjs.disconnectSeconds"),
        ("/spec/gateway/sockjs/clientUrl", json!("/sockjs.js"), "spec.gateway.sockjs.clientUrl"),
        ("/spec/gateway/sockjs/clientUrl", json!("https://a/\"></script>"), "spec.gateway.sockjs.clientUrl"),
        ("/spec/gateway/limits/connectionsPerUser", json!(0), "spec.gateway.limits.connectionsPerUser"),
        ("/spec/gateway/limits/newConnectionsPerSecond", json!(0), "spec.gateway.limits.newConnectionsPerSecond"),
        ("/spec/gateway/limits/sendsPerSecond", json!(0), "spec.gateway.limits.sendsPerSecond"),
        ("/spec/gateway/limits/bytesPerSecondPerUser", json!("2Gi"), "spec.gateway.limits.bytesPerSecondPerUser"),
        ("/spec/gateway/limits/messageSize", json!("512"), "spec.gateway.limits.messageSize"),
        ("/spec/gateway/limits/messageSize", json!("64KiB"), "spec.gateway.limits.messageSize"),
        ("/spec/gateway/limits/messageSize", json!("8Ki"), "spec.gateway.limits.contentSize"),
        ("/spec/gateway/limits/contentSize", json!("65Ki"), "spec.gateway.limits.contentSize"),
        ("/spec/gateway/limits/queueSize", json!("1.5"), "spec.gateway.limits.queueSize"),
        ("/spec/gateway/limits/socketSendBuffer", json!(1024), "spec.gateway.limits.socketSendBuffer"),
        ("/spec/gateway/service/annotations", json!({"a b": "x"}), "spec.gateway.service.annotations[\"a b\"]"),
        ("/spec/gateway/ingress/host", json!("*.example"), "spec.gateway.ingress.host"),
        ("/spec/gateway/ingress/className", json!("A B"), "spec.gateway.ingress.className"),
        ("/spec/gateway/ingress/tlsSecretName", json!("a_b"), "spec.gateway.ingress.tlsSecretName"),
        ("/spec/monitoring/labels", json!({"a": "é"}), "spec.monitoring.labels[\"a\"]"),
        ("/spec/logging/level", json!("loud"), "spec.logging.level"),
        ("/spec/logging/otlpEndpoint", json!("collector:4317"), "spec.logging.otlpEndpoint"),
    ] {
        let refused = read(with(path, value.clone()), &all_secrets());
        let invalid = refused.err().unwrap_or_else(|| panic!("{path} = {value} was taken"));
        assert_eq!(invalid.field, field, "{invalid}");
        assert!(!invalid.reason.is_empty() && !invalid.to_string().contains("geheim"), "{invalid}");
    }
}

#[test]
fn a_manifest_that_no_server_gave_is_refused() {
    let without = |field: &str| {
        let mut manifest = manifest("minimal");
        manifest["metadata"][field] = Value::Null;
        read(manifest, &all_secrets()).unwrap_err().field
    };
    assert_eq!(without("namespace"), "metadata.namespace");
    assert_eq!(without("uid"), "metadata.uid");
}

#[test]
fn what_is_left_out_has_its_default() {
    let cluster = validated("minimal");
    assert_eq!(cluster.kafka.topics.len(), 10 + 7);
    assert_eq!(cluster.kafka.security_protocol(), "plaintext");
    assert_eq!(cluster.worker.scaling, Scaling::Fixed(2));
    assert_eq!(cluster.gateway.scaling.initial_replicas(), 2);
    assert_eq!(cluster.redis.address.as_ref().unwrap().to_string(), "redis:6379");
    assert_eq!(cluster.auth.signing_key.name, "chat-keys");
    assert!(cluster.auth.own_keys && cluster.missing_secrets.is_empty());
    assert_eq!(cluster.gateway.pods.resources.request_cpu.as_str(), "500m");
    assert_eq!((cluster.gateway.trusted_proxies, cluster.gateway.stomp_port), (0, None));
    assert_eq!(cluster.gateway.limits, GatewayLimits::default());
}

#[test]
fn what_clients_may_do_is_read_in_bytes_and_an_ingress_is_a_proxy() {
    let gateway = validated("full").gateway;
    assert_eq!((gateway.trusted_proxies, gateway.stomp_port), (2, Some(61614)));
    assert_eq!(gateway.limits.message_size, Some(128 * 1024));
    assert_eq!(gateway.limits.content_size, Some(16384));
    assert_eq!(gateway.limits.bytes_per_second_per_user, Some(1 << 20));
    let mut unsaid = manifest("full");
    unsaid["spec"]["gateway"].as_object_mut().unwrap().remove("trustedProxies");
    assert_eq!(read(unsaid, &all_secrets()).unwrap().gateway.trusted_proxies, 1);
}

#[test]
fn connections_carry_the_values_of_secrets_and_do_not_show_them() {
    let cluster = validated("full");
    let kafka = cluster.kafka.connection.as_ref().unwrap();
    assert_eq!(kafka.bootstrap_servers, "kafka-0.example:9093,kafka-1.example:9094");
    assert!(matches!(&kafka.security, Security::Tls { ca_pem: Some(pem) } if pem.starts_with("-----BEGIN")));
    assert_eq!(kafka.sasl.as_ref().unwrap().username, "chat");
    assert_eq!(cluster.kafka.security_protocol(), "sasl_ssl");
    assert_eq!(cluster.redis.address.as_ref().unwrap().port, 6380);
    assert_eq!(cluster.database.address.as_ref().unwrap().port, 3307);
    let redis = cluster.redis.connection.as_ref().unwrap();
    assert!(redis.url.contains("geheim") && redis.ca_pem.is_some());
    let printed = format!("{cluster:?}");
    assert!(!printed.contains("geheim") && !printed.contains(TOKEN), "{printed}");
}

#[test]
fn topics_are_named_and_sized_as_asked() {
    let cluster = validated("full");
    let topic = |role: &str| cluster.kafka.topics.iter().find(|topic| topic.role == role).unwrap().clone();
    let messages = topic("messages");
    assert_eq!((messages.name.as_str(), messages.partitions, messages.replication), ("acme.messages", 24, 3));
    assert_eq!(messages.config["retention.ms"], "1209600000");
    assert_eq!(topic("messages.dlq").name, "acme.messages.dlq");
    assert_eq!(topic("typing").config["retention.ms"], "30000");
    assert_eq!(topic("created").name, "chat.message.created");
}

#[test]
fn a_key_set_without_an_issuer_stands_for_each_of_those_accepted() {
    let sets = validated("full").auth.key_sets;
    let issuers: Vec<_> = sets.iter().map(|set| (set.issuer.as_str(), set.address.port)).collect();
    assert_eq!(issuers, [("https://login.example/realms/a", 443), ("one", 8200), ("two", 8200)]);
}

#[test]
fn resources_are_canonical_and_defaults_give_way() {
    let cluster = validated("full");
    let core = &cluster.core.pods.resources;
    assert_eq!(core.request_cpu.as_str(), "1500m");
    assert_eq!(core.request_memory.as_str(), "1Gi");
    assert_eq!(core.limit_cpu.as_ref().unwrap().as_str(), "2");
    let asked = |resources: Value| {
        let cluster = read(with("/spec/gateway/resources", resources), &all_secrets()).unwrap();
        let Resources { request_cpu, request_memory, limit_memory, .. } = cluster.gateway.pods.resources;
        [request_cpu, request_memory, limit_memory].map(|quantity| quantity.to_string())
    };
    assert_eq!(asked(json!({})), ["500m", "512Mi", "2Gi"]);
    assert_eq!(asked(json!({"requests": {"memory": "4Gi"}})), ["500m", "4Gi", "4Gi"]);
    assert_eq!(asked(json!({"limits": {"cpu": "0.1", "memory": "128Mi"}})), ["100m", "128Mi", "128Mi"]);
}

#[test]
fn a_missing_secret_is_noted_and_what_needs_it_is_absent() {
    let cluster = read(manifest("full"), &[]).unwrap();
    assert!(cluster.kafka.connection.is_none() && cluster.redis.connection.is_none());
    assert!(cluster.redis.address.is_none() && cluster.database.address.is_none());
    let mut users: Vec<_> = cluster.missing_secrets.iter().map(|(user, _)| *user).collect();
    users.dedup();
    assert_eq!(users, [UsedBy::Kafka, UsedBy::Redis, UsedBy::Database, UsedBy::Auth]);
    let without = |name: &str, key: &str| {
        let mut rest = all_secrets();
        rest.retain(|(secret, of, _)| (*secret, *of) != (name, key));
        read(manifest("full"), &rest).unwrap()
    };
    let cluster = without("kafka-user", PASSWORD);
    assert_eq!(cluster.missing_secrets[0].1.to_string(), "Secret kafka-user has no key password");
    assert!(cluster.kafka.connection.is_none() && cluster.redis.connection.is_some());
    assert!(without("redis", "ca.crt").redis.connection.is_none());
    assert!(without("kafka-ca", "ca.crt").kafka.connection.is_none());
}

#[test]
fn an_unusable_secret_is_as_good_as_missing_and_is_not_quoted() {
    for (name, key, value, says) in [
        ("mysql", "url", "postgres://u:geheim@h/d", "begins with another protocol"),
        ("redis", "url", "redis://u:geheim@h:0", "has no valid port"),
        ("redis", "ca.crt", "geheim", "is no PEM"),
        ("kafka-ca", "ca.crt", "geheim", "is no PEM"),
        ("kafka-user", PASSWORD, "geheim\n", "has white space"),
        ("chat-token", "token", "geheim", "at least 16"),
        ("chat-signing", "key.pem", "geheim", "is no PEM"),
    ] {
        let mut all = all_secrets();
        all.iter_mut().filter(|(secret, of, _)| (*secret, *of) == (name, key)).for_each(|entry| entry.2 = value);
        let missing = read(manifest("full"), &all).unwrap().missing_secrets;
        let [(_, missing)] = &missing[..] else { panic!("{name}/{key}: {missing:?}") };
        let text = missing.to_string();
        assert!(text.contains(says) && text.contains(name) && !text.contains("geheim"), "{text}");
    }
}

#[test]
fn only_a_used_key_changes_a_fingerprint_and_only_of_those_who_use_it() {
    let hashes = |name: &'static str, key: &'static str, value: &'static str| {
        let mut all = all_secrets();
        all.retain(|(secret, of, _)| (*secret, *of) != (name, key));
        all.push((name, key, value));
        let hashes = read(manifest("full"), &all).unwrap().secret_hashes;
        let components = Component::ALL.map(|component| hashes.of(component).to_owned());
        (components, hashes.database)
    };
    let before = hashes("kafka-user", USERNAME, "chat");
    assert_eq!(before.0[0].len(), 16);
    assert_eq!(before, hashes("mysql", "unused", "x"), "another key of a Secret in use");
    assert_eq!(before, hashes("chat-keys", SERVICE_TOKEN, "fedcba9876543210"), "a Secret not in use");

    let changed = |after: ([String; 3], String)| {
        let components: Vec<_> = Component::ALL.into_iter().zip(before.0.iter().zip(&after.0)).collect();
        let changed = components.into_iter().filter(|(_, (old, new))| old != new).map(|(component, _)| component);
        (changed.collect::<Vec<_>>(), before.1 != after.1)
    };
    assert_eq!(changed(hashes("mysql", "url", "mysql://u:other@h/d")), (vec![Component::Core], true));
    assert_eq!(changed(hashes("kafka-user", PASSWORD, "other")), (Component::ALL.to_vec(), false));
    let other = "-----BEGIN PRIVATE KEY-----\ny";
    assert_eq!(changed(hashes("chat-signing", "key.pem", other)), (vec![Component::Core], false));
    let token = changed(hashes("chat-token", "token", "fedcba9876543210"));
    assert_eq!(token, (Component::ALL.to_vec(), false));
}
