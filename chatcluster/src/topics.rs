//! `chatcluster topics`: provisions Kafka by hand.
#![allow(clippy::print_stdout, reason = "the output is the product")]

use anyhow::{Context, ensure};
use chatcluster_transport::event_log::kafka::{
    KafkaOptions,
    provision::{self, Outcome},
};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum TopicsCommand {
    /// Create every topic that is missing; existing ones are left as they are. May be repeated at any time
    Apply(ApplyOptions),
}

#[derive(Debug, Args)]
pub struct ApplyOptions {
    #[command(flatten)]
    kafka: KafkaOptions,

    /// Copies of each partition; default: three, or as many as there are brokers
    #[arg(long, env = "CHATCLUSTER_REPLICATION_FACTOR", value_parser = clap::value_parser!(u32).range(1..=15))]
    replication_factor: Option<u32>,
}

pub async fn run(command: TopicsCommand) -> anyhow::Result<()> {
    let TopicsCommand::Apply(options) = command;
    let applied = provision::apply(&options.kafka, options.replication_factor)
        .await
        .with_context(|| format!("no topics were applied at {}", options.kafka.kafka_bootstrap_servers))?;
    let mut differing = Vec::new();
    for topic in applied {
        let outcome = match topic.outcome {
            Outcome::Created => "created".to_owned(),
            Outcome::Existing => "exists".to_owned(),
            Outcome::Differs { found } => {
                differing.push(topic.name.clone());
                format!("has {found} partitions")
            }
        };
        println!("{:<32} {:>3} partitions  {outcome}", topic.name, topic.partitions);
    }
    ensure!(
        differing.is_empty(),
        "{} have another number of partitions than declared; they were left alone, because a conversation would change \
         its partition",
        differing.join(", ")
    );
    Ok(())
}
