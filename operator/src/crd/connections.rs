//! The database, its outbox, and Redis.
#![allow(clippy::doc_markdown, reason = "these comments are what `kubectl explain` shows: plain text")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretKeyRef;

/// The MySQL or MariaDB database: the record of everything.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.url) != has(self.urlSecretRef)").message("exactly one of url and urlSecretRef is needed"),
    validation = Rule::new("!has(self.url) || !self.url.matches('^[a-z]+://[^/@]*:[^/@]*@')").message("a URL with a password belongs into a Secret: use urlSecretRef").field_path(".url"),
)]
pub struct DatabaseSpec {
    /// `mysql://user@host:port/database`, where it needs no password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^(mysql|mariadb)://.+$"))]
    pub url: Option<String>,
    /// Key of a Secret with the URL: `mysql://user:password@host:port/database`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_secret_ref: Option<SecretKeyRef>,
    /// Connections of each core pod.
    #[serde(default = "DatabaseSpec::default_connections")]
    #[schemars(range(min = 2, max = 1000))]
    pub connections_per_pod: u32,
}

impl DatabaseSpec {
    fn default_connections() -> u32 {
        16
    }
}

/// The table by which committed events reach Kafka.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OutboxSpec {
    /// Who publishes it. builtin: core. external: another that reads the database's binary log, such as Debezium; core
    /// then only keeps the table small.
    #[serde(default)]
    pub relay: OutboxRelay,
    /// How long rows stay for an external relay, which may have to start again from the table: a number with s, m, h or d.
    #[serde(default = "OutboxSpec::default_keep")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]{0,9}(s|m|h|d)$"))]
    pub keep: String,
}

impl OutboxSpec {
    fn default_keep() -> String {
        "1h".to_owned()
    }
}

impl Default for OutboxSpec {
    fn default() -> Self {
        Self { relay: OutboxRelay::default(), keep: Self::default_keep() }
    }
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OutboxRelay {
    #[default]
    Builtin,
    External,
}

/// The Redis (6.2 or later) that carries events to the gateways.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.url) != has(self.urlSecretRef)").message("exactly one of url and urlSecretRef is needed"),
    validation = Rule::new("!has(self.url) || !self.url.matches('^[a-z]+://[^/@]*:[^/@]*@')").message("a URL with a password belongs into a Secret: use urlSecretRef").field_path(".url"),
)]
pub struct RedisSpec {
    /// `redis://host:port`, or `rediss://` for TLS, where it needs no password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^rediss?://.+$"))]
    pub url: Option<String>,
    /// Key of a Secret with the URL: `redis://user:password@host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_secret_ref: Option<SecretKeyRef>,
    /// One server (or a name that leads to the primary), or a Redis Cluster.
    #[serde(default)]
    pub mode: RedisMode,
    /// PEM certificates of the authorities that sign the server's certificate, for rediss://. Default: those of the
    /// system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// In front of every key and channel, to set several ChatClusters on one Redis apart. Cannot be changed.
    #[serde(default)]
    #[schemars(length(max = 64), regex(pattern = r"^[A-Za-z0-9._:-]*$"))]
    pub prefix: String,
    /// Each gateway's stream keeps about this many entries.
    #[serde(default = "RedisSpec::default_max_length")]
    #[schemars(range(min = 100, max = 10_000_000))]
    pub stream_max_length: u64,
}

impl RedisSpec {
    fn default_max_length() -> u64 {
        chatcluster_contracts::redis_keys::STREAM_MAX_LENGTH
    }
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedisMode {
    #[default]
    Standalone,
    Cluster,
}
