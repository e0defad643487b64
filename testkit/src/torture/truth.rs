//! What the platform has on record at the end of a run: the database, and the topic as it was written.

use std::collections::{BTreeMap, HashMap};

use super::history::outside::Place;
use super::history::{Event, Ms, Name, Session};

#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub conversations: BTreeMap<Name, Conversation>,
    /// Rows still in the outbox after everything had time to leave it.
    pub outbox_rows: u64,
    /// The topic of messages, partition by partition, in offset order.
    pub topic: Vec<Event>,
    /// What REST answered about each conversation's log, for those that were read.
    pub rest: BTreeMap<Name, Vec<Event>>,
    /// The topic `message.created`, partition by partition, in offset order.
    pub records: Vec<Record>,
    /// The topic `message.ingest`, in the same way.
    pub ingest: Vec<Wanted>,
    /// What was refused of it.
    pub dead: Vec<DeadLetter>,
    /// Where the messages are that came by Kafka, by what they say.
    pub ingested: BTreeMap<Name, Vec<(Name, u64)>>,
    /// The logs of user events as they were at the end: place and number, by name.
    pub logs: BTreeMap<Name, Vec<(Place, u64)>>,
}

/// What somebody put on `message.created`.
#[derive(Clone, Debug)]
pub struct Record {
    /// Partition and offset.
    pub id: Name,
    pub key: Name,
    pub room: Name,
    pub fingerprint: u64,
    pub created: Ms,
}

/// A message that somebody put on `message.ingest`.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The record's own id, which is also what the message says.
    pub id: Name,
    pub conversation: Name,
    pub sender: Name,
}

#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub id: Name,
    /// Begins with a code.
    pub reason: String,
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
    /// By core's clock, just before the commit; see [`Conversation::correct_times`].
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

    /// Is the event for this session? `id`: of this conversation.
    pub fn is_for(&self, session: &Session, id: &str, seq: u64) -> bool {
        match &session.visit {
            Some(visit) => &*visit.room == id,
            None => self.interval(&session.user, seq).is_some(),
        }
    }

    /// An event was there before the one that follows it, whatever the clock of its core said, and all were by `now`.
    pub fn correct_times(&mut self, now: Ms) {
        let mut latest = now;
        for stored in self.events.iter_mut().rev() {
            latest = stored.created.min(latest);
            stored.created = latest;
        }
    }

    pub fn stored(&self, seq: u64) -> Option<&Stored> {
        let found = self.events.binary_search_by_key(&seq, |stored| stored.event.seq).ok()?;
        self.events.get(found)
    }

    /// The events above `after` and below `before` that the session should get; `id`: of this conversation. A guest is owed
    /// all of them. Whoever left before the session became ready, and came back later, is not owed what it missed of the time
    /// before.
    pub fn owed<'a>(
        &'a self,
        session: &'a Session,
        id: &str,
        after: u64,
        before: u64,
    ) -> impl Iterator<Item = &'a Stored> {
        let is_guest = session.visit.is_some();
        let is_here = if is_guest { self.is_for(session, id, 0) } else { self.members.contains_key(&session.user) };
        // strangers are owed nothing; to find that out event by event would take long
        let after = if is_here { after } else { u64::MAX };
        let from = self.events.partition_point(|stored| stored.event.seq <= after);
        self.events[from..].iter().take_while(move |stored| stored.event.seq < before).filter(move |stored| {
            if is_guest {
                return true;
            }
            let Some(interval) = self.interval(&session.user, stored.event.seq) else { return false };
            let ended = interval.left.and_then(|left| self.stored(left));
            ended.is_none_or(|ended| is_told_of_leaving(session, ended.created))
        })
    }
}

/// Is a session owed a stay that ended at this time? A second for the time between the event's creation and its commit, when
/// the list was read.
fn is_told_of_leaving(session: &Session, left: Ms) -> bool {
    left > session.ready + 1000
}

/// How far conversations go, and whose they are.
#[derive(Debug, Default)]
pub struct Heads {
    pub of_members: HashMap<Name, Vec<(Name, u64)>>,
    /// Who has left what: with which event, and when.
    pub of_leavers: HashMap<Name, Vec<(Name, u64, Ms)>>,
    /// For guests of open rooms.
    pub all: HashMap<Name, u64>,
}

impl Heads {
    /// What a session ought to have seen.
    pub fn of(&self, session: &Session) -> Vec<(Name, u64)> {
        if let Some(visit) = &session.visit {
            return self.all.get_key_value(&visit.room).map(|(id, head)| (id.clone(), *head)).into_iter().collect();
        }
        let leavings = self.of_leavers.get(&session.user).into_iter().flatten();
        let owed = leavings.filter(|(.., at)| is_told_of_leaving(session, *at));
        let mut owed: Vec<(Name, u64)> = owed.map(|(id, left, _)| (id.clone(), *left)).collect();
        owed.extend(self.of_members.get(&session.user).into_iter().flatten().cloned());
        owed
    }
}
