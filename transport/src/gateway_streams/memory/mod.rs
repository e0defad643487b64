//! The gateway streams of the embedded deployment: memory of the one process, with the behaviour of Redis.

mod registry;
mod signals;
mod streams;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use chatcluster_contracts::{
    ids::{BootId, Node},
    redis_keys::Keys,
};
use parking_lot::Mutex;

pub(crate) use self::signals::Channels;
use self::{
    registry::Entries,
    streams::{MemoryReader, Streams},
};
use crate::channels::{
    ChannelLogs, Channels as ChannelsSeam,
    memory::{MemoryChannels, MemoryLogs, MemoryRooms},
    rooms::RoomChannels,
};

use super::{GatewayStreams, Registry, Signals, StreamError, StreamReader, StreamWriter};

/// Streams, registry and signals inside the process. Clones share them.
#[derive(Clone)]
pub struct MemoryStreams {
    inner: Arc<Inner>,
}

struct Inner {
    keys: Keys,
    streams: Mutex<Streams>,
    entries: Mutex<Entries>,
    channels: Channels,
    logs: MemoryLogs,
}

impl fmt::Debug for MemoryStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStreams").finish_non_exhaustive()
    }
}

impl Default for MemoryStreams {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStreams {
    pub fn new() -> Self {
        let channels = Channels::default();
        let logs = MemoryLogs::new(channels.clone());
        let inner =
            Inner { keys: Keys::default(), streams: Mutex::default(), entries: Mutex::default(), channels, logs };
        Self { inner: Arc::new(inner) }
    }

    /// Forgets everything, as FLUSHALL or a failover to an empty replica does: for tests of what follows.
    pub fn flush(&self) {
        self.inner.streams.lock().flush();
        *self.inner.entries.lock() = Entries::default();
        self.inner.logs.flush();
    }
}

#[async_trait]
impl GatewayStreams for MemoryStreams {
    fn writer(&self) -> Arc<dyn StreamWriter> {
        self.inner.clone()
    }

    fn registry(&self) -> Arc<dyn Registry> {
        self.inner.clone()
    }

    fn signals(&self) -> Arc<dyn Signals> {
        self.inner.clone()
    }

    fn channels(&self) -> Arc<dyn ChannelsSeam> {
        Arc::new(MemoryChannels::new(self.inner.channels.clone()))
    }

    fn logs(&self) -> Arc<dyn ChannelLogs> {
        Arc::new(self.inner.logs.clone())
    }

    fn rooms(&self) -> Arc<dyn RoomChannels> {
        Arc::new(MemoryRooms::new(self.inner.channels.clone(), self.inner.logs.clone()))
    }

    async fn open_reader(&self, node: &Node, _: &BootId) -> Result<Box<dyn StreamReader>, StreamError> {
        Ok(Box::new(MemoryReader::open(self.inner.clone(), node.clone())))
    }

    fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    async fn check(&self) -> Result<(), StreamError> {
        Ok(())
    }
}
