//! How fast sessions begin: as fast as the process gets its turn on the processors, while there are messages for those who
//! are here. Whoever comes in a storm waits here, where that costs a few hundred bytes, and the messages go first.

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

/// Nothing came in for so long: nobody is held up for the sake of messages.
const QUIET: Duration = Duration::from_secs(1);

/// Those who come pass one after the other, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Turnstile>);

#[derive(Debug)]
struct Turnstile {
    /// Who passed since the last pause.
    passed: u32,
    pause: Duration,
    /// How much had come in at the last look, and when it was first as much.
    messages: u64,
    since: Option<Instant>,
}

impl Default for Turnstile {
    fn default() -> Self {
        Self { passed: 0, pause: SHORTEST, messages: 0, since: None }
    }
}

impl Pace {
    /// Waits for its turn. `messages`: how many have come in so far for those who are here. Cancel safe.
    pub(super) async fn pass(&self, messages: u64) {
        let mut turnstile = self.0.lock().await;
        turnstile.passed += 1;
        if turnstile.passed < BURST {
            return;
        }
        turnstile.passed = 0;
        if !turnstile.is_in_the_way(messages, Instant::now()) {
            return;
        }
        let end = Instant::now() + turnstile.pause;
        sleep_until(end).await;
        turnstile.pause = next(turnstile.pause, end.elapsed());
    }
}

impl Turnstile {
    /// Do messages come in?
    fn is_in_the_way(&mut self, messages: u64, now: Instant) -> bool {
        if std::mem::replace(&mut self.messages, messages) != messages {
            self.since = Some(now);
        }
        self.since.is_some_and(|since| now < since + QUIET)
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
            assert!(pace.pass(1).now_or_never().is_some());
        }
        let begin = Instant::now();
        pace.pass(1).await;
        assert!(begin.elapsed() >= SHORTEST && pace.pass(1).now_or_never().is_some());
    }

    #[test]
    fn nobody_waits_where_no_messages_come_in() {
        let (mut turnstile, now) = (Turnstile::default(), Instant::now());
        assert!(!turnstile.is_in_the_way(0, now));
        assert!(turnstile.is_in_the_way(7, now));
        assert!(turnstile.is_in_the_way(7, now + QUIET / 2));
        assert!(!turnstile.is_in_the_way(7, now + QUIET));
        assert!(turnstile.is_in_the_way(8, now + QUIET * 2));
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
