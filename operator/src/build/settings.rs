//! What each process is told: the settings that are no secrets, under the names of the processes' own options.

use std::collections::BTreeMap;

use chatcluster_contracts::topics::{Names, Topic};
use serde_json::{Value, json};

use super::{gateway_settings, secret_settings};
use crate::crd::RedisMode;
use crate::validate::{Component, Source, ValidatedCluster};

pub(super) type Settings = BTreeMap<&'static str, Value>;

pub(super) const GRPC_PORT: u16 = 9090;
/// Core's own folder.
pub(super) const DATA_DIR: &str = "/var/lib/chatcluster";

pub(super) fn of(cluster: &ValidatedCluster, component: Component) -> Settings {
    let mut settings = common(cluster, component);
    settings.extend(match component {
        Component::Core => core(cluster),
        Component::Worker => worker(cluster),
        Component::Gateway => gateway_settings::of(cluster),
    });
    settings.retain(|_, value| !value.is_null());
    settings
}

pub(super) fn any_address(port: u16) -> Value {
    json!(format!("0.0.0.0:{port}"))
}

/// `null` is left out.
fn common(cluster: &ValidatedCluster, component: Component) -> Settings {
    let (kafka, redis) = (&cluster.kafka, &cluster.redis);
    let login = kafka.login.as_ref();
    let otlp = cluster.logging.otlp.as_ref();
    BTreeMap::from([
        ("listen", any_address(component.port())),
        ("kafka-bootstrap-servers", json!(kafka.bootstrap_servers())),
        ("kafka-prefix", json!(kafka.prefix)),
        ("kafka-topics", renamed_topics(cluster)),
        ("kafka-security-protocol", json!(kafka.security_protocol())),
        ("kafka-sasl-mechanism", login.map_or(Value::Null, |(mechanism, _)| json!(mechanism.as_str()))),
        ("kafka-ca-file", kafka.ca.as_ref().map_or(Value::Null, |_| json!(secret_settings::KAFKA_CA))),
        ("redis-url", inline(&redis.url)),
        ("redis-mode", if redis.mode == RedisMode::Cluster { json!("cluster") } else { Value::Null }),
        ("redis-prefix", json!(redis.prefix)),
        ("redis-stream-max-length", json!(redis.stream_max_length)),
        ("redis-ca-file", redis.ca.as_ref().map_or(Value::Null, |_| json!(secret_settings::REDIS_CA))),
        ("log-format", json!("json")),
        ("log-level", json!(cluster.logging.level)),
        ("otlp-endpoint", otlp.map_or(Value::Null, |otlp| json!(otlp.url))),
    ])
}

/// Topics with a name of their own: `role=name`, separated by commas.
fn renamed_topics(cluster: &ValidatedCluster) -> Value {
    let usual = Names::with_prefix(&cluster.kafka.prefix);
    let renamed: Vec<String> = Topic::ALL
        .into_iter()
        .map(|topic| (topic, cluster.kafka.names.topic(topic)))
        .filter(|(topic, name)| *name != usual.topic(*topic))
        .map(|(topic, name)| format!("{}={name}", topic.role_name()))
        .collect();
    if renamed.is_empty() { Value::Null } else { json!(renamed.join(",")) }
}

fn inline(source: &Source) -> Value {
    match source {
        Source::Inline(text) => json!(text),
        Source::Secret(_) => Value::Null,
    }
}

fn core(cluster: &ValidatedCluster) -> Settings {
    BTreeMap::from([
        ("grpc-listen", any_address(GRPC_PORT)),
        ("database-url", inline(&cluster.database.url)),
        ("database-connections", json!(cluster.database.connections_per_pod)),
        ("outbox-relay", cluster.outbox_keep.as_ref().map_or(Value::Null, |_| json!("external"))),
        ("outbox-keep", cluster.outbox_keep.as_ref().map_or(Value::Null, |keep| json!(keep))),
        // the Job's work
        ("migrate", json!(false)),
        ("data-dir", json!(DATA_DIR)),
        ("signing-key-file", json!(secret_settings::SIGNING_KEY_FILE)),
        ("token-audience", json!(cluster.auth.audience)),
        ("jwks", json!(key_sets(cluster))),
        ("trusted-proxies", json!(cluster.gateway.trusted_proxies)),
    ])
}

fn worker(cluster: &ValidatedCluster) -> Settings {
    let above = cluster.fanout.broadcast_above;
    BTreeMap::from([
        ("core-url", core_url(cluster)),
        ("fanout-broadcast-above", above.map_or(Value::Null, |above| json!(above))),
    ])
}

pub(super) fn core_url(cluster: &ValidatedCluster) -> Value {
    json!(format!("dns:///{}:{GRPC_PORT}", cluster.objects.core_pods_host()))
}

/// Of outside issuers, each bound to its issuer.
pub(super) fn key_sets(cluster: &ValidatedCluster) -> Vec<String> {
    cluster.auth.key_sets.iter().map(|set| format!("{}={}", set.issuer, set.url)).collect()
}
