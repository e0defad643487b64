//! The command line.

use clap::{Parser, Subcommand};

use crate::{dead_letters::DeadLettersCommand, run::RunOptions, topics::TopicsCommand};

/// A real-time messaging platform: every client sees every event in order, once, even when any process is killed.
///
/// Every setting is a flag, an environment variable and a key of the YAML file given by --config, in this order of
/// precedence: `--data-dir`, `CHATCLUSTER_DATA_DIR`, `data-dir`.
#[derive(Debug, Parser)]
#[command(
    name = "chatcluster",
    version,
    max_term_width = 110,
    after_help = "\
Try it:
  chatcluster run                        then open http://127.0.0.1:8080 in two browser windows
  chatcluster run --listen 0.0.0.0:80    for others on your network (put TLS in front of it)
  chatcluster topics apply --kafka-bootstrap-servers kafka:9092
  chatcluster dlq list --kafka-bootstrap-servers kafka:9092

In production the same platform runs as chatcluster-core, chatcluster-worker and chatcluster-gateway."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything in this process, with nothing else installed: database, log and streams are embedded
    Run(Box<RunOptions>),
    /// Create the Kafka topics where no operator does
    #[command(subcommand)]
    Topics(Box<TopicsCommand>),
    /// Dead letters: records that could not be processed
    #[command(subcommand, name = "dlq")]
    DeadLetters(Box<DeadLettersCommand>),
    /// Print the OpenAPI document of the REST API
    Openapi,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_of_the_flattened_services_do_not_collide() {
        Cli::command().debug_assert();
    }
}
