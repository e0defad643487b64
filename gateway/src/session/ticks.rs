//! The gateway's coarse clock: tenths of a second since the process started, four bytes wherever a session keeps one.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A tenth of a second. 32 bits hold thirteen years.
pub(crate) type Tick = u32;

pub(crate) const TICK: Duration = Duration::from_millis(100);

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

pub(crate) fn now() -> Tick {
    of(STARTED.elapsed())
}

/// Whole ticks in `duration`, at least one.
pub(crate) fn of(duration: Duration) -> Tick {
    Tick::try_from(duration.as_millis() / TICK.as_millis()).unwrap_or(Tick::MAX / 2).max(1)
}

/// Milliseconds since the Unix epoch, to the tick.
pub(crate) fn unix_ms(tick: Tick) -> i64 {
    let ago = TICK.saturating_mul(now().saturating_sub(tick));
    jiff::Timestamp::now().as_millisecond() - i64::try_from(ago.as_millis()).unwrap_or_default()
}

/// The tick that ends at or before the instant given in seconds since the Unix epoch; `now` if that has passed.
pub(crate) fn at_unix(seconds: i64) -> Tick {
    let at = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = at.saturating_sub(today).as_millis() / TICK.as_millis();
    now().saturating_add(Tick::try_from(left).unwrap_or(Tick::MAX / 2))
}
