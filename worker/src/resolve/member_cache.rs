//! Which users are members after a conversation's last event seen here. Pure.
//!
//! Membership changes travel in the same partition as messages, so the cache is exact as long as every seq passes by.
//! Whatever breaks that chain is answered by core, who keeps the intervals.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use chatcluster_contracts::{
    event::{EventHead, EventType},
    ids::{ConversationId, UserId},
    seq::Seq,
};

/// Shared by all events between two changes.
pub type MemberList = Arc<[UserId]>;

/// What an event does to the membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    None,
    Joined(&'a UserId),
    Left(&'a UserId),
}

impl<'a> Change<'a> {
    pub fn of(head: &'a EventHead) -> Self {
        match (head.event_type, &head.subject) {
            (EventType::UserJoined, Some(user)) => Self::Joined(user),
            (EventType::UserLeft, Some(user)) => Self::Left(user),
            _ => Self::None,
        }
    }
}

#[derive(Debug)]
struct Entry {
    /// The last event applied.
    version: Seq,
    /// The members after it.
    members: MemberList,
    /// Which of the queue's mentions of this conversation is the latest.
    touched: u64,
}

/// Bounded by the number of members over all conversations; the least recently used conversation goes first.
#[derive(Debug)]
pub struct MemberCache {
    entries: HashMap<ConversationId, Entry>,
    /// Mentions in order of use; outdated ones are skipped.
    uses: VecDeque<(u64, ConversationId)>,
    clock: u64,
    held: usize,
    capacity: usize,
}

impl MemberCache {
    pub fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), uses: VecDeque::new(), clock: 0, held: 0, capacity }
    }

    /// Who is entitled to the event, if the cache can know: it saw the event before this one. Advances to the event.
    pub fn advance(&mut self, conversation: &ConversationId, seq: Seq, change: Change<'_>) -> Option<MemberList> {
        let entry = self.entries.get_mut(conversation)?;
        if entry.version.next() != seq {
            return None;
        }
        let entitled = match change {
            Change::Joined(user) if !entry.members.contains(user) => {
                entry.members.iter().cloned().chain([user.clone()]).collect()
            }
            _ => Arc::clone(&entry.members),
        };
        let after = after(&entitled, change);
        self.held = self.held + after.len() - entry.members.len();
        (entry.version, entry.members) = (seq, after);
        self.touch(conversation);
        Some(entitled)
    }

    /// Takes core's answer for `seq`: those entitled to it. An older answer than what is known changes nothing.
    pub fn fill(&mut self, conversation: &ConversationId, seq: Seq, entitled: &MemberList, change: Change<'_>) {
        let members = after(entitled, change);
        match self.entries.get_mut(conversation) {
            Some(entry) if entry.version >= seq => return,
            Some(entry) => {
                self.held = self.held + members.len() - entry.members.len();
                (entry.version, entry.members) = (seq, members);
            }
            None => {
                self.held += members.len();
                self.entries.insert(conversation.clone(), Entry { version: seq, members, touched: 0 });
            }
        }
        self.touch(conversation);
    }

    fn touch(&mut self, conversation: &ConversationId) {
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(conversation) {
            entry.touched = self.clock;
            self.uses.push_back((self.clock, conversation.clone()));
        }
        while self.held > self.capacity || self.uses.len() > 4 * self.entries.len() + 16 {
            let Some((clock, oldest)) = self.uses.pop_front() else { break };
            let current = self.entries.get(&oldest).is_some_and(|entry| entry.touched == clock);
            if !current {
                continue;
            }
            if self.held > self.capacity {
                self.held -= self.entries.remove(&oldest).map_or(0, |entry| entry.members.len());
            } else {
                // a long queue of few conversations: keep the mention, behind the others
                self.uses.push_back((clock, oldest));
            }
        }
    }
}

/// Those entitled to an event are still members after it, but for who left by it.
fn after(entitled: &MemberList, change: Change<'_>) -> MemberList {
    match change {
        Change::Left(user) => entitled.iter().filter(|member| *member != user).cloned().collect(),
        Change::None | Change::Joined(_) => Arc::clone(entitled),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn conversation(name: &str) -> ConversationId {
        ConversationId::parse(name).unwrap()
    }

    fn list(names: &[&str]) -> MemberList {
        names.iter().map(|name| user(name)).collect()
    }

    #[test]
    fn who_leaves_gets_that_event_and_none_after() {
        let (c, mut cache) = (conversation("c"), MemberCache::new(100));
        cache.fill(&c, Seq::new(4), &list(&["ann", "bob"]), Change::None);
        let joined = cache.advance(&c, Seq::new(5), Change::Joined(&user("cem"))).unwrap();
        assert_eq!(joined, list(&["ann", "bob", "cem"]));
        assert_eq!(cache.advance(&c, Seq::new(6), Change::Left(&user("bob"))).unwrap(), joined);
        assert_eq!(cache.advance(&c, Seq::new(7), Change::None).unwrap(), list(&["ann", "cem"]));
    }

    #[test]
    fn a_gap_or_a_repeat_is_a_question_for_core() {
        let (c, mut cache) = (conversation("c"), MemberCache::new(100));
        assert_eq!(cache.advance(&c, Seq::new(1), Change::None), None);
        cache.fill(&c, Seq::new(4), &list(&["ann"]), Change::None);
        assert_eq!(cache.advance(&c, Seq::new(4), Change::None), None, "a repeat");
        assert_eq!(cache.advance(&c, Seq::new(6), Change::None), None, "a gap");
        cache.fill(&c, Seq::new(2), &list(&["old"]), Change::None);
        assert_eq!(cache.advance(&c, Seq::new(5), Change::None).unwrap(), list(&["ann"]), "an old answer is ignored");
    }

    #[test]
    fn it_stays_within_its_bound() {
        let mut cache = MemberCache::new(10);
        for i in 0..100 {
            cache.fill(&conversation(&format!("c{i}")), Seq::new(1), &list(&["a", "b", "c"]), Change::None);
        }
        assert!(cache.held <= 10 && cache.entries.len() <= 3);
        assert!(cache.advance(&conversation("c99"), Seq::new(2), Change::None).is_some(), "the latest stays");
        for seq in 3..500 {
            cache.advance(&conversation("c99"), Seq::new(seq), Change::None);
        }
        assert!(cache.uses.len() <= 4 * cache.entries.len() + 17);
    }

    proptest! {
        /// Against the plain definition: membership intervals.
        #[test]
        fn it_agrees_with_the_intervals(moves in proptest::collection::vec((0_u8..5, any::<bool>()), 1..60), cold in 0_usize..60) {
            let (c, mut cache) = (conversation("c"), MemberCache::new(1000));
            let mut present: Vec<UserId> = Vec::new();
            for (i, (who, joins)) in moves.iter().enumerate() {
                let (seq, who) = (Seq::new(i as u64 + 1), user(&format!("u{who}")));
                let member = present.contains(&who);
                let change = match (joins, member) {
                    (true, false) => Change::Joined(&who),
                    (false, true) => Change::Left(&who),
                    _ => Change::None,
                };
                if matches!(change, Change::Joined(_)) { present.push(who.clone()); }
                let entitled: MemberList = present.iter().cloned().collect();
                if matches!(change, Change::Left(_)) { present.retain(|user| *user != who); }
                if i == 0 || i == cold {
                    cache.entries.clear();
                    prop_assert_eq!(cache.advance(&c, seq, change), None);
                    cache.fill(&c, seq, &entitled, change);
                } else {
                    prop_assert_eq!(cache.advance(&c, seq, change), Some(entitled));
                }
            }
        }
    }
}
