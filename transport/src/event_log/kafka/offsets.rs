//! What a member has finished and what it still has to commit: the decisions, without Kafka.

use std::collections::BTreeMap;

use crate::event_log::TopicPartition;

/// Per assigned partition.
#[derive(Debug, Default)]
struct Progress {
    /// The first record seen in this assignment. Work from before it belongs to an earlier assignment, and another
    /// member may have committed past it meanwhile.
    first: Option<i64>,
    /// The next offset to read for whoever starts from here.
    finished: Option<i64>,
    committed: Option<i64>,
    /// The end of the partition, as last reported.
    end: Option<i64>,
}

#[derive(Debug, Default)]
pub(super) struct Offsets {
    assigned: BTreeMap<TopicPartition, Progress>,
}

impl Offsets {
    pub(super) fn assign(&mut self, partitions: &[TopicPartition]) {
        self.assigned.extend(partitions.iter().map(|partition| (*partition, Progress::default())));
    }

    /// Forgets the partitions and returns what of theirs is still to be committed.
    pub(super) fn revoke(&mut self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, i64)> {
        partitions
            .iter()
            .filter_map(|partition| {
                let progress = self.assigned.remove(partition)?;
                Some((*partition, progress.uncommitted()?))
            })
            .collect()
    }

    pub(super) fn delivered(&mut self, partition: TopicPartition, offset: i64) {
        if let Some(progress) = self.assigned.get_mut(&partition) {
            progress.first.get_or_insert(offset);
            progress.end = progress.end.max(Some(offset + 1));
        }
    }

    /// Everything up to and including `offset` is finished. Answers whether that is news.
    pub(super) fn finished(&mut self, partition: TopicPartition, offset: i64) -> bool {
        let Some(progress) = self.assigned.get_mut(&partition) else { return false };
        if progress.first.is_none_or(|first| offset < first) || progress.finished > Some(offset) {
            return false;
        }
        progress.finished = Some(offset + 1);
        true
    }

    /// What is finished and not committed, now taken to be committed: [`Self::not_committed`] takes it back.
    pub(super) fn take_uncommitted(&mut self) -> Vec<(TopicPartition, i64)> {
        self.assigned
            .iter_mut()
            .filter_map(|(partition, progress)| {
                let next = progress.uncommitted()?;
                progress.committed = Some(next);
                Some((*partition, next))
            })
            .collect()
    }

    /// A commit failed: all of it is to be committed again.
    pub(super) fn not_committed(&mut self) {
        for progress in self.assigned.values_mut() {
            progress.committed = None;
        }
    }

    /// What the brokers say of a partition: its end, and where the group stands (negative: unknown).
    pub(super) fn reported(&mut self, partition: TopicPartition, end: i64, committed: i64) {
        if let Some(progress) = self.assigned.get_mut(&partition) {
            progress.end = progress.end.max(Some(end).filter(|end| *end >= 0));
            if progress.finished.is_none() && committed >= 0 {
                progress.committed = Some(committed);
            }
        }
    }

    pub(super) fn lag(&self) -> u64 {
        self.assigned
            .values()
            .filter_map(|progress| {
                let from = progress.finished.or(progress.first).or(progress.committed)?;
                u64::try_from(progress.end? - from).ok()
            })
            .sum()
    }
}

impl Progress {
    fn uncommitted(&self) -> Option<i64> {
        self.finished.filter(|_| self.finished != self.committed)
    }
}

#[cfg(test)]
mod tests {
    use chatcluster_contracts::topics::Topic;

    use super::*;

    const ZERO: TopicPartition = TopicPartition { topic: Topic::Messages, partition: 0 };

    #[test]
    fn only_what_is_finished_is_committed_and_only_once() {
        let mut offsets = Offsets::default();
        offsets.assign(&[ZERO]);
        offsets.delivered(ZERO, 5);
        offsets.delivered(ZERO, 6);
        assert!(offsets.take_uncommitted().is_empty());
        assert!(offsets.finished(ZERO, 5));
        assert_eq!(offsets.take_uncommitted(), [(ZERO, 6)]);
        assert!(offsets.take_uncommitted().is_empty());
        offsets.not_committed();
        assert_eq!(offsets.take_uncommitted(), [(ZERO, 6)]);
        assert!(offsets.finished(ZERO, 6));
        assert!(!offsets.finished(ZERO, 5), "never backwards");
        assert_eq!(offsets.revoke(&[ZERO]), [(ZERO, 7)]);
    }

    #[test]
    fn work_of_an_earlier_assignment_commits_nothing() {
        let mut offsets = Offsets::default();
        offsets.assign(&[ZERO]);
        offsets.delivered(ZERO, 5);
        offsets.revoke(&[ZERO]);
        assert!(!offsets.finished(ZERO, 5));
        offsets.assign(&[ZERO]);
        assert!(!offsets.finished(ZERO, 5), "nothing was delivered in this assignment");
        offsets.delivered(ZERO, 9);
        assert!(!offsets.finished(ZERO, 5), "another member went on to 9");
        assert!(offsets.finished(ZERO, 9));
    }

    #[test]
    fn lag_counts_what_is_not_finished() {
        let mut offsets = Offsets::default();
        offsets.assign(&[ZERO]);
        assert_eq!(offsets.lag(), 0);
        offsets.reported(ZERO, 30, 10);
        assert_eq!(offsets.lag(), 20);
        offsets.delivered(ZERO, 10);
        offsets.finished(ZERO, 19);
        assert_eq!(offsets.lag(), 10);
    }
}
