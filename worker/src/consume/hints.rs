//! Consumers of records that are hints: one task reads them in order, beside the messages, and stops where it is when it
//! is time to stop: what was not finished is read again.

use std::{sync::Arc, time::Duration};

use chatcluster_contracts::topics::{Group, Topic};
use chatcluster_service::shutdown::Shutdown;
use chatcluster_transport::event_log::{Consumed, EventLog, Record, subscribe_until};
use futures_util::FutureExt;

const RETRY_AFTER: Duration = Duration::from_millis(200);

/// What is made of hints.
pub(crate) trait Hints {
    const GROUP: Group;
    const TOPICS: &'static [Topic];
    /// Records taken together, where so many have come in.
    const AT_ONCE: usize;

    /// Returns once the records are done with.
    fn take(&self, batch: &[Record]) -> impl Future<Output = ()> + Send;
}

/// Until shutdown.
pub(crate) async fn run<H: Hints>(hints: H, log: Arc<dyn EventLog>, shutdown: Shutdown) {
    let Some(mut consumer) = subscribe_until(&shutdown.token(), &*log, H::GROUP, H::TOPICS).await else { return };
    let control = consumer.control();
    loop {
        let next = tokio::select! {
            () = shutdown.requested() => break,
            next = consumer.next() => next,
        };
        let mut batch = Vec::new();
        match next {
            Ok(Consumed::Record(record)) => batch.push(record),
            Ok(Consumed::Assigned(_) | Consumed::Revoked(_)) => continue,
            Err(error) => {
                tracing::debug!(%error, topics = ?H::TOPICS, "read again");
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
        }
        // what has come in meanwhile
        while batch.len() < H::AT_ONCE {
            let Some(Ok(Consumed::Record(record))) = consumer.next().now_or_never() else { break };
            batch.push(record);
        }
        tokio::select! {
            () = shutdown.requested() => break,
            () = hints.take(&batch) => {}
        }
        for record in batch {
            control.finished(record.partition, record.offset);
        }
    }
    consumer.close().await;
}
