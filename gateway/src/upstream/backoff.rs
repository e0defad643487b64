//! Pauses between attempts: growing, bounded, and scattered so that many waiters do not come back at once.

use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    attempts: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, attempts: 0 }
    }

    /// From 50 ms to 1 s: for what clients wait for.
    pub(crate) const fn short() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(1))
    }

    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next pause: doubled each time, between half and all of it.
    pub(crate) fn next(&mut self) -> Duration {
        let full = self.first.saturating_mul(1 << self.attempts.min(16)).min(self.most);
        self.attempts += 1;
        full.mul_f64(rand::random_range(0.5..=1.0))
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.next()).await;
    }
}
