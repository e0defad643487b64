//! The event log of the embedded deployment: tables of one SQLite file, for one process.
//!
//! The same partitions, keys, groups and offsets as on Kafka, so that the services above cannot tell. Appends of
//! concurrent callers share a transaction and are on disk before they are answered; readers are woken, they do not poll.

mod consumer;
mod groups;
mod partitions;
mod record_headers;
mod retention;
mod store;
mod writer;

use std::{collections::HashMap, fmt, path::Path, sync::Arc};

use async_trait::async_trait;
use chatcluster_contracts::topics::{Group, Topic};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use self::{consumer::EmbeddedConsumer, groups::GroupState, partitions::Partitions, store::Store, writer::Request};
use super::{Consumer, EventLog, LogError, NewRecord, Producer};

/// Requests waiting for the writer; more wait at the door.
const WRITER_QUEUE: usize = 1024;

/// The log in one SQLite file. Open it once per process.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    trimming: AbortHandle,
}

/// What producers, consumers and the background tasks have in common.
struct Shared {
    store: Store,
    writer: mpsc::Sender<Request>,
    partitions: Mutex<Partitions>,
    groups: Mutex<HashMap<Group, GroupState>>,
}

impl fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLog").finish_non_exhaustive()
    }
}

impl EmbeddedLog {
    /// Opens or creates the file.
    pub async fn open(path: &Path) -> Result<Self, LogError> {
        let (store, connection) = Store::open(path).await.map_err(|error| away(&error))?;
        let partitions = Partitions::new(store.heads().await.map_err(|error| away(&error))?);
        let mut groups: HashMap<Group, GroupState> = HashMap::new();
        for (group, partition, next) in store.positions().await.map_err(|error| away(&error))? {
            groups.entry(group).or_default().restore(partition, next);
        }
        let (writer, requests) = mpsc::channel(WRITER_QUEUE);
        let shared = Arc::new(Shared { store, writer, partitions: Mutex::new(partitions), groups: Mutex::new(groups) });
        // The writer ends by itself once its last sender is gone: what was handed over is still written.
        tokio::spawn(writer::run(connection, requests, Arc::downgrade(&shared)));
        let trimming = tokio::spawn(retention::run(Arc::downgrade(&shared))).abort_handle();
        Ok(Self { shared, trimming })
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.trimming.abort();
    }
}

fn away(error: &sqlx::Error) -> LogError {
    LogError::Unavailable(error.to_string())
}

#[async_trait]
impl EventLog for EmbeddedLog {
    fn producer(&self) -> Arc<dyn Producer> {
        Arc::new(EmbeddedProducer { shared: self.shared.clone() })
    }

    async fn subscribe(&self, group: Group, topics: &[Topic]) -> Result<Box<dyn Consumer>, LogError> {
        Ok(Box::new(EmbeddedConsumer::join(self.shared.clone(), group, topics)))
    }
}

struct EmbeddedProducer {
    shared: Arc<Shared>,
}

#[async_trait]
impl Producer for EmbeddedProducer {
    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<(), LogError>> {
        let count = records.len();
        let (reply, answer) = oneshot::channel();
        let sent = self.shared.writer.send(Request::Append { records, reply }).await;
        let outcome = match sent {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(writer::gone())),
            Err(_) => Err(writer::gone()),
        };
        vec![outcome; count]
    }

    async fn check(&self) -> Result<(), LogError> {
        self.shared.store.check().await.map_err(|error| away(&error))
    }
}
