//! What the clients of a run did and saw: the input of every check. No clock, no sockets.
//!
//! Rooms: `event` is an event wherever it is seen, [`outside`] is what services beside the platform did and saw.

mod event;
pub mod outside;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use self::event::{Event, fingerprint};
use self::outside::{Listening, Produced, Published};

/// Milliseconds since the run began.
pub type Ms = u64;
/// An id, shared by all entries that carry it.
pub type Name = Arc<str>;

/// One message that a user wanted to send, over all attempts.
#[derive(Clone, Debug)]
pub struct Sending {
    pub client_msg_id: Name,
    pub user: Name,
    pub conversation: Name,
    /// It would have been sent at that time whatever else happened: those are counted for the goodput.
    pub open_loop: bool,
    pub first_at: Ms,
    pub attempts: u32,
    /// Every acknowledgement that came.
    pub acks: Vec<Ack>,
    /// The code of a refusal that is final (`not_a_member`, ...), if the only attempt was answered with one.
    pub refused: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    pub at: Ms,
    pub conversation: Name,
    pub message_id: Name,
    pub seq: u64,
}

/// What a session is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Reads whatever comes.
    Reading,
    /// Reads a kilobyte a second, or nothing: has to be cut, and nobody else may notice.
    Slow,
    /// A guest who is in no room: whatever comes is not for it.
    Waiting,
}

/// Who ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    Server,
    Client,
}

#[derive(Clone, Debug)]
pub struct End {
    pub at: Ms,
    /// Of the close frame, when there was one.
    pub code: Option<u16>,
    pub by: EndedBy,
}

/// One connection of one device, from CONNECT to its end.
#[derive(Clone, Debug)]
pub struct Session {
    /// Sessions of one device follow each other and resume each other.
    pub device: u32,
    pub user: Name,
    pub gateway: usize,
    pub conduct: Conduct,
    /// It is a part of a connection: one stay in an open room, of which nothing else is heard.
    pub visit: Option<Visit>,
    /// When CONNECTED came, or when the stay began.
    pub ready: Ms,
    /// Still open: `None`.
    pub end: Option<End>,
    /// Up to where the client said that it had seen each conversation.
    pub claims: BTreeMap<Name, u64>,
    /// The claims were made one by one; otherwise they came as a `position`, which may stand before what was seen.
    pub exact: bool,
    /// When the token ends.
    pub expires: Option<Ms>,
    /// When the platform had answered that the login is ended which the token came of.
    pub signed_out: Option<Ms>,
    /// In the order in which it came.
    pub seen: Vec<Seen>,
}

#[cfg(test)]
impl Session {
    /// That reads, is open still and has seen nothing yet.
    pub fn reading(user: &str, ready: Ms) -> Self {
        Self {
            device: 1,
            user: user.into(),
            gateway: 0,
            conduct: Conduct::Reading,
            visit: None,
            ready,
            end: None,
            claims: BTreeMap::new(),
            exact: true,
            expires: None,
            signed_out: None,
            seen: Vec::new(),
        }
    }
}

/// A guest's stay in an open room. Where it stands in the room's conversation is claimed like any other place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    pub room: Name,
    /// The records behind this one were asked for; otherwise those that come from now on.
    pub since: Option<Name>,
    /// When it was said that the stay has begun.
    pub live: Option<Ms>,
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Ms,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Event(Event),
    /// The events `from..=head` will not come.
    Resync {
        conversation: Name,
        from: u64,
        head: u64,
    },
    /// TYPING, STATUS: something of a conversation that has no seq.
    Other {
        conversation: Name,
    },
    /// What a service put on `message.created`.
    Record {
        room: Name,
        /// Partition and offset.
        id: Name,
        fingerprint: u64,
    },
    /// Records of the room may be missing; those behind `since`, if that is said.
    Gap {
        room: Name,
        since: Option<Name>,
    },
}

impl What {
    /// The id of a record.
    pub fn record(&self) -> Option<&str> {
        if let Self::Record { id, .. } = self { Some(id) } else { None }
    }
}

/// How far the workers' consumer group had committed while Redis answered nobody: at its start and at its end.
#[derive(Clone, Debug, Default)]
pub struct Stillness {
    pub at: Ms,
    /// Partition and committed offset.
    pub first: BTreeMap<i32, i64>,
    pub last: BTreeMap<i32, i64>,
}

/// A fault that was done.
#[derive(Clone, Debug)]
pub struct Happened {
    pub name: String,
    /// Nobody but the sessions on this gateway has an excuse.
    pub gateway: Option<usize>,
    pub at: Ms,
    /// When everything was up again.
    pub healed: Ms,
}

/// Everything that was recorded.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub sendings: Vec<Sending>,
    pub sessions: Vec<Session>,
    pub faults: Vec<Happened>,
    pub stillness: Vec<Stillness>,
    /// Records that Kafka has taken from services beside the platform.
    pub produced: Vec<Produced>,
    /// User events.
    pub published: Vec<Published>,
    /// Those who listen to user events.
    pub listening: Vec<Listening>,
    /// Most resident memory of a gateway that was seen, in bytes.
    pub gateway_memory: u64,
    /// When the offered load began.
    pub load_start: Ms,
    /// When it ended.
    pub load_end: Ms,
    /// When recording ended.
    pub end: Ms,
}
