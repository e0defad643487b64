//! Which of the events that core returns for a backfill are for this user. Pure.

use chatcluster_contracts::{event::EventType, ids::UserId};

use super::cursor::Arrived;

/// Follows one user's membership through a range of events, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entitlement {
    Member,
    /// Left on the way, and has not come back so far.
    Left,
    /// Whoever it is: the room is open.
    Anyone,
}

impl Entitlement {
    /// Is `event` for `user`? Whoever leaves still receives the leaving, whoever joins receives the joining.
    pub fn admits(&mut self, event: &Arrived, user: &UserId) -> bool {
        if *self == Self::Anyone {
            return true;
        }
        let own = event.subject.as_ref() == Some(user);
        match event.event_type {
            EventType::UserJoined if own => *self = Self::Member,
            EventType::UserLeft if own => {
                let was = std::mem::replace(self, Self::Left);
                return was == Self::Member;
            }
            _ => {}
        }
        *self == Self::Member
    }
}
