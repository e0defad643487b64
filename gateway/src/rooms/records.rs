//! What a room's records are worth when they arrive: each is handed out once and in the order of the room's log, whatever
//! the channel loses or repeats. Pure.

use bytes::Bytes;
use chatcluster_contracts::log_id::LogId;
use chatcluster_transport::channels::{Entry, Page};

/// Records that wait for those before them; more, and the log is read instead.
const HOLD_LIMIT: usize = 1000;

/// A record on its way to the sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numbered {
    pub(super) id: LogId,
    before: LogId,
    pub(super) frame: Bytes,
}

impl Numbered {
    pub(super) const fn new(id: LogId, before: LogId, frame: Bytes) -> Self {
        Self { id, before, frame }
    }
}

impl From<Entry> for Numbered {
    fn from(entry: Entry) -> Self {
        Self::new(entry.id, entry.before, entry.payload)
    }
}

/// What is to be handed out, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Out {
    Record(Numbered),
    /// There was more behind this place, and nobody has it any more.
    Gap(LogId),
}

#[derive(Debug, Default)]
pub(super) struct Records {
    /// Everything up to here was handed out. `None`: it is not known yet where the log ends.
    at: Option<LogId>,
    /// In order, each once.
    hold: Vec<Numbered>,
    /// Some may have been missed.
    unsure: bool,
}

impl Records {
    pub(super) const fn at(&self) -> Option<LogId> {
        self.at
    }

    /// Is the log to be read behind [`at`](Self::at)?
    pub(super) fn is_missing_something(&self) -> bool {
        self.at.is_some() && (self.unsure || !self.hold.is_empty())
    }

    /// May the channel have lost something that leaves no trace?
    pub(super) const fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// The channel may have lost something.
    pub(super) fn doubt(&mut self) {
        self.unsure = true;
    }

    /// Nobody is here any more: whoever comes next begins where the log ends then.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The channel is listened to, and after that the log ended here.
    pub(super) fn begin(&mut self, end: LogId, out: &mut Vec<Out>) {
        if self.at.is_none() {
            self.at = Some(end);
            self.unsure = false;
            self.drain(out);
        }
    }

    /// The channel brought a record.
    pub(super) fn heard(&mut self, record: Numbered, out: &mut Vec<Out>) {
        if self.at.is_some_and(|at| record.id <= at) {
            return;
        }
        let place = self.hold.partition_point(|held| held.id < record.id);
        if self.hold.get(place).is_some_and(|held| held.id == record.id) {
            return;
        }
        if self.hold.len() >= HOLD_LIMIT {
            // what is forgotten here is in the log
            self.unsure = true;
            if place == self.hold.len() {
                return;
            }
            self.hold.pop();
        }
        self.hold.insert(place, record);
        self.drain(out);
    }

    /// The log was read behind `from`, which was where it stood: in it is everything that there is. `is_another`: it ended
    /// before `from`, so that one was lost with whatever came after it.
    pub(super) fn read(&mut self, from: LogId, page: Page, is_another: bool, out: &mut Vec<Out>) {
        if self.at != Some(from) {
            // the channel was faster: what is missing now is asked for anew
            return;
        }
        let was_unsure = std::mem::replace(&mut self.unsure, page.more);
        let mut last = from;
        if is_another {
            out.push(Out::Gap(from));
        }
        for record in page.entries.into_iter().map(Numbered::from) {
            let is_first = last == from;
            if record.before > last || (is_first && was_unsure && !is_another && record.before != from) {
                out.push(Out::Gap(last));
            }
            last = record.id;
            out.push(Out::Record(record));
        }
        self.at = Some(last.max(page.reached));
        self.drain(out);
        if let (false, Some(first)) = (page.more, self.hold.first()) {
            // it was published and is in no log: Redis lost it
            out.push(Out::Gap(last));
            self.at = Some(first.before);
            self.drain(out);
        }
    }

    fn drain(&mut self, out: &mut Vec<Out>) {
        let Some(mut at) = self.at else { return };
        let mut taken = 0;
        for held in &self.hold {
            if held.id > at {
                // one that knows of none before it, or of an older one, is the first of a log made anew
                if held.before > at {
                    break;
                }
                at = held.id;
                out.push(Out::Record(held.clone()));
            }
            taken += 1;
        }
        self.hold.drain(..taken);
        if self.hold.is_empty() {
            self.hold = Vec::new();
        }
        self.at = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(ms: u64) -> LogId {
        LogId { ms, n: 0 }
    }

    fn record(ms: u64, before: u64) -> Numbered {
        Numbered::new(id(ms), id(before), Bytes::from(ms.to_string()))
    }

    fn entry(ms: u64, before: u64) -> Entry {
        Entry { id: id(ms), before: id(before), payload: Bytes::from(ms.to_string()), token: String::new() }
    }

    fn page(entries: &[(u64, u64)], more: bool, reached: u64) -> Page {
        Page { entries: entries.iter().map(|(ms, before)| entry(*ms, *before)).collect(), reached: id(reached), more }
    }

    fn shown(out: &mut Vec<Out>) -> Vec<String> {
        let shown = |out: Out| match out {
            Out::Record(record) => record.id.ms.to_string(),
            Out::Gap(after) => format!("gap after {}", after.ms),
        };
        out.drain(..).map(shown).collect()
    }

    fn begun(at: u64) -> Records {
        let mut records = Records::default();
        records.begin(id(at), &mut Vec::new());
        records
    }

    #[test]
    fn what_comes_in_order_passes_and_repeats_do_not() {
        let (mut records, mut out) = (begun(4), Vec::new());
        for next in [record(5, 4), record(5, 4), record(3, 2), record(6, 5)] {
            records.heard(next, &mut out);
        }
        assert_eq!(shown(&mut out), ["5", "6"]);
        assert!(!records.is_missing_something());
    }

    #[test]
    fn what_came_while_the_end_of_the_log_was_read_is_told_once() {
        let (mut records, mut out) = (Records::default(), Vec::new());
        for next in [record(5, 4), record(6, 5), record(7, 6)] {
            records.heard(next, &mut out);
        }
        assert!(out.is_empty());
        records.begin(id(6), &mut out);
        assert_eq!(shown(&mut out), ["7"]);
    }

    #[test]
    fn a_lost_one_is_found_in_the_log() {
        let (mut records, mut out) = (begun(4), Vec::new());
        records.heard(record(6, 5), &mut out);
        assert!(out.is_empty() && records.is_missing_something());
        records.read(id(4), page(&[(5, 4), (6, 5)], false, 6), false, &mut out);
        assert_eq!(shown(&mut out), ["5", "6"]);
        assert!(!records.is_missing_something());
        records.doubt();
        assert!(records.is_missing_something(), "after a lost connection the last one leaves no trace");
        records.read(id(6), page(&[], false, 6), false, &mut out);
        assert!(out.is_empty() && !records.is_missing_something());
    }

    #[test]
    fn what_the_log_has_no_more_is_said() {
        let (mut records, mut out) = (begun(4), Vec::new());
        records.heard(record(9, 8), &mut out);
        records.read(id(4), page(&[(8, 7), (9, 8)], false, 9), false, &mut out);
        assert_eq!(shown(&mut out), ["gap after 4", "8", "9"]);
        records.heard(record(12, 11), &mut out);
        records.read(id(9), page(&[], false, 9), false, &mut out);
        assert_eq!(shown(&mut out), ["gap after 9", "12"], "redis was flushed after it was published");
    }

    #[test]
    fn a_log_made_anew_goes_on() {
        let (mut records, mut out) = (begun(4), Vec::new());
        records.heard(record(9, 0), &mut out);
        assert_eq!(shown(&mut out), ["9"]);
    }

    #[test]
    fn a_log_that_was_lost_while_nobody_listened_may_have_held_something() {
        for (entries, is_another, told) in [
            (&[][..], true, &["gap after 4"][..]),
            (&[(9, 0)], true, &["gap after 4", "9"]),
            (&[(9, 0)], false, &["gap after 4", "9"]),
            (&[(5, 4), (6, 5)], false, &["5", "6"]),
        ] {
            let (mut records, mut out) = (begun(4), Vec::new());
            records.doubt();
            let reached = entries.last().map_or(4, |(ms, _)| *ms);
            records.read(id(4), page(entries, false, reached), is_another, &mut out);
            assert_eq!(shown(&mut out), told);
        }
    }

    #[test]
    fn a_long_absence_is_read_page_by_page() {
        let (mut records, mut out) = (begun(1), Vec::new());
        records.doubt();
        records.read(id(1), page(&[(2, 1), (3, 2)], true, 3), false, &mut out);
        assert!(records.is_missing_something());
        records.heard(record(5, 4), &mut out);
        records.read(id(3), page(&[(4, 3), (5, 4)], false, 5), false, &mut out);
        assert_eq!(shown(&mut out), ["2", "3", "4", "5"]);
        records.read(id(3), page(&[(4, 3)], false, 4), false, &mut out);
        assert!(out.is_empty(), "an answer that comes too late");
    }

    #[test]
    fn it_stays_within_its_bound() {
        let (mut records, mut out) = (begun(1), Vec::new());
        for ms in (10..3000).rev() {
            records.heard(record(ms, ms - 1), &mut out);
        }
        assert!(records.hold.len() <= HOLD_LIMIT && records.is_missing_something());
    }
}
