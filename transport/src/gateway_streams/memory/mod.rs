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

use self::{
    registry::Entries,
    signals::Channels,
    streams::{MemoryReader, Streams},
};
use super::{GatewayStreams, Registry, Signals, StreamError, StreamReader, StreamWriter};

/// Streams, registry and signals inside the process. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryStreams {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    keys: Keys,
    streams: Mutex<Streams>,
    entries: Mutex<Entries>,
    channels: Channels,
}

impl fmt::Debug for MemoryStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStreams").finish_non_exhaustive()
    }
}

impl MemoryStreams {
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, as FLUSHALL or a failover to an empty replica does: for tests of what follows.
    pub fn flush(&self) {
        self.inner.streams.lock().flush();
        *self.inner.entries.lock() = Entries::default();
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
