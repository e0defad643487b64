//! Consumer groups inside the process: who owns which partition and where each group stands. Decisions only.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use chatcluster_contracts::topics::Topic;
use tokio::sync::Notify;

use crate::event_log::{TopicPartition, is_ephemeral};

pub(super) type MemberId = u64;

struct Member {
    topics: Vec<Topic>,
    /// Rung when partitions are to be given up or may be taken.
    wake: Arc<Notify>,
}

/// What a member has to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Revoked(Vec<TopicPartition>),
    /// Each with the offset to read from, if the group ever finished anything there.
    Assigned(Vec<(TopicPartition, Option<i64>)>),
}

#[derive(Default)]
pub(super) struct GroupState {
    members: BTreeMap<MemberId, Member>,
    last_member: MemberId,
    owners: HashMap<TopicPartition, MemberId>,
    /// The next offset to read, per partition.
    finished: HashMap<TopicPartition, i64>,
    changed: HashSet<TopicPartition>,
}

impl GroupState {
    pub(super) fn restore(&mut self, place: TopicPartition, next: i64) {
        self.finished.insert(place, next);
    }

    pub(super) fn join(&mut self, topics: &[Topic], wake: Arc<Notify>) -> MemberId {
        self.last_member += 1;
        self.members.insert(self.last_member, Member { topics: topics.to_vec(), wake });
        self.wake_all();
        self.last_member
    }

    pub(super) fn leave(&mut self, member: MemberId) {
        self.members.remove(&member);
        self.owners.retain(|_, owner| *owner != member);
        self.wake_all();
    }

    fn wake_all(&self) {
        self.members.values().for_each(|member| member.wake.notify_one());
    }

    /// Deals the partitions of each topic out to the members that want it, in turn.
    fn target(&self, member: MemberId) -> HashSet<TopicPartition> {
        let mut mine = HashSet::new();
        let mut turn = 0;
        for topic in Topic::ALL {
            let interested: Vec<MemberId> =
                self.members.iter().filter(|(_, other)| other.topics.contains(&topic)).map(|(id, _)| *id).collect();
            if interested.is_empty() {
                continue;
            }
            for partition in 0..topic.partitions().cast_signed() {
                if interested[turn % interested.len()] == member {
                    mine.insert(TopicPartition { topic, partition });
                }
                turn += 1;
            }
        }
        mine
    }

    /// The next change of this member's assignment. A partition passes on once its owner has been told.
    pub(super) fn step(&mut self, member: MemberId) -> Option<Step> {
        let target = self.target(member);
        let mut revoked: Vec<TopicPartition> = self
            .owners
            .iter()
            .filter(|(place, owner)| **owner == member && !target.contains(place))
            .map(|(place, _)| *place)
            .collect();
        if !revoked.is_empty() {
            revoked.sort();
            self.owners.retain(|place, _| !revoked.contains(place));
            self.wake_all();
            return Some(Step::Revoked(revoked));
        }
        let mut assigned: Vec<TopicPartition> =
            target.into_iter().filter(|place| !self.owners.contains_key(place)).collect();
        if assigned.is_empty() {
            return None;
        }
        assigned.sort();
        self.owners.extend(assigned.iter().map(|place| (*place, member)));
        Some(Step::Assigned(assigned.into_iter().map(|place| (place, self.finished.get(&place).copied())).collect()))
    }

    /// Everything up to and including `offset` is finished, if this member still owns the partition. Answers whether
    /// there is something to keep.
    pub(super) fn finished(&mut self, member: MemberId, place: TopicPartition, offset: i64) -> bool {
        let further = self.finished.get(&place).is_none_or(|next| offset >= *next);
        if !further || self.owners.get(&place) != Some(&member) {
            return false;
        }
        self.finished.insert(place, offset + 1);
        !is_ephemeral(place.topic) && self.changed.insert(place)
    }

    pub(super) fn position(&self, place: TopicPartition) -> Option<i64> {
        self.finished.get(&place).copied()
    }

    /// Positions that are not on disk yet.
    pub(super) fn take_changed(&mut self) -> Vec<(TopicPartition, i64)> {
        self.changed.drain().filter_map(|place| Some((place, *self.finished.get(&place)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wake() -> Arc<Notify> {
        Arc::new(Notify::new())
    }

    fn places(step: Option<Step>) -> Vec<TopicPartition> {
        match step {
            Some(Step::Assigned(list)) => list.into_iter().map(|(place, _)| place).collect(),
            Some(Step::Revoked(list)) => list,
            None => Vec::new(),
        }
    }

    #[test]
    fn a_partition_has_one_owner_and_moves_after_its_revocation() {
        let mut group = GroupState::default();
        let first = group.join(&[Topic::Messages], wake());
        assert_eq!(places(group.step(first)).len(), 12);
        let second = group.join(&[Topic::Messages], wake());
        assert_eq!(group.step(second), None, "all partitions are still the first member's");
        let moved = places(group.step(first));
        assert_eq!(moved.len(), 6);
        assert!(group.finished(first, TopicPartition { topic: Topic::Messages, partition: 0 }, 4));
        assert!(!group.finished(first, moved[0], 4), "no longer its own");
        assert_eq!(places(group.step(second)), moved);
        group.leave(second);
        assert_eq!(places(group.step(first)), moved);
    }

    #[test]
    fn the_next_owner_goes_on_where_the_group_stands() {
        let mut group = GroupState::default();
        let first = group.join(&[Topic::Status], wake());
        let place = places(group.step(first))[0];
        assert!(group.finished(first, place, 6));
        assert!(!group.finished(first, place, 5), "never backwards");
        group.leave(first);
        let second = group.join(&[Topic::Status], wake());
        match group.step(second) {
            Some(Step::Assigned(list)) => assert!(list.contains(&(place, Some(7)))),
            other => panic!("{other:?}"),
        }
        assert_eq!(group.take_changed(), [(place, 7)]);
    }
}
