//! How to reach Kafka, as settings, and the librdkafka properties they mean.

use std::{path::PathBuf, str::FromStr, time::Duration};

use chatcluster_contracts::topics::{Names, Renamed};
use chatcluster_service::config::{Secret, duration};
use rdkafka::ClientConfig;

use crate::event_log::LogError;

/// Flatten into the options of a service.
#[derive(Debug, Clone, clap::Args)]
pub struct KafkaOptions {
    /// Brokers to start from: host:port, separated by commas
    #[arg(long, env = "CHATCLUSTER_KAFKA_BOOTSTRAP_SERVERS", default_value = "127.0.0.1:9092")]
    pub kafka_bootstrap_servers: String,
    /// In front of every topic and group name, to set several clusters on one Kafka apart
    #[arg(long, env = "CHATCLUSTER_KAFKA_PREFIX", default_value = "")]
    pub kafka_prefix: String,
    /// Topics with a name of their own, without the prefix: role=name separated by commas, of the roles messages, created,
    /// ingest, direct, status, typing, notifications, connectionAdd, connectionRemove and users. The same for every
    /// service, and changed only while core's outbox is empty
    #[arg(
        long,
        env = "CHATCLUSTER_KAFKA_TOPICS",
        default_value = "",
        hide_default_value = true,
        value_name = "ROLE=NAME"
    )]
    pub kafka_topics: Renamed,
    /// How to talk to the brokers
    #[arg(long, env = "CHATCLUSTER_KAFKA_SECURITY_PROTOCOL", default_value = "plaintext",
          value_parser = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"], ignore_case = true)]
    pub kafka_security_protocol: String,
    /// SASL mechanism, for the sasl protocols
    #[arg(long, env = "CHATCLUSTER_KAFKA_SASL_MECHANISM", default_value = "SCRAM-SHA-512",
          value_parser = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], ignore_case = true)]
    pub kafka_sasl_mechanism: String,
    /// SASL user name
    #[arg(long, env = "CHATCLUSTER_KAFKA_SASL_USERNAME")]
    pub kafka_sasl_username: Option<String>,
    /// SASL password
    #[arg(long, env = "CHATCLUSTER_KAFKA_SASL_PASSWORD", hide_env_values = true)]
    pub kafka_sasl_password: Option<Secret>,
    /// PEM file of the authorities that sign the brokers' certificates; default: those of the system
    #[arg(long, env = "CHATCLUSTER_KAFKA_CA_FILE", value_name = "FILE")]
    pub kafka_ca_file: Option<PathBuf>,
    /// A group member not heard of for so long is dead
    #[arg(long, env = "CHATCLUSTER_KAFKA_SESSION_TIMEOUT", default_value = "6s", value_parser = duration)]
    pub kafka_session_timeout: Duration,
    /// Further librdkafka properties, key=value separated by commas; they win over those above
    #[arg(long, env = "CHATCLUSTER_KAFKA_PROPERTIES", value_delimiter = ',', value_name = "KEY=VALUE")]
    pub kafka_properties: Vec<Property>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            kafka_bootstrap_servers: "127.0.0.1:9092".to_owned(),
            kafka_prefix: String::new(),
            kafka_topics: Renamed::default(),
            kafka_security_protocol: "plaintext".to_owned(),
            kafka_sasl_mechanism: "SCRAM-SHA-512".to_owned(),
            kafka_sasl_username: None,
            kafka_sasl_password: None,
            kafka_ca_file: None,
            kafka_session_timeout: Duration::from_secs(6),
            kafka_properties: Vec::new(),
        }
    }
}

/// One `key=value` of librdkafka. Debug output hides the value: it may be a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Property {
    pub key: String,
    pub value: String,
}

impl std::fmt::Debug for Property {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=***", self.key)
    }
}

impl FromStr for Property {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().to_owned(), value: value.to_owned() })
            }
            _ => Err("a property is key=value".to_owned()),
        }
    }
}

impl KafkaOptions {
    /// Opening the log checks them.
    pub fn names(&self) -> Names {
        Names::with_prefix(&self.kafka_prefix).with_renamed(&self.kafka_topics)
    }

    pub(super) fn check_names(&self) -> Result<(), LogError> {
        self.names().check().map_err(|error| LogError::Refused(format!("the names of topics: {error}")))
    }

    /// What every client has in common.
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.kafka_bootstrap_servers)
            .set("client.id", "chatcluster")
            .set("security.protocol", self.kafka_security_protocol.to_ascii_lowercase())
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "30000");
        if self.kafka_security_protocol.to_ascii_lowercase().starts_with("sasl") {
            config.set("sasl.mechanism", self.kafka_sasl_mechanism.to_ascii_uppercase());
        }
        if let Some(username) = &self.kafka_sasl_username {
            config.set("sasl.username", username);
        }
        if let Some(password) = &self.kafka_sasl_password {
            config.set("sasl.password", password.expose());
        }
        if let Some(file) = &self.kafka_ca_file {
            config.set("ssl.ca.location", file.display().to_string());
        }
        config
    }

    fn with_own_properties(&self, mut config: ClientConfig) -> ClientConfig {
        for Property { key, value } in &self.kafka_properties {
            config.set(key, value);
        }
        config
    }

    pub(super) fn admin(&self) -> ClientConfig {
        self.with_own_properties(self.client())
    }

    /// Reads without being a member of a group that commits.
    pub(super) fn reader(&self) -> ClientConfig {
        let mut config = self.client();
        config.set("group.id", format!("{}chatcluster-tools", self.kafka_prefix)).set("enable.auto.commit", "false");
        self.with_own_properties(config)
    }

    /// Never gives a record up: with a finite `message.timeout.ms` record n could expire while n+1 lands.
    pub(super) fn durable_producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("max.in.flight.requests.per.connection", "5")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "0")
            .set("message.timeout.ms", "0")
            .set("retry.backoff.ms", "20")
            .set("retry.backoff.max.ms", "500")
            .set("topic.metadata.propagation.max.ms", "5000");
        self.with_own_properties(config)
    }

    /// Gives up after seconds and waits for one replica only: nobody misses a lost typing indication.
    pub(super) fn ephemeral_producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("acks", "1")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "0")
            .set("message.timeout.ms", "5000")
            .set("queue.buffering.max.messages", "10000")
            .set("topic.metadata.propagation.max.ms", "2000");
        self.with_own_properties(config)
    }

    /// The classic protocol, eager, without a static id: cooperative-sticky with manual commits has had rejoin loops,
    /// and a static id from a random pod name stalls every rollout for a session timeout.
    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        let session = self.kafka_session_timeout.as_millis();
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("partition.assignment.strategy", "roundrobin")
            .set("session.timeout.ms", session.to_string())
            .set("heartbeat.interval.ms", (session / 4).max(1).to_string())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("fetch.min.bytes", "1")
            .set("fetch.error.backoff.ms", "50")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.max.messages.kbytes", "16384")
            .set("statistics.interval.ms", "2000");
        self.with_own_properties(config)
    }
}

#[cfg(test)]
mod tests {
    use chatcluster_contracts::topics::Topic;
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        kafka: KafkaOptions,
    }

    #[test]
    fn topics_are_renamed_by_role() {
        let parse =
            |topics: &str| Program::try_parse_from(["program", "--kafka-prefix", "p.", "--kafka-topics", topics]);
        let names = parse("messages=foo.all,typing=bar").unwrap().kafka.names();
        assert_eq!(
            (names.topic(Topic::Messages), names.topic(Topic::Users)),
            ("foo.all".into(), "p.user.events".into())
        );
        let refused = parse("massages=foo").err().unwrap().to_string();
        assert!(refused.contains("--kafka-topics") && refused.contains("\"massages\" is not the role"), "{refused}");
        assert_eq!(parse("").unwrap().kafka.names(), Names::with_prefix("p."));
    }

    #[test]
    fn own_properties_win_and_are_not_printed() {
        let options = KafkaOptions {
            kafka_properties: vec!["linger.ms=5".parse().unwrap(), "ssl.key.password=secret".parse().unwrap()],
            kafka_sasl_password: Some("hidden".parse().unwrap()),
            ..KafkaOptions::default()
        };
        assert_eq!(options.durable_producer().get("linger.ms"), Some("5"));
        assert_eq!(options.durable_producer().get("message.timeout.ms"), Some("0"));
        let printed = format!("{options:?}");
        assert!(!printed.contains("secret") && !printed.contains("hidden"), "{printed}");
        assert!("novalue".parse::<Property>().is_err());
    }
}
