//! The gateway streams on Redis 6.2 or later.
//!
//! Three kinds of connections: one shared by all pipelines, one for each blocking reader, one for each Pub/Sub
//! listener. All reconnect by themselves. In a Redis Cluster the first leads to all its servers, and what is written
//! together here goes to several of them: so nothing relies on two keys changing at once, and what must be seen before
//! something else has been answered before that is sent.
//!
//! Registry entries have no expiry. Keeping a million entries alive by EXPIRE would cost more than all their events;
//! an entry lives as long as the lease of its gateway says, and whoever meets one of an expired lease prunes it: the
//! workers, who look before they route, and their comparison with core, which knows every connection there was.

pub(crate) mod connection;
mod options;
mod reader;
mod registry;
mod reply;
mod signals;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use chatcluster_contracts::{
    ids::{BootId, Node},
    redis_keys::Keys,
};
use redis::{ErrorKind, RedisError, ServerErrorKind};

use self::connection::SharedConnection;
pub use self::options::{RedisMode, RedisOptions};
use super::{GatewayStreams, Registry, Signals, StreamError, StreamReader, StreamWriter};
use crate::channels::{ChannelLogs, Channels, redis::RedisChannels, rooms::RoomChannels};

/// Redis as the gateway streams. Opening it connects to nothing yet.
#[derive(Debug, Clone)]
pub struct RedisStreams {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    keys: Keys,
    shared: Arc<SharedConnection>,
    /// Entries that a stream keeps, about.
    max_length: u64,
}

impl RedisStreams {
    /// Fails when the URL or the authorities' file is not valid.
    pub fn new(options: &RedisOptions) -> Result<Self, StreamError> {
        let shared = Arc::new(SharedConnection::new(options.server()?));
        let max_length = options.redis_stream_max_length;
        Ok(Self { inner: Arc::new(Inner { keys: options.keys(), shared, max_length }) })
    }
}

#[async_trait]
impl GatewayStreams for RedisStreams {
    fn writer(&self) -> Arc<dyn StreamWriter> {
        self.inner.clone()
    }

    fn registry(&self) -> Arc<dyn Registry> {
        self.inner.clone()
    }

    fn signals(&self) -> Arc<dyn Signals> {
        self.inner.clone()
    }

    fn channels(&self) -> Arc<dyn Channels> {
        Arc::new(RedisChannels::new(self.inner.shared.clone(), self.inner.keys.clone()))
    }

    fn logs(&self) -> Arc<dyn ChannelLogs> {
        Arc::new(RedisChannels::new(self.inner.shared.clone(), self.inner.keys.clone()))
    }

    fn rooms(&self) -> Arc<dyn RoomChannels> {
        Arc::new(RedisChannels::new(self.inner.shared.clone(), self.inner.keys.clone()))
    }

    async fn open_reader(&self, node: &Node, boot: &BootId) -> Result<Box<dyn StreamReader>, StreamError> {
        Ok(Box::new(reader::RedisReader::open(self.inner.clone(), node, boot).await?))
    }

    fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    async fn check(&self) -> Result<(), StreamError> {
        self.inner.shared.ask::<String>(redis::cmd("PING")).await.map(drop)
    }
}

/// Sorts what Redis says into "try again" and "give up".
pub(crate) fn stream_error(error: &RedisError) -> StreamError {
    let refused = match error.kind() {
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig => true,
        ErrorKind::Server(kind) => matches!(kind, ServerErrorKind::NoPerm),
        _ => matches!(error.code(), Some("WRONGTYPE" | "WRONGPASS" | "NOAUTH")),
    };
    if refused { StreamError::Refused(error.to_string()) } else { StreamError::Unavailable(error.to_string()) }
}
