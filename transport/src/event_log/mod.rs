//! The durable, partitioned, ordered log: what core's relay appends to and workers consume.

mod dead_letter;
pub mod embedded;
pub mod kafka;
pub mod partitioner;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chatcluster_contracts::topics::{Group, Topic};
use tokio_util::sync::CancellationToken;

/// A record on its way in. Records of one key keep their order; the partition is murmur2(key), as every JVM producer
/// computes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    pub topic: Topic,
    /// Append to the topic's dead letters instead.
    pub dead_letter: bool,
    pub key: String,
    pub value: Bytes,
    pub headers: Vec<(String, Bytes)>,
}

/// A record as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub partition: TopicPartition,
    /// Grows within a partition, not necessarily by one.
    pub offset: i64,
    pub key: Option<Bytes>,
    pub value: Bytes,
    pub headers: Vec<(String, Bytes)>,
    /// Milliseconds since the Unix epoch, by the producer's clock.
    pub timestamp_ms: i64,
}

impl Record {
    /// The first header of that name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(value).ok()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: Topic,
    pub partition: i32,
}

/// Why a record was not appended, or the log cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// Trying again may help: the brokers are away, or not enough replicas are in sync.
    #[error("the event log is away: {0}")]
    Unavailable(String),
    /// Trying again will not help: the topic does not exist, the record is too large, access is denied.
    #[error("the event log refused: {0}")]
    Refused(String),
}

/// The appending side. Cheap to share.
#[async_trait]
pub trait Producer: Send + Sync + 'static {
    /// Appends in the order given and answers in that order, each once its record is durable (acks=all). Nothing is
    /// given up silently: while the log is away the call waits, up to the configured delivery timeout of ephemera.
    /// After a failure of record n, later records of the call may or may not be there.
    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<(), LogError>>;

    /// Can the log be reached now? For `/readyz`.
    async fn check(&self) -> Result<(), LogError>;
}

/// What a member of a consumer group sees.
#[derive(Debug)]
pub enum Consumed {
    Record(Record),
    /// These partitions are this member's now; records follow from the first one not finished.
    Assigned(Vec<TopicPartition>),
    /// These are another member's from now on: stop their work. What was finished has been committed.
    Revoked(Vec<TopicPartition>),
}

/// The reading side: one member of one group. `next` is cancel safe.
#[async_trait]
pub trait Consumer: Send + 'static {
    /// Waits for what comes next. An error is a condition of the log, not the end: call again.
    async fn next(&mut self) -> Result<Consumed, LogError>;

    /// A handle for the tasks that work on the partitions.
    fn control(&self) -> Arc<dyn ConsumerControl>;

    /// Commits what is finished and leaves the group, so that others take over at once. Dropping the consumer does the
    /// same in the background.
    async fn close(self: Box<Self>);
}

/// Steers a consumer from its partition tasks.
pub trait ConsumerControl: Send + Sync + 'static {
    /// Everything of the partition up to and including `offset` is finished. Committed soon, in the background; a
    /// crash before that repeats records, never skips one.
    fn finished(&self, partition: TopicPartition, offset: i64);

    /// No more records of this partition until [`resume`](Self::resume); the membership stays alive meanwhile.
    fn pause(&self, partition: TopicPartition);

    fn resume(&self, partition: TopicPartition);

    /// Records appended but not yet finished, over the partitions assigned.
    fn lag(&self) -> u64;
}

/// Records of this topic are worth nothing a little later: they may be dropped rather than waited for.
pub const fn is_ephemeral(topic: Topic) -> bool {
    matches!(topic, Topic::Typing)
}

/// A log one can produce to and consume from.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    fn producer(&self) -> Arc<dyn Producer>;

    /// Joins `group` on `topics`. A group that never committed starts at the earliest record; an ephemeral topic
    /// ([`is_ephemeral`]) starts at its end, at every assignment.
    async fn subscribe(&self, group: Group, topics: &[Topic]) -> Result<Box<dyn Consumer>, LogError>;
}

/// Between two attempts to join a group.
const SUBSCRIBE_RETRY: Duration = Duration::from_secs(1);

/// Joins a group, however long the log is away. None: `stop` came first.
pub async fn subscribe_until(
    stop: &CancellationToken,
    log: &dyn EventLog,
    group: Group,
    topics: &[Topic],
) -> Option<Box<dyn Consumer>> {
    loop {
        match log.subscribe(group, topics).await {
            Ok(consumer) => return Some(consumer),
            Err(error) => tracing::warn!(%error, group = group.default_name(), "subscription failed; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(SUBSCRIBE_RETRY) => {}
        }
    }
}
