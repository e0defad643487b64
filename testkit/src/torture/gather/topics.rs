//! Topics as they were written, each partition in order.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use crate::servers::Namespace;
use crate::torture::clock::Clock;
use crate::torture::history::{Event, fingerprint};
use crate::torture::inject::{PARTITIONS, POISON};
use crate::torture::truth::{DeadLetter, Record, Truth, Wanted};

/// For the end of a topic, once it is known where that is.
const DUMP_WITHIN: Duration = Duration::from_mins(1);

struct Dumped {
    partition: i32,
    offset: i64,
    key: String,
    value: String,
    /// Milliseconds since the epoch.
    at: i64,
    /// Of a dead letter.
    reason: String,
}

impl Dumped {
    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.value).context("a record is not JSON")
    }
}

/// Everything on the topics that the platform reads or writes, but for what was put there to be unreadable.
pub(super) fn read(namespace: &Namespace, clock: Clock) -> Result<Truth> {
    let mut truth = Truth::default();
    for dumped in dump(namespace, "message.all", PARTITIONS)? {
        let frame = dumped.json()?;
        let event = Event::read(&frame).with_context(|| format!("a record is no event: {frame}"))?;
        ensure!(dumped.key == *event.conversation, "a record has another key than its conversation");
        truth.topic.push(event);
    }
    for dumped in dump(namespace, "message.created", PARTITIONS)? {
        let room = dumped.json()?["roomId"].as_str().context("a record of no room")?.into();
        truth.records.push(Record {
            id: format!("{}-{}", dumped.partition, dumped.offset).into(),
            room,
            fingerprint: fingerprint(&dumped.value),
            created: clock.of_wall(dumped.at),
            key: dumped.key.into(),
        });
    }
    for dumped in dump(namespace, "message.ingest", PARTITIONS)? {
        let value = dumped.json()?;
        let text = |field: &str| value[field].as_str().unwrap_or_default().into();
        truth.ingest.push(Wanted { id: text("id"), conversation: text("conversationId"), sender: text("senderId") });
    }
    for dumped in dump(namespace, "message.ingest.dlq", 1)? {
        let id = dumped.json()?["id"].as_str().unwrap_or_default().into();
        truth.dead.push(DeadLetter { id, reason: dumped.reason });
    }
    Ok(truth)
}

fn dump(namespace: &Namespace, topic: &str, partitions: i32) -> Result<Vec<Dumped>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &namespace.kafka_bootstrap_servers)
        .set("group.id", "torture")
        .set("enable.auto.commit", "false")
        .create()
        .context("failed to make a consumer")?;
    let name = format!("{}{topic}", namespace.kafka_prefix);
    let (mut list, mut left) = (TopicPartitionList::new(), 0);
    for partition in 0..partitions {
        let (low, high) =
            consumer.fetch_watermarks(&name, partition, Duration::from_secs(10)).context("no watermarks")?;
        ensure!(low == 0, "{topic} was trimmed");
        left += high;
        list.add_partition_offset(&name, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let (mut records, deadline) = (Vec::new(), Instant::now() + DUMP_WITHIN);
    while left > 0 {
        if Instant::now() > deadline {
            bail!("{left} records of {topic} could not be read");
        }
        let Some(record) = consumer.poll(Duration::from_millis(200)) else { continue };
        let record = record.with_context(|| format!("failed to read {topic}"))?;
        left -= 1;
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let key = text(record.key());
        if key == POISON {
            continue;
        }
        let reason = record.headers().and_then(|all| all.iter().find(|header| header.key == "dlq-reason"));
        records.push(Dumped {
            partition: record.partition(),
            offset: record.offset(),
            key,
            value: text(record.payload()),
            at: record.timestamp().to_millis().unwrap_or_default(),
            reason: text(reason.and_then(|header| header.value)),
        });
    }
    Ok(records)
}
