//! `chatcluster dlq`: what could not be processed, why, and another try.
#![allow(clippy::print_stdout, reason = "the output is the product")]

use std::time::Duration;

use anyhow::{Context, ensure};
use chatcluster_contracts::{record::header, topics::Topic};
use chatcluster_transport::event_log::{
    EventLog, NewRecord, Record,
    kafka::{
        KafkaLog, KafkaOptions,
        dead_letters::{self, Found},
    },
};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// One line for each dead letter: topic, offset, time, key, reason; without --topic of all topics
    List(ListOptions),
    /// One dead letter whole, with its headers
    Show(ShowOptions),
    /// Put dead letters back where they came from, once what was wrong is mended. They stay listed until they expire; a
    /// message that was stored meanwhile is not stored again
    Replay(ReplayOptions),
}

#[derive(Debug, Args)]
pub struct ListOptions {
    #[command(flatten)]
    kafka: KafkaOptions,
    /// Only those of this topic, by its role: messages, created, ingest, direct, status, notifications or users
    #[arg(long, value_parser = topic)]
    topic: Option<Topic>,
    /// From this offset on
    #[arg(long, default_value_t = 0)]
    from: i64,
    /// At most so many a topic
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

#[derive(Debug, Args)]
pub struct ShowOptions {
    #[command(flatten)]
    kafka: KafkaOptions,
    /// The topic it was refused from, by its role, e.g. ingest
    #[arg(long, value_parser = topic)]
    topic: Topic,
    /// Its offset, as listed
    #[arg(long)]
    offset: i64,
}

#[derive(Debug, Args)]
pub struct ReplayOptions {
    #[command(flatten)]
    kafka: KafkaOptions,
    /// The topic they were refused from, by its role, e.g. ingest
    #[arg(long, value_parser = topic)]
    topic: Topic,
    /// The one with this offset
    #[arg(long, conflicts_with = "all", required_unless_present = "all")]
    offset: Option<i64>,
    /// All that are kept
    #[arg(long)]
    all: bool,
}

/// Dead letters read at once by a replay.
const PAGE: usize = 500;
/// How long the log may take to accept a page.
const APPEND_WITHIN: Duration = Duration::from_mins(1);

fn topic(role: &str) -> Result<Topic, String> {
    let known = || {
        let roles = Topic::ALL.into_iter().filter(|topic| topic.has_dead_letters()).map(Topic::role_name);
        roles.collect::<Vec<_>>().join(", ")
    };
    Topic::from_role_name(role)
        .filter(|topic| topic.has_dead_letters())
        .ok_or_else(|| format!("no topic with dead letters; there are {}", known()))
}

pub async fn run(command: DeadLettersCommand) -> anyhow::Result<()> {
    match command {
        DeadLettersCommand::List(options) => list(options).await,
        DeadLettersCommand::Show(options) => show(options).await,
        DeadLettersCommand::Replay(options) => replay(options).await,
    }
}

async fn read(kafka: &KafkaOptions, topic: Topic, from: i64, max: usize) -> anyhow::Result<Found> {
    let options = kafka.clone();
    let found = tokio::task::spawn_blocking(move || dead_letters::read(&options, topic, from, max)).await?;
    let name = kafka.names().dead_letters(topic);
    found.with_context(|| format!("failed to read {name} at {}", kafka.kafka_bootstrap_servers))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn reason(letter: &Record) -> &str {
    letter.header(header::DLQ_REASON).unwrap_or("no reason given")
}

fn time(letter: &Record) -> String {
    jiff::Timestamp::from_millisecond(letter.timestamp_ms).map(|time| time.to_string()).unwrap_or_default()
}

async fn list(options: ListOptions) -> anyhow::Result<()> {
    let topics = match options.topic {
        Some(topic) => vec![topic],
        None => Topic::ALL.into_iter().filter(|topic| topic.has_dead_letters()).collect(),
    };
    let mut count = 0;
    for topic in topics {
        let found = read(&options.kafka, topic, options.from, options.limit).await?;
        count += found.letters.len();
        for letter in &found.letters {
            let key = text(letter.key.as_deref().unwrap_or_default());
            println!(
                "{:<14} {:>8}  {}  {key}  {}",
                topic.role_name(),
                letter.offset,
                time(letter),
                text(reason(letter).as_bytes())
            );
        }
        if found.letters.len() == options.limit {
            println!("{:<14} there may be more: --topic {} --from ...", topic.role_name(), topic.role_name());
        }
    }
    if count == 0 {
        println!("no dead letters");
    }
    Ok(())
}

async fn show(options: ShowOptions) -> anyhow::Result<()> {
    let letter = one(&options.kafka, options.topic, options.offset).await?;
    println!("time    {}", time(&letter));
    println!("key     {}", text(letter.key.as_deref().unwrap_or_default()));
    for (name, value) in &letter.headers {
        println!("header  {name}: {}", text(value));
    }
    println!("value   {}", String::from_utf8_lossy(&letter.value));
    Ok(())
}

async fn one(kafka: &KafkaOptions, topic: Topic, offset: i64) -> anyhow::Result<Record> {
    let Found { kept, letters } = read(kafka, topic, offset, 1).await?;
    let found = letters.into_iter().find(|letter| letter.offset == offset);
    found.with_context(|| match kept {
        (first, end) if first < end => format!("there is none with offset {offset}; kept are {first} to {}", end - 1),
        _ => format!("{} has no dead letters", topic.role_name()),
    })
}

async fn replay(options: ReplayOptions) -> anyhow::Result<()> {
    let log = KafkaLog::new(&options.kafka)?;
    let producer = log.producer();
    let (mut next, mut count) = (0, 0);
    let mut end = None;
    loop {
        let letters = if let Some(offset) = options.offset {
            vec![one(&options.kafka, options.topic, offset).await?]
        } else {
            let found = read(&options.kafka, options.topic, next, PAGE).await?;
            // what is refused again while this runs is not replayed again
            let end = *end.get_or_insert(found.kept.1);
            found.letters.into_iter().filter(|letter| letter.offset < end).collect()
        };
        let Some(last) = letters.last() else { break };
        next = last.offset + 1;
        let records: Vec<_> = letters.iter().map(NewRecord::replay_of).collect();
        let appended = tokio::time::timeout(APPEND_WITHIN, producer.append(records)).await;
        let appended =
            appended.context("the log did not take the records in time; replay again, none is stored twice")?;
        for (letter, outcome) in letters.iter().zip(appended) {
            outcome.with_context(|| format!("the letter with offset {} was not replayed", letter.offset))?;
            count += 1;
        }
        if options.offset.is_some() {
            break;
        }
    }
    ensure!(count > 0, "{} has no dead letters", options.topic.role_name());
    println!("replayed {count} to {}", options.kafka.names().topic(options.topic));
    Ok(())
}
