//! Reads what the platform has on record: past it from MariaDB and Kafka, and through it by REST.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::Value;

use super::clock::Clock;
use super::fleet::{Cast, Common};
use super::history::{Event, Name};
use super::inject::PARTITIONS;
use super::platform::Platform;
use super::truth::{Conversation, Interval, Stored, Truth};
use crate::servers::Namespace;

const PAGE: u32 = 500;
/// For the end of the topic, once it is known where that is.
const DUMP_WITHIN: Duration = Duration::from_mins(1);

pub(super) async fn truth(platform: &Platform, common: &Common, cast: &Cast) -> Result<Truth> {
    let mut truth = database(platform, common.recorder.clock).await?;
    let namespace = platform.deployment.namespace().context("no namespace")?.clone();
    let dump = tokio::task::spawn_blocking(move || topic(&namespace));
    truth.topic = dump.await.context("reading the topic panicked")??;
    for room in cast.conversations.iter().chain([&cast.loud]) {
        let token = common.tokens.issue(&room.owner, Duration::from_mins(5))?;
        let mut events = Vec::new();
        loop {
            let after = events.last().map_or(0, |event: &Event| event.seq);
            let (status, page) = common.cores[0].with_token(&token).events(&room.id, after, PAGE).await?;
            ensure!(status == 200, "reading {} by REST: {status} {page}", room.id);
            let read = page["events"].as_array().into_iter().flatten().filter_map(Event::read);
            let before = events.len();
            events.extend(read);
            if page["more"] != true || events.len() == before {
                break;
            }
        }
        truth.rest.insert(room.id.clone(), events);
    }
    Ok(truth)
}

async fn database(platform: &Platform, clock: Clock) -> Result<Truth> {
    let mut truth = Truth::default();
    let query = |sql: &'static str| platform.deployment.query(sql);
    for row in query("SELECT id, last_seq FROM conversations").await? {
        let [id, last_seq] = columns(row)?;
        let conversation = Conversation { last_seq: last_seq.parse()?, ..Conversation::default() };
        truth.conversations.insert(id.into(), conversation);
    }
    for row in query("SELECT conversation_id, user_id, joined_seq, left_seq FROM conversation_members").await? {
        let [id, user, joined, left] = columns(row)?;
        let left = if left == "NULL" { None } else { Some(left.parse()?) };
        let conversation = truth.conversations.get_mut(&*id).context("members of no conversation")?;
        let interval = Interval { joined: joined.parse()?, left };
        conversation.members.entry(user.into()).or_default().push(interval);
    }
    // hexadecimal, as the command escapes some characters of text
    let events =
        "SELECT conversation_id, created_at, HEX(payload) FROM conversation_events ORDER BY conversation_id, seq";
    for row in query(events).await? {
        let [id, created, payload] = columns(row)?;
        let frame: Value = serde_json::from_slice(&unhex(&payload)?).context("an event in the database is not JSON")?;
        let event = Event::read(&frame).with_context(|| format!("no event: {frame}"))?;
        let conversation = truth.conversations.get_mut(&*id).context("an event of no conversation")?;
        conversation.events.push(Stored { event, created: clock.of_wall(created.parse()?) });
    }
    truth.outbox_rows = outbox_rows(platform).await?;
    Ok(truth)
}

pub(super) async fn outbox_rows(platform: &Platform) -> Result<u64> {
    let rows = platform.deployment.query("SELECT COUNT(*) FROM message_producer_outbox").await?;
    rows.first().and_then(|row| row.first()).context("no count")?.parse().context("the count is no number")
}

/// Where every member ought to be: user -> conversations and their heads.
pub(super) async fn heads(platform: &Platform) -> Result<HashMap<Name, Vec<(Name, u64)>>> {
    let sql = "SELECT m.user_id, c.id, c.last_seq FROM conversation_members m JOIN conversations c ON c.id = m.conversation_id \
               WHERE m.left_seq IS NULL AND c.last_seq > 0 AND c.last_seq >= m.joined_seq";
    let mut heads: HashMap<Name, Vec<(Name, u64)>> = HashMap::new();
    for row in platform.deployment.query(sql).await? {
        let [user, id, head] = columns(row)?;
        heads.entry(user.into()).or_default().push((id.into(), head.parse()?));
    }
    Ok(heads)
}

/// Every record of `message.all`, each partition in order.
fn topic(namespace: &Namespace) -> Result<Vec<Event>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &namespace.kafka_bootstrap_servers)
        .set("group.id", "torture")
        .set("enable.auto.commit", "false")
        .create()
        .context("failed to make a consumer")?;
    let name = format!("{}message.all", namespace.kafka_prefix);
    let (mut list, mut left) = (TopicPartitionList::new(), 0);
    for partition in 0..PARTITIONS {
        let (low, high) =
            consumer.fetch_watermarks(&name, partition, Duration::from_secs(10)).context("no watermarks")?;
        ensure!(low == 0, "the topic was trimmed");
        left += high;
        list.add_partition_offset(&name, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let (mut events, deadline) = (Vec::new(), std::time::Instant::now() + DUMP_WITHIN);
    while left > 0 {
        if std::time::Instant::now() > deadline {
            bail!("{left} records of the topic could not be read");
        }
        let Some(record) = consumer.poll(Duration::from_millis(200)) else { continue };
        let record = record.context("failed to read the topic")?;
        left -= 1;
        let frame: Value =
            serde_json::from_slice(record.payload().unwrap_or_default()).context("a record is not JSON")?;
        let event = Event::read(&frame).with_context(|| format!("a record is no event: {frame}"))?;
        ensure!(record.key() == Some(event.conversation.as_bytes()), "a record has another key than its conversation");
        events.push(event);
    }
    Ok(events)
}

fn columns<const N: usize>(row: Vec<String>) -> Result<[String; N]> {
    row.try_into().map_err(|row| anyhow::anyhow!("not {N} columns: {row:?}"))
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).map(|at| digits(at).context("not hexadecimal")).collect()
}
