//! One bounded stream per gateway. Trimming drops the oldest entries, read or not; the reader notices by counting.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use chatcluster_contracts::{ids::Node, redis_keys::STREAM_MAX_LENGTH, stream_entry::StreamEntry};
use tokio::{sync::Notify, time::Instant};

use super::{
    super::{Added, Batch, EntryId, StreamError, StreamReader, StreamWriter},
    Inner,
};

#[derive(Default)]
pub(super) struct Streams {
    by_node: HashMap<Node, Stream>,
    /// Counts flushes: a reader of an earlier life has lost its stream.
    life: u64,
}

struct Stream {
    life: u64,
    /// Unread entries; what was read needs no keeping, since a reader dies with the process.
    entries: VecDeque<Arc<StreamEntry>>,
    /// How many were ever added, and how many of those are no longer there.
    added: u64,
    trimmed_unread: bool,
    news: Arc<Notify>,
}

impl Streams {
    pub(super) fn flush(&mut self) {
        self.life += 1;
        for (_, stream) in self.by_node.drain() {
            stream.news.notify_one();
        }
    }

    fn make(&mut self, node: &Node) -> Arc<Notify> {
        let news = Arc::new(Notify::new());
        let stream =
            Stream { life: self.life, entries: VecDeque::new(), added: 0, trimmed_unread: false, news: news.clone() };
        self.by_node.insert(node.clone(), stream);
        news
    }

    fn add(&mut self, node: &Node, entry: Arc<StreamEntry>) -> Added {
        let Some(stream) = self.by_node.get_mut(node) else { return Added::NoStream };
        stream.entries.push_back(entry);
        stream.added += 1;
        if u64::try_from(stream.entries.len()).unwrap_or(u64::MAX) > STREAM_MAX_LENGTH {
            stream.entries.pop_front();
            stream.trimmed_unread = true;
        }
        stream.news.notify_one();
        Added::Yes
    }
}

#[async_trait]
impl StreamWriter for Inner {
    async fn add(&self, entries: Vec<(Node, Arc<StreamEntry>)>) -> Result<Vec<Added>, StreamError> {
        let mut streams = self.streams.lock();
        Ok(entries.into_iter().map(|(node, entry)| streams.add(&node, entry)).collect())
    }
}

pub(super) struct MemoryReader {
    inner: Arc<Inner>,
    node: Node,
    life: u64,
    news: Arc<Notify>,
}

impl MemoryReader {
    pub(super) fn open(inner: Arc<Inner>, node: Node) -> Self {
        let mut streams = inner.streams.lock();
        let (life, news) = (streams.life, streams.make(&node));
        drop(streams);
        Self { inner, node, life, news }
    }

    /// What there is now; `None` while there is nothing.
    fn take(&mut self, max: usize) -> Option<Batch> {
        let mut streams = self.inner.streams.lock();
        if self.life != streams.life || !streams.by_node.contains_key(&self.node) {
            self.life = streams.life;
            self.news = streams.make(&self.node);
            return Some(Batch { gap: true, ..Batch::default() });
        }
        let stream = streams.by_node.get_mut(&self.node)?;
        let gap = std::mem::take(&mut stream.trimmed_unread);
        let count = max.min(stream.entries.len());
        if count == 0 && !gap {
            return None;
        }
        let first = stream.added - u64::try_from(stream.entries.len()).unwrap_or_default() + 1;
        let life = stream.life;
        let entries = (first..)
            .zip(stream.entries.drain(..count))
            .map(|(number, entry)| (format!("{life}-{number}"), Arc::unwrap_or_clone(entry)))
            .collect();
        Some(Batch { entries, undecodable: 0, gap })
    }
}

#[async_trait]
impl StreamReader for MemoryReader {
    async fn read(&mut self, max: usize, block: Duration) -> Result<Batch, StreamError> {
        let deadline = Instant::now() + block;
        loop {
            if let Some(batch) = self.take(max.max(1)) {
                return Ok(batch);
            }
            if tokio::time::timeout_at(deadline, self.news.notified()).await.is_err() {
                return Ok(Batch::default());
            }
        }
    }

    /// A reader of this process cannot come back after a crash, so there is nothing to keep for it.
    async fn acknowledge(&mut self, _: Vec<EntryId>) -> Result<(), StreamError> {
        Ok(())
    }

    fn length(&self) -> u64 {
        let streams = self.inner.streams.lock();
        streams.by_node.get(&self.node).map_or(0, |stream| u64::try_from(stream.entries.len()).unwrap_or(u64::MAX))
    }
}
