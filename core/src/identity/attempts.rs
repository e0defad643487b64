//! Failed logins are counted: per pair of user name and address, per name, per address. Pure; the clock is handed in.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// The window begins with the first failure.
const WINDOW: Duration = Duration::from_mins(5);
const PER_PAIR: u32 = 10;
/// A name may be tried from many addresses, an address may be shared by many people.
const PER_NAME: u32 = 100;
const PER_ADDRESS: u32 = 100;
/// Counters kept at most.
const MAX_ENTRIES: usize = 20_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Pair(String, Option<IpAddr>),
    Name(String),
    Address(IpAddr),
}

impl Key {
    fn limit(&self) -> u32 {
        match self {
            Self::Pair(..) => PER_PAIR,
            Self::Name(_) => PER_NAME,
            Self::Address(_) => PER_ADDRESS,
        }
    }
}

#[derive(Debug)]
struct Count {
    failures: u32,
    since: Instant,
}

#[derive(Debug, Default)]
pub struct Attempts {
    counts: HashMap<Key, Count>,
}

fn keys(name: &str, address: Option<IpAddr>) -> impl Iterator<Item = Key> {
    let pair = Key::Pair(name.to_owned(), address);
    [Some(pair), Some(Key::Name(name.to_owned())), address.map(Key::Address)].into_iter().flatten()
}

impl Attempts {
    /// How long this name and address have to wait; `None`: go on.
    pub fn blocked(&self, name: &str, address: Option<IpAddr>, now: Instant) -> Option<Duration> {
        keys(name, address)
            .filter_map(|key| {
                let count = self.counts.get(&key)?;
                let left = WINDOW.checked_sub(now.saturating_duration_since(count.since))?;
                (count.failures >= key.limit() && !left.is_zero()).then_some(left)
            })
            .max()
    }

    pub fn failed(&mut self, name: &str, address: Option<IpAddr>, now: Instant) {
        if self.counts.len() + 3 > MAX_ENTRIES {
            self.counts.retain(|_, count| now.saturating_duration_since(count.since) < WINDOW);
        }
        if self.counts.len() + 3 > MAX_ENTRIES {
            // Somebody tries very many names. Those that failed often are kept.
            self.counts.retain(|key, count| count.failures * 2 >= key.limit());
        }
        if self.counts.len() + 3 > MAX_ENTRIES {
            self.counts.clear();
        }
        for key in keys(name, address) {
            let count = self.counts.entry(key).or_insert(Count { failures: 0, since: now });
            if now.saturating_duration_since(count.since) >= WINDOW {
                *count = Count { failures: 0, since: now };
            }
            count.failures += 1;
        }
    }

    /// The right password clears the pair, not what others did with the name or from the address.
    pub fn succeeded(&mut self, name: &str, address: Option<IpAddr>) {
        self.counts.remove(&Key::Pair(name.to_owned(), address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_try_waits_and_others_do_not() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let here = Some(IpAddr::from([127, 0, 0, 1]));
        for _ in 0..10 {
            assert_eq!(attempts.blocked("ann", here, start), None);
            attempts.failed("ann", here, start);
        }
        assert!(attempts.blocked("ann", here, start).is_some());
        assert_eq!(attempts.blocked("bob", here, start), None);
        assert_eq!(attempts.blocked("ann", Some(IpAddr::from([10, 0, 0, 1])), start), None);
        assert_eq!(attempts.blocked("ann", here, start + WINDOW), None);
    }

    #[test]
    fn success_clears_and_memory_is_bounded() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..10 {
            attempts.failed("ann", None, now);
        }
        attempts.succeeded("ann", None);
        assert_eq!(attempts.blocked("ann", None, now), None);
        for i in 0..50_000 {
            attempts.failed(&format!("u{i}"), None, now);
        }
        assert!(attempts.counts.len() <= MAX_ENTRIES);
    }
}
