//! Load drivers. Each prints a table for people and one JSON line for programs.
#![allow(clippy::print_stdout, reason = "the output is the product")]

mod idle;
mod path;
mod percentiles;
mod process_usage;
mod store;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the platform on this machine. Build with --release.
#[derive(Debug, Parser)]
enum Command {
    /// SEND -> ACK and SEND -> MESSAGE through the whole path, embedded and on real servers
    Path(path::Options),
    /// Sends a second into the database
    Store(store::Options),
    /// Memory of a gateway per idle connection
    Idle(idle::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Path(options) => path::run(options).await,
        Command::Store(options) => store::run(options).await,
        Command::Idle(options) => idle::run(options).await,
    }
}
