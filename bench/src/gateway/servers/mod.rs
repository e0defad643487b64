//! The servers that are compared, and how each is started: on a free port, with a configuration of its own in a folder
//! of its own.

mod nchan;
mod ours;
mod process;
mod rabbitmq;
mod user_events;
mod ws;

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

use super::driver::Endpoint;
pub(crate) use process::Process;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Server {
    /// One send(2) for each delivery and nothing else
    Limit,
    /// The same with one send(2) for all that waits for a socket
    LimitBatched,
    /// The gateway in conformance mode
    Gateway,
    /// The same over STOMP
    GatewayStomp,
    /// The gateway's road for user events, published in a Redis
    UserEvents,
    /// nginx with nchan
    Nchan,
    /// A plain loop over the sockets of Node's package ws
    Ws,
    /// `RabbitMQ`'s Web STOMP
    Rabbitmq,
}

/// A server that listens.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) endpoint: Endpoint,
    pub(crate) process: Process,
    /// What it needs and what is not measured; held so that it ends with the server.
    _beside: Option<Process>,
}

impl Running {
    fn new(endpoint: Endpoint, process: Process) -> Self {
        Self { endpoint, process, _beside: None }
    }
}

/// Where things are that are not found by themselves.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) gateway: PathBuf,
}

impl Server {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::LimitBatched => "limit, batched",
            Self::Gateway => "gateway",
            Self::GatewayStomp => "gateway, STOMP",
            Self::UserEvents => "user events",
            Self::Nchan => "nchan",
            Self::Ws => "ws on Node",
            Self::Rabbitmq => "RabbitMQ STOMP",
        }
    }

    pub(crate) fn start(self, places: &Places) -> Result<Running> {
        match self {
            Self::Limit => ours::limit(false),
            Self::LimitBatched => ours::limit(true),
            Self::Gateway => ours::gateway(places, ours::ROOMS),
            Self::GatewayStomp => ours::gateway(places, ours::STOMP),
            Self::UserEvents => user_events::start(places),
            Self::Nchan => nchan::start(),
            Self::Ws => ws::start(),
            Self::Rabbitmq => rabbitmq::start(),
        }
    }

    /// Idle connections that it is given.
    pub(crate) fn most_connections(self) -> usize {
        // which take it a quarter of a minute already
        if self == Self::Rabbitmq { 5000 } else { usize::MAX }
    }

    /// What has to be installed first; `None` when it can be started.
    pub(crate) fn missing(self, places: &Places) -> Option<String> {
        match self {
            Self::Limit | Self::LimitBatched => None,
            Self::Gateway | Self::GatewayStomp => {
                (!places.gateway.is_file()).then(|| format!("{} is not built", places.gateway.display()))
            }
            Self::UserEvents => user_events::missing(places),
            Self::Nchan => nchan::missing().map(str::to_owned),
            Self::Ws => ws::missing().map(str::to_owned),
            Self::Rabbitmq => rabbitmq::missing().map(str::to_owned),
        }
    }
}
