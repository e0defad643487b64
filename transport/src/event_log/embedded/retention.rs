//! Removes what is older than its topic's retention, a bounded batch at a time, while nobody waits for it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use chatcluster_contracts::topics::{DEAD_LETTER_RETENTION, DEAD_LETTER_SUFFIX, Topic};
use tokio::sync::oneshot;

use super::{
    Shared,
    writer::{Request, now_ms},
};
use crate::event_log::is_ephemeral;

const INTERVAL: Duration = Duration::from_mins(1);
/// Records looked at in one transaction.
const BATCH: i64 = 500;

/// Every durable topic by name, with its partitions and retention.
fn schedule() -> impl Iterator<Item = (String, u32, Duration)> {
    Topic::ALL.into_iter().filter(|topic| !is_ephemeral(*topic)).flat_map(|topic| {
        let name = topic.default_name();
        let own = (name.to_owned(), topic.partitions(), topic.retention());
        let dead = (format!("{name}{DEAD_LETTER_SUFFIX}"), 1, DEAD_LETTER_RETENTION);
        [Some(own), topic.has_dead_letters().then_some(dead)].into_iter().flatten()
    })
}

pub(super) async fn run(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut removed = 0;
        for (topic, partitions, retention) in schedule() {
            let expired_before_ms = now_ms() - i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
            for partition in 0..partitions.cast_signed() {
                removed += trim(&shared, (topic.clone(), partition), expired_before_ms).await;
            }
        }
        if removed > 0 {
            tracing::info!(removed, "expired records of the embedded log removed");
        }
    }
}

/// Empties the front of one partition batch by batch; other requests are written in between.
pub(super) async fn trim(shared: &Arc<Shared>, place: (String, i32), expired_before_ms: i64) -> u64 {
    let mut removed = 0;
    loop {
        let (reply, answer) = oneshot::channel();
        let request = Request::Trim { place: place.clone(), expired_before_ms, batch: BATCH, reply };
        if shared.writer.send(request).await.is_err() {
            return removed;
        }
        let went = answer.await.unwrap_or(0);
        removed += went;
        if went < BATCH.cast_unsigned() {
            return removed;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event_log::{Consumed, EventLog, NewRecord, embedded::EmbeddedLog, partitioner::partition_of};

    #[tokio::test]
    async fn expired_records_go_and_offsets_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log.db");
        let record = |n: usize| NewRecord {
            topic: Topic::Messages,
            dead_letter: false,
            key: "c1".to_owned(),
            value: Bytes::from(n.to_string()),
            headers: Vec::new(),
        };
        let count = usize::try_from(BATCH).unwrap() + 50;
        let place = ("message.all".to_owned(), partition_of(b"c1", Topic::Messages.partitions()));
        {
            let log = EmbeddedLog::open(&file).await.unwrap();
            log.producer().append((0..count).map(record).collect()).await;
            assert_eq!(trim(&log.shared, place.clone(), now_ms() - 60_000).await, 0, "they are young");
            let removed = trim(&log.shared, place.clone(), now_ms() + 60_000).await;
            assert_eq!(removed, u64::try_from(count).unwrap(), "more than one batch");
        }
        let log = EmbeddedLog::open(&file).await.unwrap();
        log.producer().append(vec![record(count)]).await;
        let mut consumer =
            log.subscribe(chatcluster_contracts::topics::Group::Fanout, &[Topic::Messages]).await.unwrap();
        let first = loop {
            if let Consumed::Record(record) = consumer.next().await.unwrap() {
                break record;
            }
        };
        assert_eq!(first.offset, i64::try_from(count).unwrap(), "an offset is never given twice");
    }
}
