//! Records that nobody can read go where people look, with the reason, and the partition moves on.

use std::sync::Arc;

use chatcluster_transport::event_log::{LogError, NewRecord, Producer, Record};

use crate::{
    metrics::{TopicLabel, WorkerMetrics},
    publish::until_done,
};

#[derive(Clone)]
pub(crate) struct DeadLetters {
    pub(crate) producer: Arc<dyn Producer>,
    pub(crate) metrics: WorkerMetrics,
}

impl DeadLetters {
    /// Returns once the record is kept, or cannot be kept at all (its topic has no dead letters or refuses it).
    pub(crate) async fn keep(&self, record: &Record, reason: &str) {
        let topic = record.partition.topic;
        let label = TopicLabel { topic: topic.default_name() };
        self.metrics.dead_letters.get_or_create(&label).inc();
        let (partition, offset) = (record.partition.partition, record.offset);
        tracing::error!(topic = label.topic, partition, offset, reason, "record cannot be processed");
        if !topic.has_dead_letters() {
            return;
        }
        let letter = NewRecord::dead_letter_of(record, reason);
        until_done("dead_letter", &self.metrics, || async {
            match self.producer.append(vec![letter.clone()]).await.into_iter().next() {
                Some(Err(LogError::Unavailable(reason))) => Err(reason),
                Some(Err(LogError::Refused(reason))) => {
                    tracing::error!(topic = label.topic, partition, offset, reason, "the dead-letter topic refused it");
                    Ok(())
                }
                Some(Ok(())) | None => Ok(()),
            }
        })
        .await;
    }
}
