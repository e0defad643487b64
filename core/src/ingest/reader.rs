//! One member of the consumer group: takes records in, a batch at a time is stored, and their offsets are finished. The
//! log is polled all the while, so that a database that is away does not cost the membership.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use chatcluster_transport::event_log::{Consumed, Consumer, Record, TopicPartition};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::storing::Storing;

/// Records stored together.
const BATCH: usize = 256;
/// Records taken in ahead of the store; then the partitions are paused.
const AHEAD: usize = 1024;
const ERROR_PAUSE: Duration = Duration::from_millis(200);
/// How long a batch may take to finish when the process stops.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// The last offset of each partition in a batch that is done with.
type Finished = HashMap<TopicPartition, i64>;

pub(super) async fn run(mut consumer: Box<dyn Consumer>, storing: Arc<Storing>, stop: CancellationToken) {
    let control = consumer.control();
    let (mut waiting, mut assigned, mut paused) = (Vec::<Record>::new(), BTreeSet::new(), false);
    let mut work: Option<JoinHandle<Finished>> = None;
    loop {
        if work.is_none() && !waiting.is_empty() {
            let batch = waiting.drain(..waiting.len().min(BATCH)).collect();
            work = Some(tokio::spawn(store(storing.clone(), batch)));
            if paused && waiting.len() < AHEAD / 2 {
                for partition in &assigned {
                    control.resume(*partition);
                }
                paused = false;
            }
        }
        let next = tokio::select! {
            () = stop.cancelled() => break,
            finished = done(&mut work) => {
                for (partition, offset) in finished {
                    control.finished(partition, offset);
                }
                continue;
            }
            next = consumer.next() => next,
        };
        match next {
            Ok(Consumed::Record(record)) => waiting.push(record),
            Ok(Consumed::Assigned(partitions)) => assigned.extend(partitions),
            Ok(Consumed::Revoked(partitions)) => {
                waiting.retain(|record| !partitions.contains(&record.partition));
                assigned.retain(|partition| !partitions.contains(partition));
            }
            Err(error) => {
                tracing::debug!(%error, "ingest: the log cannot be read now");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
        if waiting.len() >= AHEAD {
            // again for every record: partitions may have been assigned meanwhile
            for partition in &assigned {
                control.pause(*partition);
            }
            paused = true;
        }
    }
    if let Some(work) = work {
        let abort = work.abort_handle();
        match tokio::time::timeout(FINISH_WITHIN, work).await {
            Ok(finished) => {
                finished.unwrap_or_default().into_iter().for_each(|(at, offset)| control.finished(at, offset));
            }
            Err(_) => abort.abort(),
        }
    }
    consumer.close().await;
}

/// Waits for the batch under way, for ever if there is none. Cancel safe.
async fn done(work: &mut Option<JoinHandle<Finished>>) -> Finished {
    let Some(running) = work else { return std::future::pending().await };
    let finished = running.await;
    *work = None;
    finished.unwrap_or_else(|error| {
        // nothing of it counts as finished: the records come again after the next assignment
        tracing::error!(%error, "ingest: a batch died");
        Finished::new()
    })
}

async fn store(storing: Arc<Storing>, batch: Vec<Record>) -> Finished {
    let finished = batch.iter().map(|record| (record.partition, record.offset)).collect();
    storing.store(batch).await;
    finished
}
