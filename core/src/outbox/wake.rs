//! Wake-up calls from commits to relays. A commit of this process wakes the relay of its shard here at once; when another
//! process holds the shard, the call goes out as a signal.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Shard {
    /// Rows were committed: for the relay here.
    rows: Notify,
    held_here: AtomicBool,
    /// Rows were committed that somebody else publishes.
    elsewhere: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    shards: Vec<Shard>,
    /// Some shard has `elsewhere` set.
    signal: Notify,
}

/// Cheap to clone. Calls are merged, never lost: a relay woken once sees everything committed before.
#[derive(Debug, Clone)]
pub struct Wake(Arc<Inner>);

impl Wake {
    pub(crate) fn new(shards: u32) -> Self {
        let shards = (0..shards).map(|_| Shard::default()).collect();
        Self(Arc::new(Inner { shards, signal: Notify::new() }))
    }

    fn shard(&self, shard: u32) -> Option<&Shard> {
        self.0.shards.get(shard as usize)
    }

    /// A transaction left rows in these shards.
    pub(crate) fn committed(&self, shards: impl IntoIterator<Item = u32>) {
        for shard in shards.into_iter().filter_map(|shard| self.shard(shard)) {
            if shard.held_here.load(Ordering::Acquire) {
                shard.rows.notify_one();
            } else {
                shard.elsewhere.store(true, Ordering::Release);
                self.0.signal.notify_one();
            }
        }
    }

    /// Another process says that it left rows in a shard.
    pub(crate) fn heard(&self, shard: u32) {
        if let Some(shard) = self.shard(shard) {
            shard.rows.notify_one();
        }
    }

    pub(crate) fn set_held(&self, shard: u32, held: bool) {
        if let Some(shard) = self.shard(shard) {
            shard.held_here.store(held, Ordering::Release);
        }
    }

    /// Waits for rows in a shard.
    pub(crate) async fn rows(&self, shard: u32) {
        match self.shard(shard) {
            Some(shard) => shard.rows.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Waits for commits that others must hear of, and answers their shards.
    pub(crate) async fn elsewhere(&self) -> Vec<u32> {
        loop {
            let taken: Vec<u32> = (0_u32..)
                .zip(&self.0.shards)
                .filter(|(_, shard)| shard.elsewhere.swap(false, Ordering::AcqRel))
                .map(|(index, _)| index)
                .collect();
            if !taken.is_empty() {
                return taken;
            }
            self.0.signal.notified().await;
        }
    }
}
