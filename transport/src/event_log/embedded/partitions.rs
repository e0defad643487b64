//! The ends of all partitions, and their last records in memory: consumers that keep up never read the file.

use std::collections::{HashMap, VecDeque};

use tokio::sync::watch;

use crate::event_log::{Record, TopicPartition};

/// Bounds of what is kept in memory per partition.
const TAIL_RECORDS: usize = 256;
const TAIL_BYTES: usize = 256 * 1024;

/// Ends by (topic name, partition); dead letters have names of their own.
pub(super) type Heads = HashMap<(String, i32), i64>;

#[derive(Default)]
struct Tail {
    records: VecDeque<Record>,
    bytes: usize,
}

pub(super) struct Partitions {
    heads: Heads,
    tails: HashMap<TopicPartition, Tail>,
    /// Counts appends; consumers wait on it.
    appended: watch::Sender<u64>,
}

/// Where the next records of a partition are.
pub(super) enum Found {
    Nothing,
    InMemory(Vec<Record>),
    InFile,
}

impl Partitions {
    pub(super) fn new(heads: Heads) -> Self {
        Self { heads, tails: HashMap::new(), appended: watch::Sender::new(0) }
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.appended.subscribe()
    }

    pub(super) fn heads(&self) -> &Heads {
        &self.heads
    }

    /// The offset the next record will have.
    pub(super) fn head(&self, place: TopicPartition) -> i64 {
        // A borrowed pair cannot look up an owned one; names are short and this is off the append path.
        self.heads.get(&(place.topic.default_name().to_owned(), place.partition)).copied().unwrap_or(0)
    }

    /// Makes records visible that are on disk by now (or never will be, if they are ephemeral).
    pub(super) fn appended(&mut self, heads: Heads, records: Vec<Record>) {
        self.heads.extend(heads);
        for record in records {
            let tail = self.tails.entry(record.partition).or_default();
            tail.bytes += record.value.len();
            tail.records.push_back(record);
            while tail.records.len() > TAIL_RECORDS || (tail.bytes > TAIL_BYTES && tail.records.len() > 1) {
                if let Some(gone) = tail.records.pop_front() {
                    tail.bytes -= gone.value.len();
                }
            }
        }
        self.appended.send_modify(|count| *count += 1);
    }

    /// What follows from offset `next` on, at most `max` records.
    pub(super) fn from(&self, place: TopicPartition, next: i64, max: usize, only_in_memory: bool) -> Found {
        if next >= self.head(place) {
            return Found::Nothing;
        }
        let tail = self.tails.get(&place).map(|tail| &tail.records);
        match tail.and_then(|records| Some((records, records.front()?.offset))) {
            Some((records, first)) if next >= first || only_in_memory => {
                let skip = usize::try_from(next - first).unwrap_or(0);
                Found::InMemory(records.iter().skip(skip).take(max).cloned().collect())
            }
            _ if only_in_memory => Found::Nothing,
            _ => Found::InFile,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chatcluster_contracts::topics::Topic;

    use super::*;

    #[test]
    fn the_tail_is_bounded_and_older_records_are_in_the_file() {
        let place = TopicPartition { topic: Topic::Status, partition: 1 };
        let mut partitions = Partitions::new(Heads::new());
        let head = i64::try_from(TAIL_RECORDS).unwrap() + 10;
        let record = |offset| Record {
            partition: place,
            offset,
            key: None,
            value: Bytes::from_static(b"x"),
            headers: Vec::new(),
            timestamp_ms: 0,
        };
        let heads = Heads::from([((place.topic.default_name().to_owned(), 1), head)]);
        partitions.appended(heads, (0..head).map(record).collect());
        assert!(matches!(partitions.from(place, 9, 5, false), Found::InFile));
        assert!(matches!(partitions.from(place, head, 5, false), Found::Nothing));
        match partitions.from(place, 12, 5, false) {
            Found::InMemory(records) => {
                assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [12, 13, 14, 15, 16]);
            }
            _ => panic!("expected records"),
        }
    }
}
