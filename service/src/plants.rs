//! Planted bugs: a checker that cannot fail is worth nothing. Core, worker and gateway have them with their feature
//! `plants` only, and each sleeps until the environment names it: `CHATCLUSTER_PLANT=name`. This switch is in every
//! development build, so that the feature changes those three and nothing below them, and in no other: a release with
//! planted bugs does not compile.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Is this the bug that was asked for?
pub fn planted(name: &str) -> bool {
    static PLANT: OnceLock<Option<String>> = OnceLock::new();
    PLANT.get_or_init(|| std::env::var("CHATCLUSTER_PLANT").ok()).as_deref() == Some(name)
}

/// The same, once in so many times that it is asked.
pub fn planted_once_in(name: &str, times: u32) -> bool {
    static ASKED: AtomicU32 = AtomicU32::new(1);
    planted(name) && ASKED.fetch_add(1, Ordering::Relaxed).is_multiple_of(times)
}
