//! What the platform has on record at the end of a run: the database, and the topic as it was written.

use std::collections::BTreeMap;

use super::history::{Event, Ms, Name};

#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub conversations: BTreeMap<Name, Conversation>,
    /// Rows still in the outbox after everything had time to leave it.
    pub outbox_rows: u64,
    /// The topic of messages, partition by partition, in offset order.
    pub topic: Vec<Event>,
    /// What REST answered about each conversation's log, for those that were read.
    pub rest: BTreeMap<Name, Vec<Event>>,
}

#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// The head in the conversation's own row.
    pub last_seq: u64,
    /// In the order of seq.
    pub events: Vec<Stored>,
    pub members: BTreeMap<Name, Vec<Interval>>,
}

#[derive(Clone, Debug)]
pub struct Stored {
    pub event: Event,
    /// By core's clock, just before the commit.
    pub created: Ms,
}

/// One membership: entitled to the events from `joined` to `left`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub joined: u64,
    pub left: Option<u64>,
}

impl Interval {
    pub fn holds(self, seq: u64) -> bool {
        self.joined <= seq && self.left.is_none_or(|left| seq <= left)
    }
}

impl Conversation {
    pub fn interval(&self, user: &str, seq: u64) -> Option<Interval> {
        self.members.get(user)?.iter().copied().find(|interval| interval.holds(seq))
    }

    pub fn is_entitled(&self, user: &str, seq: u64) -> bool {
        self.interval(user, seq).is_some()
    }

    pub fn stored(&self, seq: u64) -> Option<&Stored> {
        let found = self.events.binary_search_by_key(&seq, |stored| stored.event.seq).ok()?;
        self.events.get(found)
    }

    /// The events above `after` and below `before` that the user should get in a session which became ready at `ready`.
    /// Whoever left before that, and came back later, is not owed what it missed of the time before.
    pub fn owed<'a>(&'a self, user: &'a str, after: u64, before: u64, ready: Ms) -> impl Iterator<Item = &'a Stored> {
        let from = self.events.partition_point(|stored| stored.event.seq <= after);
        self.events[from..].iter().take_while(move |stored| stored.event.seq < before).filter(move |stored| {
            let Some(interval) = self.interval(user, stored.event.seq) else { return false };
            let ended = interval.left.and_then(|left| self.stored(left));
            // a second for the time between the event's creation and its commit, when the list was read
            ended.is_none_or(|ended| ended.created > ready + 1000)
        })
    }
}
