//! The reading side: one member of one group.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Weak},
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chatcluster_contracts::topics::{Group, Topic};
use futures_util::Stream;
use parking_lot::Mutex;
use rdkafka::{
    Message, TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use tokio::{sync::Notify, task::AbortHandle};

use super::{
    KafkaOptions,
    context::{Context, Shared},
    log_error,
    offsets::Offsets,
};
use crate::event_log::{Consumed, Consumer, ConsumerControl, LogError, Record, TopicPartition};

/// Commits wait so long for more to come: at worst, this much repeats after a crash.
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);

pub(super) struct KafkaConsumer {
    /// Empty only after `close`.
    native: Option<Arc<StreamConsumer<Context>>>,
    shared: Arc<Shared>,
    /// A record that came together with a rebalance, which goes first.
    held: Option<Record>,
    committer: AbortHandle,
}

impl fmt::Debug for KafkaConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConsumer").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl KafkaConsumer {
    pub(super) fn new(options: &KafkaOptions, group: Group, topics: &[Topic]) -> Result<Self, LogError> {
        let names = options.names();
        let shared = Arc::new(Shared {
            names: names.clone(),
            offsets: Mutex::new(Offsets::default()),
            changes: Mutex::default(),
            finished: Notify::new(),
        });
        let context = Context { shared: shared.clone() };
        let native: StreamConsumer<Context> =
            options.consumer(&names.group(group)).create_with_context(context).map_err(|error| log_error(&error))?;
        let full: Vec<String> = topics.iter().map(|topic| names.topic(*topic)).collect();
        native.subscribe(&full.iter().map(String::as_str).collect::<Vec<_>>()).map_err(|error| log_error(&error))?;
        let native = Arc::new(native);
        let committer = tokio::spawn(commit(shared.clone(), Arc::downgrade(&native))).abort_handle();
        Ok(Self { native: Some(native), shared, held: None, committer })
    }

    /// Commits and leaves the group in the background, because librdkafka blocks while it does.
    fn leave(&mut self) -> Option<tokio::task::JoinHandle<()>> {
        self.committer.abort();
        let native = self.native.take()?;
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => Some(runtime.spawn_blocking(move || drop(native))),
            Err(_) => None,
        }
    }
}

/// Copies a message out of librdkafka; `None` for a topic nobody subscribed to.
fn record(shared: &Shared, message: &BorrowedMessage<'_>) -> Option<Record> {
    let partition = TopicPartition { topic: shared.names.role(message.topic())?, partition: message.partition() };
    shared.offsets.lock().delivered(partition, message.offset());
    Some(copied(message, partition))
}

/// `partition`: what the place is called here.
pub(super) fn copied(message: &BorrowedMessage<'_>, partition: TopicPartition) -> Record {
    let headers = message.headers().map(|headers| {
        let bytes = |value: Option<&[u8]>| Bytes::copy_from_slice(value.unwrap_or_default());
        headers.iter().map(|header| (header.key.to_owned(), bytes(header.value))).collect()
    });
    Record {
        partition,
        offset: message.offset(),
        key: message.key().map(Bytes::copy_from_slice),
        value: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        headers: headers.unwrap_or_default(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or_default(),
    }
}

/// Hands what is finished to librdkafka, a few times a second at most, until the consumer is gone.
async fn commit(shared: Arc<Shared>, native: Weak<StreamConsumer<Context>>) {
    loop {
        shared.finished.notified().await;
        tokio::time::sleep(COMMIT_INTERVAL).await;
        let Some(native) = native.upgrade() else { return };
        let mut offsets = shared.offsets.lock();
        let uncommitted = offsets.take_uncommitted();
        if uncommitted.is_empty() {
            continue;
        }
        let outcome = shared.native_list(&uncommitted).and_then(|list| native.commit(&list, CommitMode::Async));
        if let Err(error) = outcome {
            tracing::warn!(%error, "kafka commit failed, trying again");
            offsets.not_committed();
            shared.finished.notify_one();
        }
    }
}

enum Polled {
    Change(Consumed),
    Message(Result<Option<Record>, KafkaError>),
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn next(&mut self) -> Result<Consumed, LogError> {
        loop {
            if let Some(change) = self.shared.changes.lock().pop_front() {
                return Ok(change);
            }
            if let Some(record) = self.held.take() {
                return Ok(Consumed::Record(record));
            }
            let Some(native) = &self.native else {
                return Err(LogError::Refused("the consumer is closed".to_owned()));
            };
            let polled = {
                let mut stream = pin!(native.stream());
                // Rebalances run inside the poll and end it without a message, so look for them each time.
                std::future::poll_fn(|cx| {
                    let message = stream.as_mut().poll_next(cx);
                    if let Some(change) = self.shared.changes.lock().pop_front() {
                        if let Poll::Ready(Some(Ok(message))) = &message {
                            self.held = record(&self.shared, message);
                        }
                        return Poll::Ready(Polled::Change(change));
                    }
                    match message {
                        Poll::Ready(Some(Ok(message))) => {
                            Poll::Ready(Polled::Message(Ok(record(&self.shared, &message))))
                        }
                        Poll::Ready(Some(Err(error))) => Poll::Ready(Polled::Message(Err(error))),
                        Poll::Ready(None) => Poll::Ready(Polled::Message(Err(KafkaError::Canceled))),
                        Poll::Pending => Poll::Pending,
                    }
                })
                .await
            };
            match polled {
                Polled::Change(change) => return Ok(change),
                Polled::Message(Ok(Some(record))) => return Ok(Consumed::Record(record)),
                Polled::Message(Ok(None)) => {}
                Polled::Message(Err(error)) => return Err(log_error(&error)),
            }
        }
    }

    fn control(&self) -> Arc<dyn ConsumerControl> {
        let native = self.native.as_ref().map(Arc::downgrade).unwrap_or_default();
        Arc::new(Control { shared: self.shared.clone(), native })
    }

    async fn close(mut self: Box<Self>) {
        if let Some(left) = self.leave() {
            let _ = left.await;
        }
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.leave();
    }
}

struct Control {
    shared: Arc<Shared>,
    /// Weak: the group is left when the consumer goes, not when the last of its tasks does.
    native: Weak<StreamConsumer<Context>>,
}

impl Control {
    fn with_list(
        &self,
        partition: TopicPartition,
        act: impl Fn(&StreamConsumer<Context>, &TopicPartitionList) -> Result<(), KafkaError>,
    ) {
        let Some(native) = self.native.upgrade() else { return };
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.shared.names.topic(partition.topic), partition.partition);
        // Fails when the partition was revoked meanwhile, which is as good.
        if let Err(error) = act(&native, &list) {
            tracing::debug!(%error, ?partition, "kafka pause or resume");
        }
    }
}

impl ConsumerControl for Control {
    fn finished(&self, partition: TopicPartition, offset: i64) {
        if self.shared.offsets.lock().finished(partition, offset) {
            self.shared.finished.notify_one();
        }
    }

    fn pause(&self, partition: TopicPartition) {
        self.with_list(partition, rdkafka::consumer::Consumer::pause);
    }

    fn resume(&self, partition: TopicPartition) {
        self.with_list(partition, rdkafka::consumer::Consumer::resume);
    }

    fn lag(&self) -> u64 {
        self.shared.offsets.lock().lag()
    }
}
