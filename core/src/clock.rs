//! The wall clock as stored and sent: whole milliseconds.

use jiff::Timestamp;

/// Now, cut to the millisecond: what is answered to a sender is what a later read finds.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
