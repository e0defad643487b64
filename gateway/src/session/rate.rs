//! A token bucket in eight bytes.

use super::ticks::Tick;

/// Lets `rate` through a second, and twice as many at once. Pure: the clock is the caller's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenBucket {
    tokens: f32,
    filled: Tick,
}

impl TokenBucket {
    #[allow(clippy::cast_precision_loss, reason = "rates are small")]
    pub(crate) fn full(rate: u32, now: Tick) -> Self {
        Self { tokens: 2.0 * rate as f32, filled: now }
    }

    pub(crate) fn take(&mut self, rate: u32, now: Tick) -> bool {
        self.fill(rate, now);
        let admitted = self.tokens >= 1.0;
        if admitted {
            self.tokens -= 1.0;
        }
        admitted
    }

    /// Takes `count` at once. What is larger than the bucket passes when it is full, and is paid for afterwards.
    #[allow(clippy::cast_precision_loss, reason = "a byte more or less")]
    pub(crate) fn take_many(&mut self, rate: u32, count: usize, now: Tick) -> bool {
        self.fill(rate, now);
        let admitted = self.tokens >= (count as f32).min(2.0 * rate as f32);
        if admitted {
            self.tokens -= count as f32;
        }
        admitted
    }

    #[allow(clippy::cast_precision_loss, reason = "rates are small")]
    pub(crate) fn is_full(mut self, rate: u32, now: Tick) -> bool {
        self.fill(rate, now);
        self.tokens >= 2.0 * rate as f32
    }

    #[allow(clippy::cast_precision_loss, reason = "rates and pauses are small")]
    fn fill(&mut self, rate: u32, now: Tick) {
        let refill = (now.saturating_sub(self.filled)) as f32 * rate as f32 / 10.0;
        self.tokens = (self.tokens + refill).min(2.0 * rate as f32);
        self.filled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut bucket = TokenBucket::full(10, 0);
        assert_eq!((0..30).filter(|_| bucket.take(10, 0)).count(), 20);
        assert_eq!((0..30).filter(|_| bucket.take(10, 10)).count(), 10, "one second later");
    }
}
