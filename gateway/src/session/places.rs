//! Where one session stands in its conversations.

use std::sync::Arc;

use chatcluster_contracts::{ids::ConversationId, seq::Seq};

use crate::delivery::Conversation;

/// Guarded by the session; taken after a conversation's lock, never before it.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// The session is over and joins nothing any more.
    pub(crate) closed: bool,
    /// The list of its conversations has not been worked through yet.
    pub(crate) attaching: bool,
    /// The list has been read: a position would be complete.
    pub(crate) listed: bool,
    /// Live: the conversation's cursor serves the session.
    pub(crate) joined: Vec<Arc<Conversation>>,
    /// On their way in: served so far up to this seq.
    pub(crate) pending: Vec<(Arc<Conversation>, Seq)>,
    /// Heard of while attaching, with the highest seq: to be looked at again.
    noted: Vec<(ConversationId, Seq)>,
}

impl Places {
    /// Is somebody bringing the session into this conversation right now, or about to?
    pub(crate) fn is_busy_with(&self, id: &ConversationId) -> bool {
        self.attaching || self.is_pending(id)
    }

    /// Is the session live in the conversation?
    pub(crate) fn is_in(&self, id: &ConversationId) -> bool {
        self.joined.iter().any(|conversation| conversation.id == *id)
    }

    /// Is somebody bringing the session into this conversation?
    pub(crate) fn is_pending(&self, id: &ConversationId) -> bool {
        self.pending.iter().any(|(conversation, _)| conversation.id == *id)
    }

    /// Remembers to look at a conversation again once it is not busy any more.
    pub(crate) fn note(&mut self, id: &ConversationId, seq: Seq) {
        match self.noted.iter_mut().find(|(noted, _)| noted == id) {
            Some((_, highest)) => *highest = seq.max(*highest),
            None => self.noted.push((id.clone(), seq)),
        }
    }

    /// What was noted of conversations that nobody is busy with.
    pub(crate) fn take_noted(&mut self) -> Vec<(ConversationId, Seq)> {
        if self.noted.is_empty() {
            return Vec::new();
        }
        let (busy, free) = std::mem::take(&mut self.noted).into_iter().partition(|(id, _)| self.is_busy_with(id));
        self.noted = busy;
        free
    }

    /// The session is served up to `seq` of a conversation that is on its way in.
    pub(crate) fn advance(&mut self, conversation: &Arc<Conversation>, seq: Seq) {
        if let Some((_, got)) = self.pending.iter_mut().find(|(pending, _)| Arc::ptr_eq(pending, conversation)) {
            *got = seq;
        }
    }

    pub(crate) fn end_pending(&mut self, conversation: &Arc<Conversation>) {
        self.pending.retain(|(pending, _)| !Arc::ptr_eq(pending, conversation));
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
    }
}
