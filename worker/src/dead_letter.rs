//! Records that nobody can read go where people look, with the reason, and the partition moves on.

use std::sync::Arc;

use bytes::Bytes;
use chatcluster_contracts::record::header;
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
        let letter = dead_letter(record, reason);
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

fn dead_letter(record: &Record, reason: &str) -> NewRecord {
    let topic = record.partition.topic;
    let mut headers = record.headers.clone();
    headers.extend([
        (header::DLQ_REASON.to_owned(), Bytes::copy_from_slice(reason.as_bytes())),
        (header::DLQ_TOPIC.to_owned(), Bytes::from_static(topic.default_name().as_bytes())),
        (header::DLQ_PARTITION.to_owned(), Bytes::from(record.partition.partition.to_string())),
        (header::DLQ_OFFSET.to_owned(), Bytes::from(record.offset.to_string())),
    ]);
    let key = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
    NewRecord { topic, dead_letter: true, key, value: record.value.clone(), headers }
}
