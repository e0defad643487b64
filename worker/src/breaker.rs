//! A circuit breaker: while core is away, only a probe now and then finds out whether it is back.

use std::time::{Duration, Instant};

/// Failures in a row that open the circuit.
const THRESHOLD: u32 = 5;
/// How long it stays open before one call may try.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One call is on its way to find out.
    HalfOpen {
        since: Instant,
    },
}

/// Pure: the caller brings the time.
#[derive(Debug)]
pub(crate) struct Breaker(State);

impl Default for Breaker {
    fn default() -> Self {
        Self(State::Closed { failures: 0 })
    }
}

impl Breaker {
    /// May a call be made now?
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        match self.0 {
            State::Closed { .. } => true,
            State::Open { until } if now < until => false,
            // a probe that never reported (its task was cancelled) must not keep the circuit half open for ever
            State::HalfOpen { since } if now < since + PAUSE * 4 => false,
            State::Open { .. } | State::HalfOpen { .. } => {
                self.0 = State::HalfOpen { since: now };
                true
            }
        }
    }

    pub(crate) fn success(&mut self) {
        self.0 = State::Closed { failures: 0 };
    }

    pub(crate) fn failure(&mut self, now: Instant) {
        self.0 = match self.0 {
            State::Closed { failures } if failures + 1 < THRESHOLD => State::Closed { failures: failures + 1 },
            _ => State::Open { until: now + PAUSE },
        };
    }

    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.0, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..THRESHOLD {
            assert!(breaker.admit(now));
            breaker.failure(now);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..3 * THRESHOLD {
            breaker.failure(now);
            breaker.success();
        }
        assert!(!breaker.is_open());
        assert!(!opened(now).admit(now));
    }

    #[test]
    fn half_open_lets_one_probe_through_and_its_outcome_decides() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + PAUSE;
        assert!(breaker.admit(later));
        assert!(!breaker.admit(later), "one probe at a time");
        breaker.failure(later);
        assert!(!breaker.admit(later), "open again");
        assert!(breaker.admit(later + PAUSE));
        breaker.success();
        assert!(breaker.admit(later + PAUSE) && !breaker.is_open());
    }

    #[test]
    fn a_probe_that_never_reports_is_replaced() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(breaker.admit(now + PAUSE));
        assert!(breaker.admit(now + PAUSE * 6));
    }
}
