//! Load drivers. Each prints a table for people and one JSON line for programs.
#![allow(clippy::print_stdout, reason = "the output is the product")]

mod gateway;
mod idle;
mod limit;
mod node;
mod path;
mod percentiles;
mod process_usage;
mod rooms;
mod store;

use anyhow::Result;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the platform on this machine. Build with --release.
#[derive(Debug, Parser)]
enum Command {
    /// The gateway beside its peers and the least a server can do, a core for each
    Gateway(gateway::Options),
    /// The least a server can do, to compare with
    Limit(limit::Options),
    /// One gateway full of authenticated connections on the whole platform
    Node(node::Options),
    /// SEND -> ACK and SEND -> MESSAGE through the whole path, embedded and on real servers
    Path(path::Options),
    /// One message to a room of 100,000 members, 10,000 of them connected
    Rooms(rooms::Options),
    /// Sends a second into the database
    Store(store::Options),
    /// Memory of a gateway per idle connection
    Idle(idle::Options),
}

fn main() -> Result<()> {
    match Command::parse() {
        // one thread each, without a runtime beside it
        Command::Gateway(options) => gateway::run(&options),
        Command::Limit(options) => limit::run(&options),
        Command::Node(options) => on_runtime(node::run(options)),
        Command::Path(options) => on_runtime(path::run(options)),
        Command::Rooms(options) => on_runtime(rooms::run(options)),
        Command::Store(options) => on_runtime(store::run(options)),
        Command::Idle(options) => on_runtime(idle::run(options)),
    }
}

fn on_runtime(command: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(command)
}
