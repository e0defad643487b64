//! Reads of core in turns: so many at a time that a mass reconnect does not become a storm on the database.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

/// Most reads that wait for core's answer.
const READS_AT_ONCE: usize = 32;

#[derive(Debug)]
pub(super) struct Turns {
    places: Semaphore,
    /// Where they begin one after the other: how many, and how long a turn lasts at most.
    turns: Option<(Arc<Semaphore>, Duration)>,
}

impl Turns {
    pub(super) fn at_once() -> Self {
        Self { places: Semaphore::new(READS_AT_ONCE), turns: None }
    }

    /// `count` at a time, for as long as core is quick. A read that takes longer than `longest` goes on without a turn: the
    /// others do not wait until a core that is frozen answers.
    pub(super) fn in_turn(count: usize, longest: Duration) -> Self {
        Self { places: Semaphore::new(READS_AT_ONCE), turns: Some((Arc::new(Semaphore::new(count)), longest)) }
    }

    /// Reads when it has come to that.
    pub(super) async fn take<T>(&self, read: impl Future<Output = T>) -> T {
        self.take_and_rest(0, read).await
    }

    /// Reads when it has come to that, and the turn is given on after a rest of so many times what the read took: the
    /// slower core is, the more of its time is left to the messages.
    pub(super) async fn take_and_rest<T>(&self, rest: u32, read: impl Future<Output = T>) -> T {
        let _place = self.places.acquire().await;
        let Some((turns, longest)) = &self.turns else { return read.await };
        let turn = turns.clone().acquire_owned().await;
        let (begin, mut read) = (Instant::now(), pin!(read));
        let answer = timeout(*longest, &mut read).await;
        if rest > 0 {
            let pause = begin.elapsed() * rest;
            tokio::spawn(async move {
                sleep(pause).await;
                drop(turn);
            });
        } else {
            drop(turn);
        }
        match answer {
            Ok(answer) => answer,
            Err(_) => read.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn the_next_one_reads_when_the_one_before_has_its_answer_or_takes_too_long() {
        let turns = Turns::in_turn(1, Duration::from_hours(1));
        let (answer, waits) = oneshot::channel();
        let (mut first, mut second) = (pin!(turns.take(waits)), pin!(turns.take(async { 2 })));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        answer.send(1).unwrap();
        assert_eq!((first.await, second.await), (Ok(1), 2));

        let turns = Turns::in_turn(1, Duration::from_millis(1));
        let (_never, waits) = oneshot::channel::<()>();
        tokio::select! {
            biased;
            _ = turns.take(waits) => panic!("nobody answered"),
            read = turns.take(async { 2 }) => assert_eq!(read, 2),
        }
    }
    #[tokio::test]
    async fn a_turn_is_given_on_after_a_rest() {
        let turns = Turns::in_turn(1, Duration::from_hours(1));
        turns.take_and_rest(1, sleep(Duration::from_millis(1))).await;
        turns.take_and_rest(1_000_000, sleep(Duration::from_millis(1))).await;
        assert!(turns.take(async {}).now_or_never().is_none(), "it rests for a thousand seconds");
    }
}
