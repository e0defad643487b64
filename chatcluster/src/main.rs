//! `chatcluster`: see `--help`.

use chatcluster::cli::{Cli, Command};
use chatcluster_service::config;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match config::parse::<Cli>().command {
        Command::Run(options) => chatcluster::run::run(*options).await,
        Command::Topics(command) => chatcluster::topics::run(*command).await,
        Command::DeadLetters(command) => chatcluster::dead_letters::run(*command).await,
        Command::Openapi => chatcluster::openapi::print(),
    }
}
