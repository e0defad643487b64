//! What is measured. Each scenario starts the server afresh and returns its figures by name.

mod crowd;
mod idle;
mod load;
mod slow;

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use super::servers::{Places, Server};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Memory of idle connections, and what connecting them costs
    Idle,
    /// One room of 1,000 readers: a fixed rate, and saturation
    Broadcast,
    /// 100 rooms of 10 readers, saturation
    Rooms,
    /// 1,000 rooms of one reader, saturation
    OneToOne,
    /// 10,000 connections in 1,000 rooms: memory, and latency at a fixed rate
    Crowd,
    /// A tenth of 1,000 readers stops reading, 20 MB meant for each
    Slow,
}

/// A figure: its name with its unit, and its value.
pub(crate) type Figure = (&'static str, f64);

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) fixed_rate: Duration,
    pub(crate) saturation: Duration,
}

impl Scenario {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Idle => "idle connections",
            Self::Broadcast => "broadcast, 1 room x 1,000",
            Self::Rooms => "100 rooms x 10",
            Self::OneToOne => "1,000 x 1",
            Self::Crowd => "1,000 rooms x 10",
            Self::Slow => "100 of 1,000 readers stop reading, 20 MB meant for each",
        }
    }

    /// Whether a server takes part.
    pub(crate) fn has(self, server: Server) -> bool {
        // at these sizes RabbitMQ does a fifth of the rate
        !matches!(self, Self::Slow | Self::Crowd) || !matches!(server, Server::GatewayStomp | Server::Rabbitmq)
    }

    /// How often it is run when everything is run so many times: what is long and compares a server with itself, once.
    pub(crate) fn rounds(self, rounds: usize) -> usize {
        if self == Self::Slow { rounds.min(1) } else { rounds }
    }

    pub(crate) fn run(self, server: Server, places: &Places, times: Times) -> Result<Vec<Figure>> {
        match self {
            Self::Idle => idle::run(server, places),
            Self::Broadcast => load::broadcast(server, places, times),
            Self::Rooms => load::saturation(server, places, times, 100, &[100, 400]),
            Self::OneToOne => load::saturation(server, places, times, 1000, &[250, 1000]),
            Self::Crowd => crowd::run(server, places, times),
            Self::Slow => slow::run(server, places),
        }
    }
}
