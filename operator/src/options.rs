//! The settings of the operator.

use std::{net::SocketAddr, time::Duration};

use chatcluster_service::{config::duration, telemetry::LogOptions};

/// Keeps what ChatCluster resources ask for, in Kubernetes, Kafka and Redis
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "chatcluster-operator", version, args_conflicts_with_subcommands = true)]
pub struct Options {
    /// Where health and metrics are served
    #[arg(long, env = "CHATCLUSTER_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Namespaces to look after, separated by commas; none given: all of them
    #[arg(long, env = "CHATCLUSTER_WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACE")]
    pub watch_namespaces: Vec<String>,

    /// Let one of several operators work at a time: true or false
    #[arg(long, env = "CHATCLUSTER_LEADER_ELECTION", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_election: bool,

    /// Name of the Lease by which operators agree who works
    #[arg(long, env = "CHATCLUSTER_LEASE_NAME", default_value = "chatcluster-operator", value_name = "NAME")]
    pub lease_name: String,

    /// Namespace of the Lease; default: the operator's own
    #[arg(long, env = "CHATCLUSTER_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// A leader not heard of for so long is replaced
    #[arg(long, env = "CHATCLUSTER_LEASE_DURATION", default_value = "15s", value_parser = duration)]
    pub lease_duration: Duration,

    /// Name of this process in the Lease and in Events; default: the host's name
    #[arg(long, env = "CHATCLUSTER_NODE", value_name = "NAME")]
    pub node: Option<String>,

    /// How often Secrets, Kafka and Redis, which nobody can watch, are looked at
    #[arg(long, env = "CHATCLUSTER_RESYNC_INTERVAL", default_value = "45s", value_parser = duration)]
    pub resync_interval: Duration,

    /// Clusters that are worked on at the same time
    #[arg(long, env = "CHATCLUSTER_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,

    /// Time that one call to Kafka or Redis may take
    #[arg(long, env = "CHATCLUSTER_CALL_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub call_timeout: Duration,

    #[command(flatten)]
    pub log: LogOptions,

    #[command(subcommand)]
    pub command: Option<crate::cli::Command>,
}
