//! Settings of the worker.

use std::{net::SocketAddr, time::Duration};

use chatcluster_contracts::road::BROADCAST_ABOVE;
use chatcluster_service::{
    config::{Secret, duration, service_token},
    rpc::CoreUrl,
    telemetry::LogOptions,
};
use chatcluster_transport::{event_log::kafka::KafkaOptions, gateway_streams::redis::RedisOptions};

/// Fans out conversation events from Kafka to the gateways that hold their recipients.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "chatcluster-worker", version)]
pub struct Process {
    /// Where health and metrics are served
    #[arg(long, env = "CHATCLUSTER_LISTEN", default_value = "127.0.0.1:8083")]
    pub listen: SocketAddr,

    /// Core's gRPC address; several (separated by commas, or all that a name has, `dns:///host:port`) are balanced
    #[arg(long, env = "CHATCLUSTER_CORE_URL", default_value = "http://127.0.0.1:9090")]
    pub core_url: CoreUrl,

    /// Shared secret of the platform's services
    #[arg(long, env = "CHATCLUSTER_SERVICE_TOKEN", hide_env_values = true, value_parser = service_token)]
    pub service_token: Secret,

    #[command(flatten)]
    pub options: Options,
    #[command(flatten)]
    pub kafka: KafkaOptions,
    #[command(flatten)]
    pub redis: RedisOptions,
    #[command(flatten)]
    pub log: LogOptions,
}

// no clap group: the one-process form flattens the options of several services, whose groups would share this name
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Records of one partition that are worked on together
    #[arg(long, env = "CHATCLUSTER_FANOUT_BATCH", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub fanout_batch: u16,

    /// Records of one partition that may wait before the partition is paused
    #[arg(long, env = "CHATCLUSTER_FANOUT_QUEUE", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub fanout_queue: u32,

    /// Members remembered per partition, over all conversations
    #[arg(long, env = "CHATCLUSTER_MEMBER_CACHE", default_value_t = 200_000)]
    pub member_cache: usize,

    /// Conversations with more members than this are published once for all gateways instead of routed to those that hold a
    /// member; the gateways must have the same setting
    #[arg(long, env = "CHATCLUSTER_FANOUT_BROADCAST_ABOVE", default_value_t = BROADCAST_ABOVE, value_name = "MEMBERS")]
    pub fanout_broadcast_above: u64,

    /// How often gateways are told the heads of what was routed to them lately
    #[arg(long, env = "CHATCLUSTER_DIGEST_INTERVAL", default_value = "2s", value_parser = duration)]
    pub digest_interval: Duration,

    /// How often the registry of connections is merged with what core knows
    #[arg(long, env = "CHATCLUSTER_REGISTRY_SYNC_INTERVAL", default_value = "5m", value_parser = duration)]
    pub registry_sync_interval: Duration,

    /// Records that are kept of each room, about, for those who come late or were away
    #[arg(long, env = "CHATCLUSTER_ROOM_LOG_LENGTH", default_value_t = 1000, value_name = "RECORDS",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub room_log_length: u32,

    /// They are removed when nothing came for the room for so long
    #[arg(long, env = "CHATCLUSTER_ROOM_LOG_IDLE", default_value = "24h", value_parser = duration)]
    pub room_log_idle: Duration,

    /// User events that are kept of each name, about, for those who ask for the past or for ids; 0: none, and nobody may
    #[arg(long, env = "CHATCLUSTER_USER_EVENT_LOG_LENGTH", default_value_t = 200, value_name = "EVENTS")]
    pub user_event_log_length: usize,

    /// They are removed when nothing was published for the name for so long
    #[arg(long, env = "CHATCLUSTER_USER_EVENT_LOG_IDLE", default_value = "24h", value_parser = duration)]
    pub user_event_log_idle: Duration,
}
