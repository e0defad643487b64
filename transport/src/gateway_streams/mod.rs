//! Hints on their way to the gateways, the registry of live connections, and wake-up calls. What is lost here is found
//! again by seq: the database is the record.

pub mod memory;
pub mod redis;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chatcluster_contracts::{
    ids::{BootId, ConnectionId, Node, UserId},
    stream_entry::StreamEntry,
};

use crate::channels::{ChannelLogs, Channels, rooms::RoomChannels};

#[derive(Debug, Clone, thiserror::Error)]
pub enum StreamError {
    #[error("redis is away: {0}")]
    Unavailable(String),
    #[error("redis refused: {0}")]
    Refused(String),
}

/// What became of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is in the gateway's stream.
    Yes,
    /// The gateway has no stream (it is gone, or Redis lost its data); a stream is not born again by writing to it.
    NoStream,
}

/// The writing side of the streams.
#[async_trait]
pub trait StreamWriter: Send + Sync + 'static {
    /// Writes all entries in one pipelined round trip, per stream in the order given. An error means that some may not
    /// have been written: write them all again, gateways drop repeats by seq.
    async fn add(&self, entries: Vec<(Node, Arc<StreamEntry>)>) -> Result<Vec<Added>, StreamError>;
}

/// An entry's id in its stream (`<ms>-<n>` in Redis).
pub type EntryId = String;

/// What one read brought.
#[derive(Debug, Default)]
pub struct Batch {
    pub entries: Vec<(EntryId, StreamEntry)>,
    /// Entries that could not be decoded (already acknowledged); counted by the caller.
    pub undecodable: usize,
    /// Entries may have been trimmed unread, or the stream was lost and made again: check heads with core.
    pub gap: bool,
}

/// The reading side of one gateway's own stream.
#[async_trait]
pub trait StreamReader: Send + 'static {
    /// Waits up to `block` for entries, at most `max`. Cancel safe: what a dropped call had taken comes with a later one. An empty batch is the normal end of a quiet wait. After an error
    /// call again: the reader reconnects, makes a lost stream and group again and reports the gap.
    async fn read(&mut self, max: usize, block: Duration) -> Result<Batch, StreamError>;

    /// Acknowledges what was handed to the sessions.
    async fn acknowledge(&mut self, ids: Vec<EntryId>) -> Result<(), StreamError>;

    /// Entries waiting in the stream, as last seen.
    fn length(&self) -> u64;
}

/// One live connection, as its gateway declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub connection_id: ConnectionId,
    pub user_id: UserId,
    pub boot_id: BootId,
    /// Milliseconds since the Unix epoch.
    pub connected_at_ms: i64,
}

/// What renewing a lease told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// Changes when the registry's data was lost: register everything again and check heads.
    pub epoch: String,
    /// Another boot holds the lease of this node: two processes run under one name.
    pub held_by: Option<BootId>,
    /// This call took the lease anew: it had expired (or never been held), and others may have pruned this gateway's
    /// connections meanwhile. Register everything again.
    pub taken: bool,
}

/// How far a walk through the registry has come; it begins at the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The first slot of the server that is walked through; 0 without a cluster.
    pub(crate) slot: u16,
    /// The server's own mark; 0: its beginning.
    pub(crate) cursor: u64,
}

/// Says that the connections of a slice's users are as they were: it is another one after each change.
pub type Version = u64;

/// Who is connected where. A gateway writes its own connections and nobody else's.
///
/// Whoever remembers what [`connections`](Self::connections) answered reads the [`versions`](Self::versions) of the users'
/// slices before, and believes its memory for as long as they are the same.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// Returns once the server has acknowledged all of them and, after that, the new versions of their users' slices: who
    /// reads a version from then on reads another one than whoever did not find these connections.
    async fn register(&self, connections: &[Registration]) -> Result<(), StreamError>;

    async fn unregister(&self, connections: &[Registration]) -> Result<(), StreamError>;

    /// Says that these connections are still there: their entries are kept for another
    /// [`CONNECTION_TTL`](chatcluster_contracts::redis_keys::CONNECTION_TTL). Answers which of them have one; the others are
    /// to be registered again.
    async fn keep(&self, connections: &[Registration]) -> Result<Vec<bool>, StreamError>;

    /// Some of the connections that have an entry, whoever made it, and where to go on from; `None` at the end. A walk
    /// from the beginning to the end passes every connection that was there all the while, perhaps more than once. Those
    /// whose keys a Redis Cluster moves to another server meanwhile may be left to the next walk.
    async fn walk(&self, from: Place) -> Result<(Vec<ConnectionId>, Option<Place>), StreamError>;

    /// Takes the lease for a boot that has just begun, also from another boot, which is then told so when it renews: a
    /// gateway that was killed is back at once. Answers from whom it was taken.
    async fn take_lease(&self, node: &Node, boot: &BootId, ttl: Duration) -> Result<Option<BootId>, StreamError>;

    /// Renews the gateway's lease for `ttl` and reads the epoch in the same round trip.
    async fn renew_lease(&self, node: &Node, boot: &BootId, ttl: Duration) -> Result<Renewed, StreamError>;

    /// Gives the lease up at the end of a drain, if this boot still holds it.
    async fn release_lease(&self, node: &Node, boot: &BootId) -> Result<(), StreamError>;

    /// The connections of each user, in the order asked, in one pipelined round trip.
    async fn connections(&self, users: &[UserId]) -> Result<Vec<Vec<ConnectionId>>, StreamError>;

    /// The version of each slice (see [`connection_slice`](chatcluster_contracts::redis_keys::connection_slice)), in the
    /// order asked. `None`: nobody was registered since the data was lost, and nothing may be remembered.
    async fn versions(&self, slices: &[u8]) -> Result<Vec<Option<Version>>, StreamError>;

    /// Which boot is alive under each node name; `None`: its lease has expired.
    async fn lease_holders(&self, nodes: &[String]) -> Result<Vec<Option<BootId>>, StreamError>;

    /// The stored registrations of these connections; `None` where there is none.
    async fn lookup(&self, connections: &[ConnectionId]) -> Result<Vec<Option<Registration>>, StreamError>;

    /// Removes those of the user's entries that no living gateway claims: the lease of their node is not held by the boot
    /// that registered them. Decided and done in one step, so that a gateway that comes back meanwhile loses nothing.
    async fn prune(&self, user: &UserId, connections: &[ConnectionId]) -> Result<(), StreamError>;
}

/// Short messages to whoever listens now: outbox wake-ups, revocations, rooms.
#[async_trait]
pub trait Signals: Send + Sync + 'static {
    async fn publish(&self, channel: &str, payload: Bytes) -> Result<(), StreamError>;

    /// Listens to `channels` until dropped. Reconnects by itself; `Signal::Gap` says that some may have been missed. If
    /// the server is away now, the stream starts with a `Gap` once it is there.
    async fn listen(&self, channels: Vec<String>) -> Result<Box<dyn SignalStream>, StreamError>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    Message {
        channel: String,
        payload: Bytes,
    },
    /// The connection was lost and is back.
    Gap,
}

#[async_trait]
pub trait SignalStream: Send + 'static {
    /// Waits for the next signal. Cancel safe.
    async fn next(&mut self) -> Signal;
}

/// All of it, as one handle per process.
#[async_trait]
pub trait GatewayStreams: Send + Sync + 'static {
    fn writer(&self) -> Arc<dyn StreamWriter>;
    fn registry(&self) -> Arc<dyn Registry>;
    fn signals(&self) -> Arc<dyn Signals>;
    fn channels(&self) -> Arc<dyn Channels>;
    fn logs(&self) -> Arc<dyn ChannelLogs>;
    fn rooms(&self) -> Arc<dyn RoomChannels>;

    /// Opens the gateway's own stream at its end: what was there before was meant for sessions of an earlier boot.
    /// Creates stream and group where they are missing.
    async fn open_reader(&self, node: &Node, boot: &BootId) -> Result<Box<dyn StreamReader>, StreamError>;

    /// The names in use.
    fn keys(&self) -> &chatcluster_contracts::redis_keys::Keys;

    /// Can the server be reached now? For `/readyz`.
    async fn check(&self) -> Result<(), StreamError>;
}
