//! The time of a run: milliseconds since it began, comparable with the platform's own times on the same machine.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::history::Ms;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// Wall time of the start, ms since the epoch.
    wall: i64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self { start: Instant::now(), wall: i64::try_from(wall).unwrap_or_default() }
    }

    pub(crate) fn now(&self) -> Ms {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or_default()
    }

    /// A time of the platform, in ms since the epoch.
    pub(crate) fn of_wall(&self, wall: i64) -> Ms {
        u64::try_from(wall - self.wall).unwrap_or_default()
    }
}
