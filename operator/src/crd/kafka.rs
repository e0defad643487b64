//! The Kafka cluster and the topics on it.
#![allow(clippy::doc_markdown, reason = "these comments are what `kubectl explain` shows: plain text")]

use chatcluster_contracts::topics::Topic;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretKeyRef, SecretRef};

/// The Kafka cluster and the topics on it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KafkaSpec {
    /// Brokers to start from: `host:port`, separated by commas.
    #[schemars(
        length(min = 3, max = 1024),
        regex(pattern = r"^[A-Za-z0-9._-]+:[0-9]{1,5}(,[A-Za-z0-9._-]+:[0-9]{1,5})*$")
    )]
    pub bootstrap_servers: String,

    /// Talk TLS to the brokers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<KafkaTls>,

    /// Secret with the keys `username` and `password`: log in by SASL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretRef>,

    /// How to log in, when there are credentials.
    #[serde(default)]
    pub sasl_mechanism: SaslMechanism,

    /// In front of every topic and consumer group, to set several ChatClusters on one Kafka apart. Cannot be changed.
    #[serde(default)]
    #[schemars(length(max = 64), regex(pattern = r"^[A-Za-z0-9._-]*$"))]
    pub prefix: String,

    /// Copies of each partition of topics that are created. Existing topics are not moved.
    #[serde(default = "KafkaSpec::default_replication")]
    #[schemars(range(min = 1, max = 9))]
    pub replication_factor: u16,

    /// Allow more partitions on topics that exist. The order of a conversation in flight is kept by its seq, but other
    /// consumers of a topic see its keys move.
    #[serde(default)]
    pub allow_partition_growth: bool,

    /// The topics, by role; what is left out has its default.
    #[serde(default)]
    pub topics: TopicsSpec,
}

impl KafkaSpec {
    fn default_replication() -> u16 {
        3
    }
}

/// TLS to the brokers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTls {
    /// PEM certificates of the authorities that sign the brokers' certificates. Default: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaslMechanism {
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "PLAIN")]
    Plain,
}

impl SaslMechanism {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
        }
    }
}

/// One topic.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TopicSpec {
    /// The topic's whole name; the prefix is not put in front of it. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 240), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    pub name: Option<String>,
    /// How many partitions. Cannot be lowered; raised only with allowPartitionGrowth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub partitions: Option<u32>,
    /// How long records are kept: a number with ms, s, m, h or d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]{0,9}(ms|s|m|h|d)$"))]
    pub retention: Option<String>,
}

/// The topics by role.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TopicsSpec {
    /// Conversation events, from core to the workers. Default: message.all, 12 partitions, 7d.
    #[serde(default)]
    pub messages: TopicSpec,
    /// Records of others that go to whole rooms. Default: message.created, 12 partitions, 7d.
    #[serde(default)]
    pub created: TopicSpec,
    /// Messages of outside producers that core stores. Default: message.ingest, 12 partitions, 7d.
    #[serde(default)]
    pub ingest: TopicSpec,
    /// Direct messages of outside producers that core stores. Default: chat-messages, 3 partitions, 7d.
    #[serde(default)]
    pub direct: TopicSpec,
    /// Delivered and read, to the sender. Default: message-status-events, 3 partitions, 1d.
    #[serde(default)]
    pub status: TopicSpec,
    /// Who is typing. Default: typing-events, 3 partitions, 1m.
    #[serde(default)]
    pub typing: TopicSpec,
    /// Notifications of users. Default: notifications, 3 partitions, 30d.
    #[serde(default)]
    pub notifications: TopicSpec,
    /// Connections that began. Default: connection.add, 3 partitions, 1h.
    #[serde(default)]
    pub connection_add: TopicSpec,
    /// Connections that ended. Default: connection.remove, 3 partitions, 1h.
    #[serde(default)]
    pub connection_remove: TopicSpec,
    /// Users that join, leave or change. Default: user.events, 3 partitions, 1d.
    #[serde(default)]
    pub users: TopicSpec,
}

impl TopicsSpec {
    pub fn of(&self, topic: Topic) -> &TopicSpec {
        match topic {
            Topic::Messages => &self.messages,
            Topic::Created => &self.created,
            Topic::Ingest => &self.ingest,
            Topic::Direct => &self.direct,
            Topic::Status => &self.status,
            Topic::Typing => &self.typing,
            Topic::Notifications => &self.notifications,
            Topic::ConnectionAdd => &self.connection_add,
            Topic::ConnectionRemove => &self.connection_remove,
            Topic::Users => &self.users,
        }
    }
}
