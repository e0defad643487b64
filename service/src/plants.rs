//! Planted bugs: a checker that cannot fail is worth nothing. They are compiled in with the feature `plants` only, and each
//! sleeps until the environment names it: `CHATCLUSTER_PLANT=name`.

use std::sync::OnceLock;

/// Is this the bug that was asked for?
pub fn planted(name: &str) -> bool {
    static PLANT: OnceLock<Option<String>> = OnceLock::new();
    PLANT.get_or_init(|| std::env::var("CHATCLUSTER_PLANT").ok()).as_deref() == Some(name)
}
