//! What a worker that does not write the logs heard lately, so that it can go on where the one before it was killed. Pure.
//!
//! All workers hear the same messages in the same order. Whoever begins to listen publishes a mark, and everybody counts
//! from the last mark on: so a message has the same token wherever it was heard, and the token at the end of a log says
//! which of the messages heard are in it.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

use chatcluster_transport::channels::NewEntry;

/// How long a message is kept: longer than it takes until the lease of somebody who was killed has passed on.
pub(super) const KEPT: Duration = Duration::from_secs(15);
/// Bytes of payload kept; of more the last ones.
const MAX_BYTES: usize = 32 << 20;
/// And messages.
const MAX_MESSAGES: usize = 200_000;

/// Where in the common order of messages a worker is.
#[derive(Debug, Default)]
pub(super) struct Order {
    mark: Option<String>,
    count: u64,
}

impl Order {
    /// Everybody begins to count anew.
    pub(super) fn mark(&mut self, mark: &str) {
        *self = Self { mark: Some(mark.to_owned()), count: 0 };
    }

    /// Messages were missed, nobody knows how many.
    pub(super) fn lose(&mut self) {
        self.mark = None;
    }

    pub(super) fn is_known(&self) -> bool {
        self.mark.is_some()
    }

    /// The token of the next message; `None` when nobody else would count alike.
    pub(super) fn next(&mut self) -> Option<String> {
        self.count += 1;
        let mark = self.mark.as_ref()?;
        Some(format!("{mark}-{}", self.count))
    }
}

#[derive(Debug, Default)]
pub(super) struct Backlog {
    heard: VecDeque<(Instant, NewEntry)>,
    bytes: usize,
}

impl Backlog {
    pub(super) fn keep(&mut self, entries: Vec<NewEntry>, now: Instant) {
        for entry in entries {
            self.bytes += entry.payload.len();
            self.heard.push_back((now, entry));
        }
        while self.is_too_much(now)
            && let Some((_, entry)) = self.heard.pop_front()
        {
            self.bytes -= entry.payload.len();
        }
    }

    fn is_too_much(&self, now: Instant) -> bool {
        let is_old = self.heard.front().is_some_and(|(at, _)| now.duration_since(*at) > KEPT);
        is_old || self.bytes > MAX_BYTES || self.heard.len() > MAX_MESSAGES
    }

    /// The logs that something was heard for.
    pub(super) fn logs(&self) -> BTreeSet<&str> {
        self.heard.iter().map(|(_, entry)| entry.log.as_str()).collect()
    }

    /// What is in no log yet, in its order. `last`: the token at the end of each log.
    pub(super) fn unwritten(self, last: &HashMap<String, String>) -> Vec<NewEntry> {
        let mut written: HashMap<&str, usize> = HashMap::new();
        for (place, (_, entry)) in self.heard.iter().enumerate() {
            if last.get(&entry.log) == Some(&entry.token) {
                written.insert(&entry.log, place);
            }
        }
        let is_new = |place: usize, entry: &NewEntry| written.get(entry.log.as_str()).is_none_or(|last| place > *last);
        let keep: Vec<bool> = self.heard.iter().enumerate().map(|(place, (_, entry))| is_new(place, entry)).collect();
        self.heard.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|((_, entry), _)| entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// What a worker makes of these names, of which `#` and what follows is a mark and `!` a lost connection.
    fn heard(order: &mut Order, what: &str) -> Vec<NewEntry> {
        let mut entries = Vec::new();
        for name in what.split(' ') {
            if let Some(mark) = name.strip_prefix('#') {
                order.mark(mark);
            } else if name == "!" {
                order.lose();
            } else if let Some(token) = order.next() {
                let (log, notice) = (name.to_owned(), String::new());
                entries.push(NewEntry { log, notice, payload: Bytes::from_static(b"same"), token });
            }
        }
        entries
    }

    fn shown(entries: &[NewEntry]) -> String {
        let all: Vec<String> = entries.iter().map(|entry| format!("{}:{}", entry.log, entry.token)).collect();
        all.join(" ")
    }

    fn unwritten(what: &str, last: &[(&str, &str)]) -> String {
        let mut backlog = Backlog::default();
        backlog.keep(heard(&mut Order::default(), what), Instant::now());
        let last = last.iter().map(|(log, token)| ((*log).to_owned(), (*token).to_owned())).collect();
        shown(&backlog.unwritten(&last))
    }

    #[test]
    fn whoever_hears_the_same_gives_it_the_same_token() {
        let (mut early, mut late) = (Order::default(), Order::default());
        let all = heard(&mut early, "#m a b #n a b a");
        let some = heard(&mut late, "b #n a b a");
        assert_eq!(shown(&all), "a:m-1 b:m-2 a:n-1 b:n-2 a:n-3");
        assert_eq!(shown(&some), "a:n-1 b:n-2 a:n-3", "what was before the first mark has no token");
        assert_eq!(shown(&heard(&mut late, "! a #o b")), "b:o-1", "nor has what came after something was missed");
    }

    #[test]
    fn what_stands_behind_the_end_of_its_log_is_not_written() {
        let what = "#m a a b a #n b a";
        assert_eq!(unwritten(what, &[("a", "m-2"), ("b", "n-1")]), "a:m-4 a:n-2");
        assert_eq!(unwritten(what, &[("a", "n-2"), ("b", "n-1")]), "", "all of it is");
        assert_eq!(
            unwritten(what, &[("a", "k-9")]),
            "a:m-1 a:m-2 b:m-3 a:m-4 b:n-1 a:n-2",
            "older than anything heard"
        );
        // one name's token says nothing of another's
        assert_eq!(unwritten("#m a b", &[("a", "m-2"), ("b", "m-1")]), "a:m-1 b:m-2");
    }

    #[test]
    fn what_is_old_and_what_is_too_much_goes() {
        let (mut backlog, mut order, start) = (Backlog::default(), Order::default(), Instant::now());
        backlog.keep(heard(&mut order, "#m a"), start);
        backlog.keep(heard(&mut order, "b"), start + KEPT / 2);
        assert_eq!(backlog.logs().len(), 2);
        backlog.keep(heard(&mut order, "c"), start + KEPT + Duration::from_millis(1));
        assert_eq!(backlog.logs().into_iter().collect::<Vec<_>>(), ["b", "c"]);
        let big = NewEntry { payload: Bytes::from(vec![0; MAX_BYTES]), ..heard(&mut order, "d").remove(0) };
        backlog.keep(vec![big], start + KEPT);
        assert_eq!((backlog.logs().len(), backlog.bytes), (1, MAX_BYTES));
    }
}
