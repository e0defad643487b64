//! One conversation with members here: its cursor behind its lock.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

use chatcluster_contracts::ids::ConversationId;
use parking_lot::Mutex;

use super::{cursor::Cursor, page::Readings};
use crate::{
    rooms::Seat,
    session::{Session, ticks},
};

#[derive(Debug)]
pub(super) struct State {
    pub(super) cursor: Cursor<Arc<Session>>,
    /// Somebody is fetching what the cursor lacks: one at a time.
    pub(super) fetching: bool,
    /// What sessions on their way in wait for.
    pub(super) readings: Readings,
}

#[derive(Debug)]
pub struct Conversation {
    pub(crate) id: ConversationId,
    /// Kept while the conversation goes by broadcast and is needed here.
    pub(super) room: OnceLock<Seat>,
    pub(super) state: Mutex<State>,
    /// When the cursor began to serve somebody.
    followed_since: AtomicU32,
}

impl Conversation {
    pub(super) fn new(id: ConversationId) -> Self {
        let state = Mutex::new(State { cursor: Cursor::default(), fetching: false, readings: Readings::default() });
        Self { id, room: OnceLock::new(), state, followed_since: AtomicU32::new(0) }
    }

    /// Somebody is about to join the cursor.
    pub(super) fn will_follow(&self, cursor: &Cursor<Arc<Session>>) {
        if cursor.served().is_none() {
            self.followed_since.store(ticks::now(), Ordering::Relaxed);
        }
    }

    /// Has the cursor seen every event since the session came? Else the session may be owed a stay that was over before.
    pub(super) fn is_followed_since(&self, session: &Session) -> bool {
        self.followed_since.load(Ordering::Relaxed) < session.opened
    }
}
