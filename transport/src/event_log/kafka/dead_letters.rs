//! Looking at the dead letters of one topic and giving them another chance: for people and tools, so without a group.

use std::time::{Duration, Instant};

use chatcluster_contracts::topics::Topic;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

use super::{KafkaOptions, consumer::copied, log_error};
use crate::event_log::{LogError, Record, TopicPartition};

/// For every answer of the brokers.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A topic of dead letters has one partition.
const PARTITION: i32 = 0;

/// What lies among the dead letters.
#[derive(Debug)]
pub struct Found {
    /// Offsets that are kept: from the first, up to and without the second.
    pub kept: (i64, i64),
    /// In order; the place of each is that in the topic of dead letters.
    pub letters: Vec<Record>,
}

/// The dead letters of `topic` from offset `from` on, at most `max`. Blocks: not for an async task.
pub fn read(options: &KafkaOptions, topic: Topic, from: i64, max: usize) -> Result<Found, LogError> {
    options.check_names()?;
    let name = options.names().dead_letters(topic);
    let consumer: BaseConsumer = options.reader().create().map_err(|error| log_error(&error))?;
    let kept = consumer.fetch_watermarks(&name, PARTITION, TIMEOUT).map_err(|error| log_error(&error))?;
    let start = from.max(kept.0);
    let mut letters = Vec::new();
    if start >= kept.1 || max == 0 {
        return Ok(Found { kept, letters });
    }
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(&name, PARTITION, Offset::Offset(start)).map_err(|error| log_error(&error))?;
    consumer.assign(&places).map_err(|error| log_error(&error))?;
    let mut deadline = Instant::now() + TIMEOUT;
    loop {
        let message = match consumer.poll(deadline.saturating_duration_since(Instant::now())) {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(log_error(&error)),
            None => return Err(LogError::Unavailable(format!("{name} cannot be read"))),
        };
        deadline = Instant::now() + TIMEOUT;
        let offset = message.offset();
        letters.push(copied(&message, TopicPartition { topic, partition: PARTITION }));
        if letters.len() == max || offset + 1 >= kept.1 {
            return Ok(Found { kept, letters });
        }
    }
}
