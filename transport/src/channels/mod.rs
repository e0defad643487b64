//! Live channels that come and go with those who listen, and the logs that remember some of them. What is published to a
//! channel reaches whoever listens now, at most once; what stands in a log has an id and can be read again.

pub mod memory;
pub(crate) mod redis;
pub mod rooms;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chatcluster_contracts::log_id::LogId;

use crate::gateway_streams::{Signal, StreamError};

/// Where messages come from.
#[async_trait]
pub trait Channels: Send + Sync + 'static {
    /// One connection of the caller's own that listens to what it is told to, to nothing at first. It comes back by
    /// itself with all of its channels, and says [`Signal::Gap`] then: messages in between are lost.
    fn open(&self) -> (Arc<dyn Subscriptions>, Box<dyn Ear>);

    /// Listens to every channel whose name begins with `prefix`. It does so when this returns, and comes back as
    /// [`open`](Self::open) does.
    async fn open_all(&self, prefix: &str) -> Result<Box<dyn Ear>, StreamError>;

    /// Do all of those that listen hear what they hear in one order? [`Signal::Gap`] then stands where messages of
    /// [`open_all`](Self::open_all) are missing, and not somewhere behind.
    fn is_ordered(&self) -> bool;
}

/// What one connection listens to.
#[async_trait]
pub trait Subscriptions: Send + Sync + 'static {
    /// Wants the channel; a wish already there is one wish.
    fn subscribe(&self, channel: &str);

    fn unsubscribe(&self, channel: &str);

    /// Waits until a channel that is wanted is listened to: what is published from then on is heard.
    async fn listening(&self, channel: &str);
}

/// The hearing end.
#[async_trait]
pub trait Ear: Send + 'static {
    /// Waits until there is something and takes all there is, `max` at most. Cancel safe.
    async fn hear(&mut self, max: usize, into: &mut Vec<Signal>);
}

/// Something for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    pub log: String,
    /// A channel on which readers of the log are told that there is something new, once it is there.
    pub notice: String,
    pub payload: Bytes,
    /// Names the entry among those that may be written again because no answer came: such an entry is written once.
    pub token: String,
}

/// What a log keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// About so many entries.
    pub entries: usize,
    /// A log to which nothing is added for so long is removed.
    pub idle: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: LogId,
    /// The entry before it when it was written: whoever has not seen that one has missed something.
    pub before: LogId,
    pub payload: Bytes,
    /// What it was named by when it was written.
    pub token: String,
}

/// A piece of a log, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// Up to where the log was read.
    pub reached: LogId,
    /// There may be more behind that.
    pub more: bool,
}

/// What came of asking for the right to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub is_held: bool,
    /// Names the life of the data: another one, and other logs, after it was lost. `None`: nobody has written since.
    pub life: Option<String>,
}

/// The logs of channels: written by one process at a time, read by all.
#[async_trait]
pub trait ChannelLogs: Send + Sync + 'static {
    /// Appends in this order. After an error, `again` says that some may be there already.
    async fn append(&self, entries: &[NewEntry], keep: Retention, again: bool) -> Result<(), StreamError>;

    /// At most `max` entries behind `after`.
    async fn after(&self, log: &str, after: LogId, max: usize) -> Result<Page, StreamError>;

    /// The last entries, at most `max`. `reached` is the end of the log.
    async fn last(&self, log: &str, max: usize) -> Result<Page, StreamError>;

    /// Takes the right to write for `ttl`, if nobody has it. Where nobody had it since the data was lost it is left alone:
    /// whoever had it until then may not know yet, and is first.
    async fn stand_by(&self, holder: &str, ttl: Duration) -> Result<Standing, StreamError>;

    /// Takes or renews the right to write, for `ttl`, unless somebody else has it. `writing`: the holder hears everything
    /// now, so that readers may rely on the logs.
    async fn hold(&self, holder: &str, ttl: Duration, writing: bool) -> Result<Standing, StreamError>;

    /// Gives the right up, if it is held.
    async fn release(&self, holder: &str) -> Result<(), StreamError>;

    /// Are the logs being written now?
    async fn is_written(&self) -> Result<bool, StreamError>;

    /// Notes what a node says about itself, and answers what all of them said within `fresh`.
    async fn note(&self, node: &str, text: &str, fresh: Duration) -> Result<Vec<(String, String)>, StreamError>;
}
