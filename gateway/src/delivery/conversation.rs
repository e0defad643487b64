//! One conversation with members here: its cursor behind its lock.

use std::sync::Arc;

use chatcluster_contracts::ids::ConversationId;
use parking_lot::Mutex;

use super::cursor::Cursor;
use crate::session::Session;

#[derive(Debug)]
pub(super) struct State {
    pub(super) cursor: Cursor<Arc<Session>>,
    /// Somebody is fetching what the cursor lacks: one at a time.
    pub(super) fetching: bool,
}

#[derive(Debug)]
pub struct Conversation {
    pub(crate) id: ConversationId,
    pub(super) state: Mutex<State>,
}

impl Conversation {
    pub(super) fn new(id: ConversationId) -> Self {
        Self { id, state: Mutex::new(State { cursor: Cursor::default(), fetching: false }) }
    }
}
