//! One member of the consumer group: hands each record to the task of its partition. Partitions run in parallel, the
//! records of one in order.

pub(crate) mod hints;
mod partition;

use std::{collections::HashMap, sync::Arc, time::Duration};

use chatcluster_service::{health::Dependency, shutdown::Shutdown};
use chatcluster_transport::event_log::{Consumed, Consumer, TopicPartition};
use parking_lot::Mutex;
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinHandle,
};

pub(crate) use partition::Pipeline;

/// How long a partition's task may take to finish what it has begun when the process stops.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// Counts what waits for one partition and pauses it in time. The channel itself has no bound: records that librdkafka
/// had fetched before the pause still arrive, and there is no sending them back.
#[derive(Debug, Default)]
pub(crate) struct Depth(Mutex<DepthState>);

#[derive(Debug, Default)]
struct DepthState {
    waiting: usize,
    paused: bool,
}

impl Depth {
    /// `pause` runs under the lock, so that it cannot overtake the `resume` of [`taken`](Self::taken).
    fn added(&self, limit: usize, pause: impl FnOnce()) {
        let mut state = self.0.lock();
        state.waiting += 1;
        if state.waiting >= limit && !state.paused {
            state.paused = true;
            pause();
        }
    }

    fn taken(&self, count: usize, limit: usize, resume: impl FnOnce()) {
        let mut state = self.0.lock();
        state.waiting -= count;
        if state.waiting <= limit / 2 && state.paused {
            state.paused = false;
            resume();
        }
    }
}

struct PartitionTask {
    records: UnboundedSender<chatcluster_transport::event_log::Record>,
    depth: Arc<Depth>,
    task: JoinHandle<()>,
}

/// Runs one consumer until shutdown.
pub(crate) async fn run(mut consumer: Box<dyn Consumer>, pipeline: Pipeline, log: Dependency, shutdown: Shutdown) {
    let control = consumer.control();
    let mut tasks: HashMap<TopicPartition, PartitionTask> = HashMap::new();
    let metrics = pipeline.metrics().clone();
    let mut lag = tokio::time::interval(Duration::from_secs(1));
    loop {
        let next = tokio::select! {
            () = shutdown.requested() => break,
            _ = lag.tick() => {
                pipeline.report_lag(control.lag());
                continue;
            }
            next = consumer.next() => next,
        };
        match next {
            Ok(Consumed::Record(record)) => {
                log.up();
                let partition = record.partition;
                let task = tasks.entry(partition).or_insert_with(|| {
                    let (records, queue) = unbounded_channel();
                    let depth = Arc::new(Depth::default());
                    let work = pipeline.clone().run(partition, queue, Arc::clone(&depth), Arc::clone(&control));
                    PartitionTask { records, depth, task: tokio::spawn(work) }
                });
                task.depth.added(pipeline.queue(), || control.pause(partition));
                // fails only when the task is gone, and then the records come again after the next assignment
                let _ = task.records.send(record);
            }
            Ok(Consumed::Assigned(partitions)) => {
                log.up();
                tracing::info!(count = partitions.len(), "partitions assigned");
                metrics.partitions.inc_by(i64::try_from(partitions.len()).unwrap_or_default());
            }
            Ok(Consumed::Revoked(partitions)) => {
                tracing::info!(count = partitions.len(), "partitions revoked");
                metrics.partitions.dec_by(i64::try_from(partitions.len()).unwrap_or_default());
                for partition in partitions {
                    if let Some(task) = tasks.remove(&partition) {
                        // whatever it was doing, the new owner does again
                        task.task.abort();
                    }
                }
            }
            Err(error) => {
                log.down(&error);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    // no more records: let the tasks finish what they have, then leave the group with their offsets committed
    let finishing = tasks.into_values().map(|task| {
        drop(task.records);
        task.task
    });
    for task in finishing.collect::<Vec<_>>() {
        let abort = task.abort_handle();
        if tokio::time::timeout(FINISH_WITHIN, task).await.is_err() {
            abort.abort();
        }
    }
    consumer.close().await;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_full_partition_pauses_once_and_resumes_below_half() {
        let (depth, paused, resumed) = (Depth::default(), Cell::new(0), Cell::new(0));
        for _ in 0..12 {
            depth.added(10, || paused.set(paused.get() + 1));
        }
        assert_eq!(paused.get(), 1);
        depth.taken(4, 10, || resumed.set(resumed.get() + 1));
        assert_eq!(resumed.get(), 0, "8 still wait");
        depth.taken(3, 10, || resumed.set(resumed.get() + 1));
        depth.taken(3, 10, || resumed.set(resumed.get() + 1));
        assert_eq!(resumed.get(), 1);
    }
}
