//! By which road the events of a conversation go, as one partition knows it. Pure: core is asked by the caller.
//!
//! A gateway listens to a room once it knows that the conversation goes by broadcast, and it knows from core when a session
//! comes, or from an event that says so. So the event with which a conversation takes that road goes the other one, too.

use std::{collections::HashMap, sync::Arc};

use chatcluster_contracts::{
    event::EventHead,
    ids::{ConversationId, UserId},
    road::RoomFacts,
    seq::Seq,
};

use super::member_cache::MemberList;

/// Conversations remembered; one more, and all are forgotten.
const CAPACITY: usize = 100_000;
/// The first event tells those of a conversation who were made its members with it: there is none that says so.
const FIRST: Seq = Seq::new(1);

/// Who is to have an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Routed to the gateways of these.
    Members(MemberList),
    /// Published to the room, and routed to the gateways of those who may not listen there yet.
    Room { tell: MemberList },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Road {
    Routed { whatever_its_size: bool },
    Broadcast { whatever_its_size: bool },
}

/// What core says of the members at an event.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// `None`: more than were asked for.
    pub members: Option<MemberList>,
    pub facts: RoomFacts,
}

/// What is to be done for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    Go(Audience),
    /// The members are needed, however many they are.
    AskForAll,
}

#[derive(Debug)]
pub(crate) struct Roads {
    known: HashMap<ConversationId, Road>,
    /// Members that a routed conversation has at most.
    above: u64,
}

impl Roads {
    pub(crate) fn new(above: u64) -> Self {
        Self { known: HashMap::new(), above }
    }

    /// Are they more than a routed conversation has?
    pub(crate) fn are_many(&self, members: &MemberList) -> bool {
        members.len() as u64 > self.above
    }

    /// Members to ask core for: one more than decides.
    pub(crate) fn ask_for(&self) -> u64 {
        self.above.saturating_add(1)
    }

    /// Does the conversation go to the gateways of its members, as far as is known?
    pub(crate) fn is_routed(&self, conversation: &ConversationId) -> bool {
        matches!(self.known.get(conversation), Some(Road::Routed { .. }))
    }

    /// Whom an event of a room is for. `None`: it is not known to go by broadcast.
    pub(crate) fn broadcast(&mut self, head: &EventHead) -> Option<Audience> {
        let Some(Road::Broadcast { whatever_its_size }) = self.known.get(&head.conversation_id).copied() else {
            return None;
        };
        if head.seq == FIRST {
            return None;
        }
        if head.event_type == chatcluster_contracts::event::EventType::UserLeft && !whatever_its_size {
            // it may be small enough for the other road from the next event on
            self.known.remove(&head.conversation_id);
        }
        Some(Audience::Room { tell: subject(head) })
    }

    /// The members of a routed conversation are known. True: they have become too many.
    pub(crate) fn outgrown(&mut self, head: &EventHead, members: &MemberList) -> bool {
        let Some(Road::Routed { whatever_its_size: false }) = self.known.get(&head.conversation_id) else {
            return false;
        };
        let outgrown = self.are_many(members);
        if outgrown {
            self.keep(&head.conversation_id, Road::Broadcast { whatever_its_size: false });
        }
        outgrown
    }

    /// Core's answer decides. `all`: it was asked for all members.
    pub(crate) fn answered(&mut self, head: &EventHead, answer: &Answer, all: bool) -> Next {
        let is_large = answer.members.as_ref().is_none_or(|members| self.are_many(members));
        let road = match (answer.facts.always_broadcast(), answer.facts.never_broadcast()) {
            (true, _) => Road::Broadcast { whatever_its_size: true },
            (_, true) => Road::Routed { whatever_its_size: true },
            _ if is_large => Road::Broadcast { whatever_its_size: false },
            _ => Road::Routed { whatever_its_size: false },
        };
        let next = match (road, &answer.members) {
            (Road::Routed { .. }, Some(members)) => Next::Go(Audience::Members(Arc::clone(members))),
            (Road::Routed { .. }, None) if !all => Next::AskForAll,
            (Road::Broadcast { .. }, None) if head.seq == FIRST && !all => Next::AskForAll,
            // the event by which it outgrew the other road, or the first one; otherwise its gateways know
            (Road::Broadcast { whatever_its_size }, Some(members)) if !whatever_its_size || head.seq == FIRST => {
                Next::Go(Audience::Room { tell: Arc::clone(members) })
            }
            _ => Next::Go(Audience::Room { tell: subject(head) }),
        };
        if next != Next::AskForAll {
            self.keep(&head.conversation_id, road);
        }
        next
    }

    fn keep(&mut self, conversation: &ConversationId, road: Road) {
        if self.known.len() >= CAPACITY {
            self.known.clear();
        }
        self.known.insert(conversation.clone(), road);
    }
}

/// Who joins may be the first of its gateway, and who leaves the last.
fn subject(head: &EventHead) -> MemberList {
    head.subject.iter().cloned().collect::<Vec<UserId>>().into()
}

#[cfg(test)]
mod tests {
    use chatcluster_contracts::{event::EventType, road::Fanout};

    use super::*;

    fn list(count: usize) -> MemberList {
        (0..count).map(|i| UserId::parse(&format!("u{i}")).unwrap()).collect()
    }

    fn head(seq: u64, event_type: EventType) -> EventHead {
        let subject = event_type.changes_membership().then(|| UserId::parse("u0").unwrap());
        EventHead { event_type, conversation_id: ConversationId::parse("c").unwrap(), seq: Seq::new(seq), subject }
    }

    fn answer(members: Option<usize>, open: bool, fanout: Option<Fanout>) -> Answer {
        Answer { members: members.map(list), facts: RoomFacts { open, fanout, members: 0 } }
    }

    const MESSAGE: EventType = EventType::Message;

    #[test]
    fn a_conversation_that_grows_takes_the_other_road_and_says_so_to_everybody() {
        let mut roads = Roads::new(3);
        assert_eq!(roads.broadcast(&head(5, MESSAGE)), None);
        let first = roads.answered(&head(5, MESSAGE), &answer(Some(3), false, None), false);
        assert_eq!(first, Next::Go(Audience::Members(list(3))));
        assert!(roads.is_routed(&head(5, MESSAGE).conversation_id) && !roads.outgrown(&head(6, MESSAGE), &list(3)));
        assert!(roads.outgrown(&head(7, EventType::UserJoined), &list(4)));
        assert_eq!(roads.broadcast(&head(8, MESSAGE)), Some(Audience::Room { tell: list(0) }));
        let joined = roads.broadcast(&head(9, EventType::UserJoined));
        assert_eq!(joined, Some(Audience::Room { tell: list(1) }), "who joined may be the first there");
    }

    #[test]
    fn one_that_shrinks_is_looked_at_again() {
        let mut roads = Roads::new(3);
        let cold = roads.answered(&head(5, EventType::UserJoined), &answer(Some(4), false, None), false);
        assert_eq!(cold, Next::Go(Audience::Room { tell: list(4) }), "perhaps the event by which it grew");
        let left = roads.broadcast(&head(6, EventType::UserLeft));
        assert_eq!(left, Some(Audience::Room { tell: list(1) }), "those left before it were too many");
        assert_eq!(roads.broadcast(&head(7, MESSAGE)), None, "core is asked");
        let small = roads.answered(&head(7, MESSAGE), &answer(Some(3), false, None), false);
        assert_eq!(small, Next::Go(Audience::Members(list(3))));
        let large = roads.answered(&head(8, MESSAGE), &answer(None, false, None), false);
        assert_eq!(large, Next::Go(Audience::Room { tell: list(0) }));
    }

    #[test]
    fn a_choice_counts_more_than_the_size() {
        let mut roads = Roads::new(3);
        let routed = answer(None, false, Some(Fanout::Routed));
        assert_eq!(roads.answered(&head(5, MESSAGE), &routed, false), Next::AskForAll);
        let all = answer(Some(9), false, Some(Fanout::Routed));
        assert_eq!(roads.answered(&head(5, MESSAGE), &all, true), Next::Go(Audience::Members(list(9))));
        assert!(!roads.outgrown(&head(6, MESSAGE), &list(9)));
        for (open, fanout) in [(true, None), (false, Some(Fanout::Broadcast))] {
            let mut roads = Roads::new(3);
            let chosen = answer(Some(2), open, fanout);
            let next = roads.answered(&head(5, MESSAGE), &chosen, false);
            assert_eq!(next, Next::Go(Audience::Room { tell: list(0) }));
            roads.broadcast(&head(6, EventType::UserLeft));
            assert!(roads.broadcast(&head(7, MESSAGE)).is_some(), "whatever its size");
        }
    }

    #[test]
    fn the_first_event_tells_those_who_were_members_before_it() {
        let mut roads = Roads::new(3);
        let open = answer(Some(2), true, None);
        let tell = Next::Go(Audience::Room { tell: list(2) });
        assert_eq!(roads.answered(&head(1, MESSAGE), &open, false), tell);
        assert_eq!(roads.broadcast(&head(1, MESSAGE)), None, "also when it comes again");
        assert_eq!(roads.answered(&head(1, MESSAGE), &answer(None, false, None), false), Next::AskForAll);
        let all = roads.answered(&head(1, MESSAGE), &answer(Some(9), false, None), true);
        assert_eq!(all, Next::Go(Audience::Room { tell: list(9) }));
    }
}
