//! What happens inside librdkafka's callbacks: rebalances, commit results, statistics, logs.

use std::{
    collections::{HashMap, VecDeque},
    sync::LazyLock,
    time::{Duration, Instant},
};

use chatcluster_contracts::topics::Names;
use parking_lot::Mutex;
use rdkafka::{
    ClientContext, Offset, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext},
    error::{KafkaError, KafkaResult},
    types::RDKafkaRespErr,
};
use tokio::sync::Notify;

use super::offsets::Offsets;
use crate::event_log::{Consumed, TopicPartition, is_ephemeral};

/// Shared by the consumer, its callbacks and its control handles.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) names: Names,
    /// Also held while a commit is handed to librdkafka, so that none for a revoked partition follows its revocation.
    pub(super) offsets: Mutex<Offsets>,
    /// Rebalances on their way to the caller of `next`.
    pub(super) changes: Mutex<VecDeque<Consumed>>,
    /// Something was finished.
    pub(super) finished: Notify,
}

impl Shared {
    pub(super) fn native_list(&self, offsets: &[(TopicPartition, i64)]) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, next) in offsets {
            list.add_partition_offset(&self.names.topic(partition.topic), partition.partition, Offset::Offset(*next))?;
        }
        Ok(list)
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<TopicPartition> {
        list.elements()
            .iter()
            .filter_map(|element| {
                Some(TopicPartition { topic: self.names.role(element.topic())?, partition: element.partition() })
            })
            .collect()
    }
}

pub(super) struct Context {
    pub(super) shared: std::sync::Arc<Shared>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        note_error("kafka consumer", &error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let mut offsets = self.shared.offsets.lock();
        for (name, topic) in &statistics.topics {
            let Some(role) = self.shared.names.role(name) else { continue };
            for (number, partition) in topic.partitions.iter().filter(|(number, _)| **number >= 0) {
                let place = TopicPartition { topic: role, partition: *number };
                offsets.reported(place, partition.ls_offset.max(partition.hi_offset), partition.committed_offset);
            }
        }
    }
}

/// The context of producers: their logs.
#[derive(Clone)]
pub(super) struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        note_error("kafka producer", &error, reason);
    }
}

/// While brokers are away librdkafka says so many times a second, for each of its connections: of one kind of complaint,
/// one line in so long is enough for people. `/readyz` and the metrics tell the rest.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Is it time to say this kind of thing again?
fn may_complain(kind: &str) -> bool {
    static LAST: LazyLock<Mutex<HashMap<String, Instant>>> = LazyLock::new(Mutex::default);
    let mut last = LAST.lock();
    match last.get_mut(kind) {
        Some(at) if at.elapsed() < COMPLAIN_EVERY => false,
        Some(at) => {
            *at = Instant::now();
            true
        }
        None => last.insert(kind.to_owned(), Instant::now()).is_none(),
    }
}

fn note_error(client: &'static str, error: &KafkaError, reason: &str) {
    if may_complain(client) {
        tracing::warn!(%error, reason, "{client}");
    } else {
        tracing::debug!(%error, reason, "{client}");
    }
}

/// librdkafka's own log lines. It calls "error" what it retries by itself.
fn forward_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, message, "librdkafka");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning if may_complain(facility) => {
            tracing::warn!(facility, message, "librdkafka");
        }
        _ => tracing::debug!(facility, message, "librdkafka"),
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = self.shared.partitions(list);
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            for place in partitions.iter().filter(|place| is_ephemeral(place.topic)) {
                let _ = list.set_partition_offset(&self.shared.names.topic(place.topic), place.partition, Offset::End);
            }
            self.shared.offsets.lock().assign(&partitions);
            // A partition paused in an earlier assignment starts unpaused in this one.
            let outcome = consumer.assign(list).and_then(|()| consumer.resume(list));
            if let Err(error) = outcome {
                tracing::error!(%error, "kafka assignment failed");
            }
            self.shared.changes.lock().push_back(Consumed::Assigned(partitions));
        } else {
            let uncommitted = self.shared.offsets.lock().revoke(&partitions);
            // When the assignment was lost, the group has moved on and would refuse.
            if !uncommitted.is_empty() && !consumer.assignment_lost() {
                let outcome =
                    self.shared.native_list(&uncommitted).and_then(|list| consumer.commit(&list, CommitMode::Sync));
                if let Err(error) = outcome {
                    tracing::warn!(%error, "kafka commit at revocation failed, records will repeat");
                }
            }
            if let Err(error) = consumer.unassign() {
                tracing::error!(%error, "kafka revocation failed");
            }
            self.shared.changes.lock().push_back(Consumed::Revoked(partitions));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(%error, "kafka commit failed, trying again");
            self.shared.offsets.lock().not_committed();
            self.shared.finished.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_of_complaint_is_made_once_in_a_while() {
        assert!(may_complain("test: this"));
        assert!(!may_complain("test: this"));
        assert!(may_complain("test: that"));
    }
}
