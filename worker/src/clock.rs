//! How old records are, by the clock of whoever produced them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chatcluster_transport::event_log::Record;

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// Nothing, if it comes from the future.
pub(crate) fn age(record: &Record) -> Duration {
    Duration::from_millis(u64::try_from(now_ms() - record.timestamp_ms).unwrap_or_default())
}
