//! How fast sessions begin: as fast as the process gets its turn on the processors. Whoever comes in a storm waits
//! here, where that costs a few hundred bytes, and the messages of those who are here go first.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// Sessions that begin between two pauses.
const BURST: u32 = 8;
/// A pause while everything comes in time.
const SHORTEST: Duration = Duration::from_millis(1);
/// A pause when nothing does: two hundred sessions a second begin all the same.
const LONGEST: Duration = Duration::from_millis(40);
/// A pause that lasts so much longer than it should says that others wait for a processor as well. Timers tick in
/// milliseconds: less than one and a little says nothing.
const LATE: Duration = Duration::from_micros(1500);

/// Those who come pass one after the other, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Turnstile>);

#[derive(Debug)]
struct Turnstile {
    /// Who passed since the last pause.
    passed: u32,
    pause: Duration,
}

impl Default for Turnstile {
    fn default() -> Self {
        Self { passed: 0, pause: SHORTEST }
    }
}

impl Pace {
    /// Waits for its turn. Cancel safe.
    pub(super) async fn pass(&self) {
        let mut turnstile = self.0.lock().await;
        turnstile.passed += 1;
        if turnstile.passed < BURST {
            return;
        }
        turnstile.passed = 0;
        let end = Instant::now() + turnstile.pause;
        sleep_until(end).await;
        turnstile.pause = next(turnstile.pause, end.elapsed());
    }
}

/// The next pause: twice as long after one that ended late, a sixth shorter after one that did not. A fifth of them ends
/// late while the pace is steady.
fn next(pause: Duration, late: Duration) -> Duration {
    let next = if late > LATE { pause * 2 } else { pause * 5 / 6 };
    next.clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn after_a_few_the_next_one_waits() {
        let pace = Pace::default();
        for _ in 1..BURST {
            assert!(pace.pass().now_or_never().is_some());
        }
        let begin = Instant::now();
        pace.pass().await;
        assert!(begin.elapsed() >= SHORTEST && pace.pass().now_or_never().is_some());
    }

    #[test]
    fn what_is_late_makes_pauses_longer_and_what_comes_in_time_makes_them_shorter() {
        let late = |times| (0..times).fold(SHORTEST, |pause, _| next(pause, LATE * 2));
        assert_eq!((late(0), late(1), late(3), late(20)), (SHORTEST, SHORTEST * 2, SHORTEST * 8, LONGEST));
        let in_time = |times| (0..times).fold(LONGEST, |pause, _| next(pause, LATE));
        assert!(in_time(1) < LONGEST && in_time(3) > LONGEST / 2);
        assert_eq!(in_time(50), SHORTEST);
    }
}
