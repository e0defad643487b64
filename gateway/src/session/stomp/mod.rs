//! STOMP on the platform.
//!
//! The way in: [`listener`] reads frames, [`connect`] answers the first one, `platform` does what the others ask, [`body`]
//! reads what a SEND says and [`cover`] brings the session into the conversations that its subscriptions cover. The way
//! out is [`Stomp`], which every session that speaks it has: `deliver` hands out messages, which [`frames`] and [`notice`]
//! make, and `say` everything else.
//!
//! The lock in here is taken after that of a session's places and before that of its queue. It is held while a frame is
//! queued, so that what a frame says (its position, its number to acknowledge) is true of those queued before it.

mod answers;
mod behind;
mod body;
mod connect;
mod cover;
mod deliver;
mod frames;
mod here;
mod listener;
mod notice;
mod platform;
mod room;
mod say;
mod watermarks;

use std::sync::atomic::{AtomicU32, Ordering};

use chatcluster_contracts::{ids::ConversationId, seq::Seq};
use parking_lot::Mutex;

use self::{answers::Answers, watermarks::Watermarks};
pub(crate) use self::{
    answers::CommitKey,
    behind::{Behind, Done},
    connect::welcome,
    frames::{Frames, Reader, SharedFrames},
    here::Here,
    listener::Listener,
    notice::Notice,
    platform::Platform,
};
use super::{
    deadlines::Beats,
    ticks::{self, Tick},
};
use crate::protocol::stomp::{
    Version, connect as handshake,
    destination::SubscribeTo,
    ledger::Ledger,
    subscriptions::{Key, Subscriptions},
};

/// Subscriptions of one session.
const MAX_SUBSCRIPTIONS: usize = 64;
/// Messages that one session has not acknowledged.
const MAX_UNACKNOWLEDGED: usize = 1000;

/// What a message is that waits for its acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sent {
    Event(ConversationId, Seq),
    Notice(u64),
}

impl Sent {
    fn is(&self, message_id: &str) -> bool {
        match self {
            Self::Event(conversation, seq) => frames::message_id(conversation, *seq) == message_id,
            Self::Notice(number) => notice::message_id(*number) == message_id,
        }
    }

    fn event(self) -> Option<(ConversationId, Seq)> {
        match self {
            Self::Event(conversation, seq) => Some((conversation, seq)),
            Self::Notice(_) => None,
        }
    }
}

/// A SUBSCRIBE that is not live yet.
#[derive(Debug)]
struct Asked {
    key: Key,
    receipt: Option<Box<str>>,
    /// The list of conversations has been read for it.
    listed: bool,
}

#[derive(Debug)]
struct State {
    /// Before CONNECTED the one whose frames every client reads.
    version: Version,
    /// Nothing is delivered any more.
    over: bool,
    /// An ERROR was said, and nothing is said after it.
    said_error: bool,
    /// Somebody reads the list of conversations for new subscriptions.
    covering: bool,
    subscriptions: Subscriptions<SubscribeTo>,
    ledger: Ledger<Sent>,
    watermarks: Watermarks,
    answers: Answers,
    #[expect(clippy::box_collection, reason = "eight bytes where nothing is asked")]
    asked: Option<Box<Vec<Asked>>>,
}

/// What a session that speaks STOMP is besides.
#[derive(Debug)]
pub(crate) struct Stomp {
    state: Mutex<State>,
    /// Agreed heart-beats in ticks, 0: none; and when the last one went out.
    beat_every: AtomicU32,
    expect_every: AtomicU32,
    beaten: AtomicU32,
}

impl Stomp {
    pub(super) fn new() -> Self {
        let state = State {
            version: Version::V1_0,
            over: false,
            said_error: false,
            covering: false,
            subscriptions: Subscriptions::new(),
            ledger: Ledger::new(),
            watermarks: Watermarks::default(),
            answers: Answers::default(),
            asked: None,
        };
        let none = || AtomicU32::new(0);
        Self { state: Mutex::new(state), beat_every: none(), expect_every: none(), beaten: none() }
    }

    /// Does a subscription cover the conversation?
    pub(super) fn covers(&self, conversation: &ConversationId) -> bool {
        self.state.lock().subscriptions.iter().any(|subscription| covers(&subscription.destination, conversation))
    }

    /// Is there a subscription to the room?
    pub(super) fn shows_room(&self, room: &ConversationId) -> bool {
        self.state.lock().subscriptions.iter().any(|it| matches!(&it.destination, SubscribeTo::Room(id) if id == room))
    }

    /// May more be sent that is to be acknowledged?
    pub(super) fn has_room(&self) -> bool {
        self.state.lock().ledger.len() <= MAX_UNACKNOWLEDGED / 2
    }

    pub(super) fn beats(&self) -> Beats {
        let every = |ticks: &AtomicU32| Some(ticks.load(Ordering::Relaxed)).filter(|ticks| *ticks > 0);
        Beats {
            send_every: every(&self.beat_every),
            expect_every: every(&self.expect_every),
            sent: self.beaten.load(Ordering::Relaxed),
        }
    }

    pub(super) fn beat(&self, now: Tick) {
        self.beaten.store(now, Ordering::Relaxed);
    }

    /// CONNECTED is next.
    fn connected(&self, version: Version, beats: handshake::Beats) {
        self.state.lock().version = version;
        self.beaten.store(ticks::now(), Ordering::Relaxed);
        let every = |beat: Option<std::time::Duration>| beat.map_or(0, ticks::of);
        self.beat_every.store(every(beats.send_every), Ordering::Relaxed);
        self.expect_every.store(every(beats.expect_every), Ordering::Relaxed);
    }
}

/// Is an event for the subscription? `as_guest`: it is told because the session visits the room.
fn shows(to: &SubscribeTo, conversation: &ConversationId, as_guest: bool) -> bool {
    matches!(to, SubscribeTo::Room(id) if id == conversation) || (!as_guest && covers(to, conversation))
}

/// Does the subscription make the session one of a member's?
fn covers(to: &SubscribeTo, conversation: &ConversationId) -> bool {
    match to {
        SubscribeTo::Messages => true,
        SubscribeTo::Conversation(id) => id == conversation,
        _ => false,
    }
}
