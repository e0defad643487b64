//! What all clients of a failover saw.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::torture::history::Name;

pub(super) struct Book {
    start: Instant,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    online: usize,
    killed: Option<Instant>,
    /// From the kill to CONNECTED, and…
    connects: Vec<Duration>,
    /// …to the end of a session's catching up.
    resumes: Vec<Duration>,
    /// When an event came to a session whose gateway stays, and how long after it was sent.
    latencies: Vec<(Instant, Duration)>,
    /// Events that came for each conversation, over all sessions.
    seen: HashMap<Name, u64>,
    skipped: u64,
    repeated: u64,
}

/// What came of it. Times in milliseconds.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Figures {
    pub sessions: usize,
    pub resumed: usize,
    pub connected_p50_ms: f64,
    pub connected_p99_ms: f64,
    pub resume_p50_ms: f64,
    pub resume_p99_ms: f64,
    pub resume_max_ms: f64,
    /// From SEND to MESSAGE for those whose gateway stayed.
    pub others_p50_before_ms: f64,
    pub others_p99_before_ms: f64,
    pub others_p50_during_ms: f64,
    pub others_p99_during_ms: f64,
    pub ratio: f64,
    pub delivered: u64,
    pub lost: u64,
    pub duplicated: u64,
    /// Processors at work on average, by process; `clients` is the one that measures, `machine` is all of them.
    pub processors_before: BTreeMap<String, f64>,
    /// From the kill until all are back.
    pub processors_during: BTreeMap<String, f64>,
}

impl Default for Book {
    fn default() -> Self {
        Self { start: Instant::now(), pages: Mutex::default() }
    }
}

impl Book {
    /// The content of a message that is sent now.
    pub(super) fn stamp(&self) -> String {
        self.start.elapsed().as_nanos().to_string()
    }

    /// CONNECTED came, for the first time or `again`.
    pub(super) fn connected(&self, again: bool) {
        let mut pages = self.pages.lock();
        match pages.killed {
            Some(killed) if again => pages.connects.push(killed.elapsed()),
            _ => pages.online += 1,
        }
    }

    pub(super) fn killed(&self, at: Instant) {
        self.pages.lock().killed = Some(at);
    }

    /// A session is back and has what it missed.
    pub(super) fn caught_up(&self) {
        let mut pages = self.pages.lock();
        if let Some(killed) = pages.killed {
            pages.resumes.push(killed.elapsed());
        }
    }

    /// An event after the one with the seq `before`. `stamp`: what was said, by those who measure how long it took.
    pub(super) fn event(&self, conversation: &Name, before: u64, seq: u64, stamp: Option<&str>) {
        let (now, mut pages) = (Instant::now(), self.pages.lock());
        if seq <= before {
            pages.repeated += 1;
            return;
        }
        pages.skipped += seq - before - 1;
        *pages.seen.entry(conversation.clone()).or_default() += 1;
        if let Some(sent) = stamp.and_then(|stamp| stamp.parse().ok()) {
            let latency = (now - self.start).saturating_sub(Duration::from_nanos(sent));
            pages.latencies.push((now, latency));
        }
    }

    pub(super) fn online(&self) -> usize {
        self.pages.lock().online
    }

    pub(super) fn resumed(&self) -> usize {
        self.pages.lock().resumes.len()
    }

    /// Events that have not come to everybody: of each conversation its head and its members.
    pub(super) fn lacking(&self, heads: &[(Name, u64, usize)]) -> u64 {
        let pages = self.pages.lock();
        let lacking = heads.iter().map(|(id, head, members)| {
            (head * *members as u64).saturating_sub(pages.seen.get(id).copied().unwrap_or_default())
        });
        lacking.sum()
    }

    pub(super) fn figures(
        &self,
        sessions: usize,
        heads: &[(Name, u64, usize)],
        before: Range<Instant>,
        during: Range<Instant>,
    ) -> Figures {
        let lost = self.lacking(heads);
        let pages = self.pages.lock();
        let latencies = |range: Range<Instant>| {
            let of = pages.latencies.iter().filter(|(at, _)| range.contains(at));
            sorted(of.map(|(_, latency)| *latency).collect())
        };
        let (connects, resumes) = (sorted(pages.connects.clone()), sorted(pages.resumes.clone()));
        let (before, during) = (latencies(before), latencies(during));
        let ratio = percentile(&during, 99) / percentile(&before, 99).max(f64::MIN_POSITIVE);
        Figures {
            sessions,
            resumed: resumes.len(),
            connected_p50_ms: percentile(&connects, 50),
            connected_p99_ms: percentile(&connects, 99),
            resume_p50_ms: percentile(&resumes, 50),
            resume_p99_ms: percentile(&resumes, 99),
            resume_max_ms: percentile(&resumes, 100),
            others_p50_before_ms: percentile(&before, 50),
            others_p99_before_ms: percentile(&before, 99),
            others_p50_during_ms: percentile(&during, 50),
            others_p99_during_ms: percentile(&during, 99),
            ratio: (ratio * 100.0).round() / 100.0,
            delivered: pages.seen.values().sum(),
            lost: lost.max(pages.skipped),
            duplicated: pages.repeated,
            processors_before: BTreeMap::new(),
            processors_during: BTreeMap::new(),
        }
    }
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort_unstable();
    times
}

/// In milliseconds, with one decimal; 0 of nothing.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).map_or(0.0, |time| (time.as_secs_f64() * 10_000.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_came_twice_is_counted() {
        let (book, conversation) = (Book::default(), Name::from("c"));
        let heads = [(conversation.clone(), 3, 2)];
        for seq in 1..=3 {
            book.event(&conversation, seq - 1, seq, None);
        }
        assert_eq!(book.lacking(&heads), 3, "the other one has nothing yet");
        book.event(&conversation, 0, 1, None);
        book.event(&conversation, 1, 3, None);
        book.event(&conversation, 3, 3, None);
        let now = Instant::now();
        let figures = book.figures(1, &heads, now..now, now..now);
        assert_eq!((figures.lost, figures.duplicated, figures.delivered), (1, 1, 5));
    }

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let of = |percent| percentile(&times, percent);
        assert_eq!((of(50), of(99), of(100)), (100.0, 198.0, 200.0));
        assert_eq!(percentile(&[], 99).to_bits(), 0.0_f64.to_bits());
    }
}
