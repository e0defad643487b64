//! How far a client has been served, kept for those whose every message names the position after it: they have no other
//! way to say it when they come back.

use chatcluster_contracts::{
    ids::ConversationId,
    position::{self, Resume},
    seq::Seq,
};
use parking_lot::{Mutex, MutexGuard};

#[derive(Debug, Default)]
pub(crate) struct Positions {
    served: Mutex<Resume>,
    /// Held from the making of a frame to its queueing.
    order: Mutex<()>,
}

/// The position after one event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) text: String,
    /// It is the same for everybody who was served this event and follows this conversation only.
    pub(crate) is_common: bool,
}

impl Positions {
    /// To be held from the making of a frame to its queueing: no other frame may name a position that this one has not
    /// brought the client to.
    pub(crate) fn in_order(&self) -> MutexGuard<'_, ()> {
        self.order.lock()
    }

    /// The client has everything of the conversation up to `seq`.
    pub(crate) fn set(&self, id: &ConversationId, seq: Seq) {
        let mut served = self.served.lock();
        match served.get_mut(id) {
            Some(known) => *known = seq.max(*known),
            None => drop(served.insert(id.clone(), seq)),
        }
    }

    /// The client begins in the conversation after `seq`, whatever was known before.
    pub(crate) fn put(&self, id: &ConversationId, seq: Seq) {
        self.served.lock().insert(id.clone(), seq);
    }

    /// Does the client follow no other conversation?
    pub(crate) fn has_only(&self, id: &ConversationId) -> bool {
        let served = self.served.lock();
        served.len() == usize::from(served.contains_key(id))
    }

    pub(crate) fn all(&self) -> Resume {
        self.served.lock().clone()
    }

    /// Forgets the conversations that do not count any more.
    pub(crate) fn retain(&self, mut counts: impl FnMut(&ConversationId) -> bool) {
        self.served.lock().retain(|id, _| counts(id));
    }

    /// The client is served event `seq` of the conversation.
    pub(crate) fn after(&self, id: &ConversationId, seq: Seq) -> Position {
        self.set(id, seq);
        let served = self.served.lock();
        Position { text: position::encode(&served), is_common: served.len() == 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_common_while_there_is_one_conversation() {
        let (a, b): (ConversationId, ConversationId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let positions = Positions::default();
        assert_eq!(positions.after(&a, Seq::new(4)), Position { text: "1;a=4".into(), is_common: true });
        positions.set(&b, Seq::new(7));
        positions.set(&b, Seq::new(6));
        assert_eq!(positions.after(&a, Seq::new(5)), Position { text: "1;a=5;b=7".into(), is_common: false });
        positions.retain(|id| *id == b);
        assert!(positions.has_only(&b) && !positions.has_only(&a));
        assert!(positions.after(&b, Seq::new(8)).is_common);
        positions.put(&b, Seq::new(2));
        assert_eq!(position::encode(&positions.all()), "1;b=2");
        positions.retain(|id| *id == a);
        assert!(positions.has_only(&a), "or none at all");
    }
}
