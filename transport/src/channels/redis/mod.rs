//! Channels and logs on Redis: Pub/Sub and streams.
//!
//! A cluster hands what is published at one server to all of them, so it does not matter which one is listened to; what is
//! published to rooms, which is most, stays at the server that has the room's slot. A log
//! is one key, and each of its entries is written by a script that also tells of it: whoever is told finds it there.

mod listening;
mod logs;
mod rooms;
mod sharded;
mod wishes;

use std::sync::Arc;

use async_trait::async_trait;
use chatcluster_contracts::redis_keys::Keys;
use tokio::{sync::mpsc, task::AbortHandle};

use self::{
    listening::{Backlog, Forwarding, Listening, What, open},
    sharded::Sharded,
    wishes::Wishes,
};
use super::{Channels, Ear, Subscriptions};
use crate::gateway_streams::{Signal, StreamError, redis::connection::SharedConnection};

/// Messages waiting for a slow listener; more are dropped and reported as a gap.
const QUEUE: usize = 8192;

pub(crate) struct RedisChannels {
    shared: Arc<SharedConnection>,
    keys: Keys,
}

impl RedisChannels {
    pub(crate) const fn new(shared: Arc<SharedConnection>, keys: Keys) -> Self {
        Self { shared, keys }
    }
}

#[async_trait]
impl Channels for RedisChannels {
    fn open(&self) -> (Arc<dyn Subscriptions>, Box<dyn Ear>) {
        self.listen(false)
    }

    async fn open_all(&self, prefix: &str) -> Result<Box<dyn Ear>, StreamError> {
        let what = What::All(prefix.to_owned());
        let first = open(&self.shared, &what).await?;
        let (sender, signals) = mpsc::channel(QUEUE);
        let backlog = Arc::new(Backlog::default());
        let forwarding = Forwarding { sender, backlog: backlog.clone() };
        let listening = Listening { shared: self.shared.clone(), what, forwarding };
        let task = tokio::spawn(listening.keep(Some(first))).abort_handle();
        Ok(Box::new(RedisEar { signals, backlog, task }))
    }

    /// The servers of a cluster hand on to each other what is published, each in its time.
    fn is_ordered(&self) -> bool {
        !self.shared.is_cluster()
    }
}

impl RedisChannels {
    /// `by_shard`: of a cluster, to each server for the channels that it has.
    fn listen(&self, by_shard: bool) -> (Arc<dyn Subscriptions>, Box<dyn Ear>) {
        let wishes = Arc::new(Wishes::default());
        let (sender, signals) = mpsc::channel(QUEUE);
        let backlog = Arc::new(Backlog::default());
        let (shared, forwarding) = (self.shared.clone(), Forwarding { sender, backlog: backlog.clone() });
        let task = if by_shard {
            let listening = Sharded { shared, wishes: wishes.clone(), forwarding: Arc::new(forwarding) };
            tokio::spawn(listening.keep())
        } else {
            tokio::spawn(Listening { shared, what: What::Named(wishes.clone()), forwarding }.keep(None))
        };
        let task = task.abort_handle();
        (wishes, Box::new(RedisEar { signals, backlog, task }))
    }
}

struct RedisEar {
    signals: mpsc::Receiver<Signal>,
    backlog: Arc<Backlog>,
    task: AbortHandle,
}

impl Drop for RedisEar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl Ear for RedisEar {
    async fn hear(&mut self, max: usize, into: &mut Vec<Signal>) {
        let first = into.len();
        if self.signals.recv_many(into, max.max(1)).await == 0 {
            // the task ends only with the runtime
            std::future::pending::<()>().await;
        }
        for signal in &into[first..] {
            self.backlog.took(signal);
        }
    }
}
