//! A run, second by second.

use super::super::check::delivered::Passage;
use super::super::history::{History, Ms};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Second {
    /// Sends acknowledged for the first time.
    pub acks: usize,
    /// From commit to frame, of the events that were seen in this second by sessions that were there before, in ms.
    pub p99_ms: Option<Ms>,
    /// Events that sessions waited for at the end of this second.
    pub unseen: usize,
}

pub(super) fn seconds(history: &History, passages: &[Passage]) -> Vec<Second> {
    let count = usize::try_from(history.end / 1000 + 1).unwrap_or_default();
    let mut seconds = vec![Second::default(); count];
    for ack in history.sendings.iter().filter_map(|sending| sending.acks.first()) {
        if let Some(second) = seconds.get_mut(index(ack.at)) {
            second.acks += 1;
        }
    }
    let mut latencies: Vec<Vec<Ms>> = vec![Vec::new(); count];
    let mut change = vec![0_i64; count + 1];
    for passage in passages {
        if let (true, Some(seen)) = (passage.live, passage.seen)
            && let Some(of_second) = latencies.get_mut(index(seen))
        {
            of_second.push(seen.saturating_sub(passage.from));
        }
        let to = passage.seen.unwrap_or(passage.until);
        let (first, last) = (index(passage.from), index(to).min(count));
        if first < last {
            change[first] += 1;
            change[last] -= 1;
        }
    }
    let mut waiting = 0;
    for ((second, mut of_second), change) in seconds.iter_mut().zip(latencies).zip(change) {
        waiting += change;
        second.unseen = usize::try_from(waiting).unwrap_or_default();
        of_second.sort_unstable();
        second.p99_ms = of_second.get((of_second.len() * 99 / 100).min(of_second.len().saturating_sub(1))).copied();
    }
    seconds
}

fn index(at: Ms) -> usize {
    usize::try_from(at / 1000).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_events_count_for_every_second_they_wait() {
        let history = History { end: 5_000, ..History::default() };
        let passage = |from, seen| Passage { from, seen, due: from, until: 5_000, live: true };
        let seconds = seconds(&history, &[passage(500, Some(600)), passage(800, Some(3_100)), passage(2_500, None)]);
        let unseen: Vec<usize> = seconds.iter().map(|second| second.unseen).collect();
        assert_eq!(unseen, [1, 1, 2, 1, 1, 0]);
        assert_eq!(seconds[0].p99_ms, Some(100));
        assert_eq!(seconds[3].p99_ms, Some(2_300));
    }
}
