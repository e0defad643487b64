//! What a person and a program read after a run: one page with a timeline, and one line. Pure.

mod page;
mod sessions;
mod timeline;

use std::collections::HashSet;

use super::check::delivered::{Passage, passages};
use super::check::goodput::measure;
use super::check::{Case, Counter, Findings};
use super::history::What;
use super::history::outside::Topic;

pub use page::page;
pub use sessions::sessions;
pub use timeline::Second;

/// The figures of a run.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Figures {
    /// Messages that users and services wanted to send, each once.
    pub sent: usize,
    /// ACK, or that Kafka has taken what must be stored.
    pub acknowledged: usize,
    /// Events, records and user events in frames, over all sessions.
    pub delivered: usize,
    pub lost: usize,
    pub duplicated: usize,
    pub reordered: usize,
    pub phantom: usize,
    pub leaked: usize,
    /// Events that an entitled session did not get in time.
    pub unseen: usize,
    /// The longest time from commit, start of the session and heal of the fault to the frame, in seconds.
    pub worst_recovery_s: f64,
    /// Acknowledged sends a second before the first fault…
    pub goodput_before: f64,
    /// …and at the end of the load.
    pub goodput_after: f64,
    /// What services have put on `message.created`.
    pub records: usize,
    /// Messages that services have put on `message.ingest`, each once. They are among `sent`, too.
    pub ingested: usize,
    /// User events that were published.
    pub user_events: usize,
}

/// A run and what was found in it.
#[derive(Clone, Debug)]
pub struct Report {
    pub figures: Figures,
    pub seconds: Vec<Second>,
}

pub fn report(case: &Case<'_>, findings: &Findings) -> Report {
    let history = case.history;
    let passages = passages(case);
    let goodput = measure(history);
    let is_event = |what: &What| matches!(what, What::Event(_) | What::Record { .. });
    let told = history.listening.iter().flat_map(|listening| &listening.heard);
    let ingest = history.produced.iter().filter(|produced| produced.topic == Topic::Ingest);
    let ids = |fine: bool| ingest.clone().filter(move |produced| !fine || produced.fine).map(|produced| &produced.id);
    let ids = |fine: bool| ids(fine).collect::<HashSet<_>>().len();
    let worst = passages.iter().filter_map(Passage::lateness).max().unwrap_or_default();
    let figures = Figures {
        sent: history.sendings.len() + ids(false),
        acknowledged: history.sendings.iter().filter(|sending| !sending.acks.is_empty()).count() + ids(true),
        delivered: history
            .sessions
            .iter()
            .flat_map(|session| &session.seen)
            .filter(|seen| is_event(&seen.what))
            .count()
            + told.filter(|(_, told)| told.number().is_some()).count(),
        lost: findings.count(Counter::Lost),
        duplicated: findings.count(Counter::Duplicated),
        reordered: findings.count(Counter::Reordered),
        phantom: findings.count(Counter::Phantom),
        leaked: findings.count(Counter::Leaked),
        unseen: findings.count(Counter::Unseen),
        worst_recovery_s: worst as f64 / 1000.0,
        goodput_before: (goodput.before * 10.0).round() / 10.0,
        goodput_after: (goodput.after * 10.0).round() / 10.0,
        records: case.truth.records.len(),
        ingested: ids(false),
        user_events: history.published.len(),
    };
    Report { figures, seconds: timeline::seconds(history, &passages) }
}

impl Figures {
    /// One line of JSON, for a program.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::History;
    use super::super::truth::Truth;
    use super::*;

    #[test]
    fn the_line_has_the_names_that_others_read() {
        let (history, truth) = (History::default(), Truth::default());
        let case = Case { history: &history, truth: &truth, within: 1, grace: 1 };
        let line = report(&case, &Findings::default()).figures.line();
        let names: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        assert_eq!(
            names.join(", "),
            "sent, acknowledged, delivered, lost, duplicated, reordered, phantom, leaked, unseen, worst_recovery_s, \
             goodput_before, goodput_after, records, ingested, user_events"
        );
    }
}
