//! How much one user, or one address, may send a second, over all of its sessions.

use std::{collections::HashMap, hash::Hash};

use parking_lot::Mutex;

use super::{
    rate::TokenBucket,
    ticks::{self, Tick},
};

/// Entries beyond which those that are idle are forgotten.
const TIDY: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Buckets {
    messages: TokenBucket,
    bytes: TokenBucket,
}

/// What is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// Messages a second; the limit.
    Messages(u32),
    /// Bytes a second; the limit.
    Bytes(u32),
}

#[derive(Debug)]
pub(crate) struct Quota<K> {
    /// A second; 0: no limit.
    messages: u32,
    bytes: u32,
    buckets: Mutex<HashMap<K, Buckets>>,
}

impl<K: Hash + Eq + Clone> Quota<K> {
    pub(crate) fn new(messages: u32, bytes: u32) -> Self {
        Self { messages, bytes, buckets: Mutex::default() }
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.messages > 0 || self.bytes > 0
    }

    /// Takes a message of so many bytes out of what `key` may send.
    pub(crate) fn take(&self, key: &K, bytes: usize) -> Result<(), Exceeded> {
        if !self.is_limited() {
            return Ok(());
        }
        self.take_at(key, bytes, ticks::now())
    }

    fn take_at(&self, key: &K, bytes: usize, now: Tick) -> Result<(), Exceeded> {
        let full =
            Buckets { messages: TokenBucket::full(self.messages, now), bytes: TokenBucket::full(self.bytes, now) };
        let mut buckets = self.buckets.lock();
        if buckets.len() >= TIDY && !buckets.contains_key(key) {
            buckets.retain(|_, it| !(it.messages.is_full(self.messages, now) && it.bytes.is_full(self.bytes, now)));
        }
        let its = buckets.entry(key.clone()).or_insert(full);
        if self.messages > 0 && !its.messages.take(self.messages, now) {
            return Err(Exceeded::Messages(self.messages));
        }
        if self.bytes > 0 && !its.bytes.take_many(self.bytes, bytes, now) {
            return Err(Exceeded::Bytes(self.bytes));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_and_gets_it_back() {
        let quota = Quota::new(2, 1000);
        assert_eq!((0..5).filter(|_| quota.take_at(&"a", 1, 0).is_ok()).count(), 4, "twice the rate at once");
        assert_eq!(quota.take_at(&"a", 1, 0), Err(Exceeded::Messages(2)));
        assert_eq!(quota.take_at(&"b", 1900, 0), Ok(()));
        assert_eq!(quota.take_at(&"b", 200, 0), Err(Exceeded::Bytes(1000)));
        assert_eq!(quota.take_at(&"b", 200, 10), Ok(()), "a second later");
    }

    #[test]
    fn a_message_larger_than_the_burst_passes_when_nothing_else_did() {
        let quota = Quota::new(0, 100);
        assert_eq!(quota.take_at(&1, 5000, 0), Ok(()));
        assert_eq!(quota.take_at(&1, 1, 0), Err(Exceeded::Bytes(100)), "and is paid for afterwards");
    }

    #[test]
    fn the_idle_are_forgotten() {
        let quota = Quota::new(1, 0);
        for key in 0..TIDY {
            assert_eq!(quota.take_at(&key, 1, 0), Ok(()));
        }
        assert_eq!(quota.take_at(&TIDY, 1, 100), Ok(()));
        assert_eq!(quota.buckets.lock().len(), 1);
    }
}
