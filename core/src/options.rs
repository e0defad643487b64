//! The settings of core. Flags, environment and file agree on names and parsing, see `service::config`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use chatcluster_contracts::ids::UserId;
use chatcluster_service::{
    config::{Secret, duration, service_token},
    telemetry::LogOptions,
    tokens::{DEFAULT_AUDIENCE, DEFAULT_ISSUER, JwksSource},
};
use chatcluster_transport::{event_log::kafka::KafkaOptions, gateway_streams::redis::RedisOptions};

/// Identity, conversations and messages: REST for clients, gRPC for the other services
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "chatcluster-core", version)]
pub struct Options {
    /// Address of REST, health and metrics
    #[arg(long, env = "CHATCLUSTER_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,
    /// Address of gRPC
    #[arg(long, env = "CHATCLUSTER_GRPC_LISTEN", default_value = "127.0.0.1:9090")]
    pub grpc_listen: SocketAddr,
    /// Bring the schema up to date and end, without serving anything
    #[arg(long, env = "CHATCLUSTER_MIGRATE_ONLY")]
    pub migrate_only: bool,
    #[command(flatten)]
    pub core: CoreOptions,
    #[command(flatten)]
    pub kafka: KafkaOptions,
    #[command(flatten)]
    pub redis: RedisOptions,
    #[command(flatten)]
    pub log: LogOptions,
}

/// What core needs wherever it runs.
#[derive(Debug, Clone, clap::Args)]
pub struct CoreOptions {
    /// Name of this process, which no other living one has; a restart under the same name takes its work over at once;
    /// default: the host's name and the address listened on
    #[arg(long, env = "CHATCLUSTER_NODE")]
    pub node: Option<String>,
    /// mysql://user:password@host:port/database (MySQL 8 or MariaDB) or sqlite:path
    #[arg(long, env = "CHATCLUSTER_DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,
    /// Connections to the database, besides one for each append lane
    #[arg(long, env = "CHATCLUSTER_DATABASE_CONNECTIONS", default_value_t = 16)]
    pub database_connections: u32,
    /// Bring the schema up to date at start: true or false
    #[arg(long, env = "CHATCLUSTER_MIGRATE", default_value_t = true, action = clap::ArgAction::Set)]
    pub migrate: bool,
    /// Tasks that combine sends into transactions; SQLite always has one
    #[arg(long, env = "CHATCLUSTER_APPEND_LANES", default_value_t = 2)]
    pub append_lanes: usize,
    /// Shards of the outbox; all core processes of a cluster must agree
    #[arg(long, env = "CHATCLUSTER_OUTBOX_SHARDS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub outbox_shards: u32,
    /// Who publishes the outbox to Kafka: builtin (this process), or external (such as Debezium, from the binary log of MySQL
    /// or MariaDB)
    #[arg(long, env = "CHATCLUSTER_OUTBOX_RELAY", default_value = "builtin", value_enum)]
    pub outbox_relay: OutboxRelay,
    /// How long rows of the outbox stay in the table for an external relay
    #[arg(long, env = "CHATCLUSTER_OUTBOX_KEEP", default_value = "1h", value_parser = duration)]
    pub outbox_keep: Duration,
    /// Folder of what this process keeps: the signing key
    #[arg(long, env = "CHATCLUSTER_DATA_DIR", default_value = "./data", value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// Ed25519 key that signs access tokens, PKCS#8 PEM; default: created in the data folder. All core processes need
    /// the same one
    #[arg(long, env = "CHATCLUSTER_SIGNING_KEY_FILE", value_name = "FILE")]
    pub signing_key_file: Option<PathBuf>,
    /// Secret that the other services show in gRPC calls
    #[arg(long, env = "CHATCLUSTER_SERVICE_TOKEN", hide_env_values = true, value_parser = service_token)]
    pub service_token: Secret,
    /// Serve gRPC reflection without the service token
    #[arg(long, env = "CHATCLUSTER_GRPC_OPEN_REFLECTION")]
    pub grpc_open_reflection: bool,
    #[command(flatten)]
    pub tokens: TokenOptions,
    /// Store what others produce to the topics message.ingest and chat-messages: true or false
    #[arg(long, env = "CHATCLUSTER_INGEST", default_value_t = true, action = clap::ArgAction::Set)]
    pub ingest: bool,
    /// User in whose name records of chat-messages without a senderId are stored; default: such records are refused
    #[arg(long, env = "CHATCLUSTER_INGEST_SERVICE_SENDER", value_name = "USER")]
    pub ingest_service_sender: Option<UserId>,
    /// Proxies in front that append to X-Forwarded-For; 0: the header is not believed
    #[arg(long, env = "CHATCLUSTER_TRUSTED_PROXIES", default_value_t = 0)]
    pub trusted_proxies: usize,
    /// How many messages a second that come by REST are traced
    #[arg(long, env = "CHATCLUSTER_REST_TRACE_RATE", default_value_t = 50, value_name = "MESSAGES/S")]
    pub rest_trace_rate: u32,
}

/// Who publishes the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutboxRelay {
    Builtin,
    External,
}

/// Whose tokens are accepted, and how long core's own are good for.
#[derive(Debug, Clone, clap::Args)]
pub struct TokenOptions {
    /// Key sets of outside issuers whose tokens are accepted: file or URL, or issuer=file-or-URL; separated by commas
    #[arg(long, env = "CHATCLUSTER_JWKS", value_delimiter = ',', value_name = "SOURCE")]
    pub jwks: Vec<JwksSource>,
    /// Accepted issuers of outside tokens whose key set names none, separated by commas
    #[arg(long, env = "CHATCLUSTER_JWKS_ISSUERS", value_delimiter = ',', value_name = "ISSUER")]
    pub jwks_issuers: Vec<String>,
    /// Issuer of the tokens made here
    #[arg(long, env = "CHATCLUSTER_TOKEN_ISSUER", default_value = DEFAULT_ISSUER)]
    pub token_issuer: String,
    /// Audience of the tokens made and accepted here
    #[arg(long, env = "CHATCLUSTER_TOKEN_AUDIENCE", default_value = DEFAULT_AUDIENCE)]
    pub token_audience: String,
    /// How long an access token is good for
    #[arg(long, env = "CHATCLUSTER_ACCESS_TOKEN_TTL", default_value = "15m", value_parser = duration)]
    pub access_token_ttl: Duration,
    /// How long a login lasts without being used
    #[arg(long, env = "CHATCLUSTER_REFRESH_TOKEN_TTL", default_value = "30d", value_parser = duration)]
    pub refresh_token_ttl: Duration,
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self {
            jwks: Vec::new(),
            jwks_issuers: Vec::new(),
            token_issuer: DEFAULT_ISSUER.to_owned(),
            token_audience: DEFAULT_AUDIENCE.to_owned(),
            access_token_ttl: Duration::from_mins(15),
            refresh_token_ttl: Duration::from_hours(30 * 24),
        }
    }
}

impl CoreOptions {
    /// Everything else at its default: for a process that contains core.
    pub fn new(database_url: Secret, data_dir: PathBuf, service_token: Secret) -> Self {
        Self {
            node: None,
            database_url,
            database_connections: 16,
            migrate: true,
            append_lanes: 2,
            outbox_shards: 8,
            outbox_relay: OutboxRelay::Builtin,
            outbox_keep: Duration::from_hours(1),
            data_dir,
            signing_key_file: None,
            service_token,
            grpc_open_reflection: false,
            tokens: TokenOptions::default(),
            ingest: true,
            ingest_service_sender: None,
            trusted_proxies: 0,
            rest_trace_rate: 50,
        }
    }
}

#[cfg(test)]
mod tests {
    use chatcluster_service::config::try_parse_from;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
        let fixed = ["core", "--database-url", "sqlite:x", "--service-token", "0123456789abcdef"];
        let arguments: Vec<std::ffi::OsString> = fixed.iter().chain(arguments).map(Into::into).collect();
        try_parse_from(arguments)
    }

    #[test]
    fn the_defaults_of_both_ways_are_the_same() {
        let parsed = parse(&[]).unwrap().core;
        let made = CoreOptions::new(Secret::new("sqlite:x"), "./data".into(), Secret::new("0123456789abcdef"));
        assert_eq!(format!("{parsed:?}"), format!("{made:?}"));
    }

    #[test]
    fn a_wrong_value_is_refused_by_name() {
        assert!(parse(&["--outbox-shards", "0"]).unwrap_err().to_string().contains("--outbox-shards"));
        assert!(!parse(&["--migrate", "false"]).unwrap().core.migrate);
    }
}
