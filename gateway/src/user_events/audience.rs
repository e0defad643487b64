//! Those who listen to one name on this gateway, and their seats.

use std::sync::Arc;

use bytes::Bytes;
use chatcluster_contracts::{ids::UserId, log_id::LogId};
use chatcluster_transport::channels::Page;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Road, UserEvents, encode, request::Wanted};
use crate::{
    delivery::Touched,
    session::{Carrier, Priority, Session, rate::TokenBucket, ticks},
};

#[derive(Debug)]
pub(super) struct Audience {
    pub(super) name: UserId,
    pub(super) state: Mutex<State>,
    /// There may be something new in the log.
    pub(super) news: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    /// Those who hear what is published.
    pub(super) live: Vec<Arc<Session>>,
    /// What was published while their handshakes were on the way.
    early: Vec<Early>,
    /// Those who hear what is in the log.
    pub(super) followers: Vec<Follower>,
    /// All followers were told everything up to here.
    pub(super) cursor: LogId,
    /// The lowest entry that a notice spoke of since the last look at the log.
    pub(super) noticed: Option<LogId>,
    /// Notices may have been missed, and the log may be another one.
    pub(super) unsure: bool,
    /// A task tells the followers.
    pub(super) is_followed: bool,
    /// Taken seats of each road, sessions and handshakes.
    pub(super) seats: [usize; 2],
    /// Messages of each road that may pass now.
    pub(super) buckets: [TokenBucket; 2],
}

#[derive(Debug)]
struct Early {
    key: u64,
    payloads: Vec<Bytes>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Follower {
    pub(super) session: Arc<Session>,
    pub(super) ids: bool,
    /// It knows everything up to here.
    pub(super) after: LogId,
}

/// Which of a name's channels a seat needs.
pub(super) const fn index(road: Road) -> usize {
    match road {
        Road::Live => 0,
        Road::Log(_) => 1,
    }
}

impl Audience {
    pub(super) fn new(name: UserId, rate: u32) -> Self {
        let state = State {
            live: Vec::new(),
            early: Vec::new(),
            followers: Vec::new(),
            cursor: LogId::default(),
            noticed: None,
            unsure: false,
            is_followed: false,
            seats: [0; 2],
            buckets: [TokenBucket::full(rate, ticks::now()); 2],
        };
        Self { name, state: Mutex::new(state), news: Notify::new() }
    }

    /// Hands a payload to everybody who hears what is published. Answers how many they are.
    pub(super) fn publish(&self, payload: &Bytes, queue_limit: usize, touched: &mut Touched) -> usize {
        let mut state = self.state.lock();
        for early in &mut state.early {
            // a handshake is short; whoever publishes that much meanwhile would overflow the session's queue as well
            if early.bytes + payload.len() <= queue_limit {
                early.bytes += payload.len();
                early.payloads.push(payload.clone());
            }
        }
        let mut frames = Frames::default();
        for session in &state.live {
            let carrier = session.form().carrier;
            touched.enqueue(session, frames.get(carrier, false, || encode::plain(carrier, payload)), Priority::Needed);
        }
        state.live.len()
    }
}

impl State {
    /// An entry stands in the log.
    pub(super) fn notice(&mut self, entry: LogId) {
        if self.is_followed {
            self.noticed = Some(self.noticed.map_or(entry, |noticed| noticed.min(entry)));
        }
    }

    /// The log could not be read: what was to be looked for there still is.
    pub(super) fn doubt(&mut self, noticed: Option<LogId>, unsure: bool) {
        self.unsure |= unsure;
        if let Some(entry) = noticed {
            self.notice(entry);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.live.len() + self.followers.len()
    }

    pub(super) fn taken(&self) -> usize {
        self.seats.iter().sum()
    }

    /// Keeps what is published for a handshake.
    pub(super) fn expect(&mut self, key: u64) {
        self.early.push(Early { key, payloads: Vec::new(), bytes: 0 });
    }

    pub(super) fn forget(&mut self, key: u64) -> Vec<Bytes> {
        let found = self.early.iter().position(|early| early.key == key);
        found.map(|at| self.early.swap_remove(at).payloads).unwrap_or_default()
    }

    /// True: the session was one of them.
    pub(super) fn leave(&mut self, session: &Arc<Session>) -> Option<usize> {
        if let Some(at) = self.live.iter().position(|it| Arc::ptr_eq(it, session)) {
            self.live.swap_remove(at);
            return Some(0);
        }
        let at = self.followers.iter().position(|it| Arc::ptr_eq(&it.session, session))?;
        self.followers.swap_remove(at);
        Some(1)
    }
}

/// The encodings of one event.
#[derive(Debug, Default)]
pub(super) struct Frames(Vec<(Carrier, bool, Bytes)>);

impl Frames {
    pub(super) fn get(&mut self, carrier: Carrier, ids: bool, encode: impl FnOnce() -> Bytes) -> Bytes {
        if let Some((_, _, frame)) = self.0.iter().find(|(its, with_ids, _)| (*its, *with_ids) == (carrier, ids)) {
            return frame.clone();
        }
        let frame = encode();
        self.0.push((carrier, ids, frame.clone()));
        frame
    }
}

/// One connection's place among those who listen to a name, from its handshake on. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(super) hub: Arc<UserEvents>,
    pub(super) audience: Arc<Audience>,
    pub(crate) wanted: Wanted,
    /// What of the log is heard first, on the log's road.
    pub(super) past: Option<Page>,
    /// Names the handshake.
    pub(super) key: u64,
    /// The session has it.
    pub(super) is_settled: bool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_settled {
            self.hub.vacate(&self.audience, index(self.wanted.road), Some(self.key));
        }
    }
}
