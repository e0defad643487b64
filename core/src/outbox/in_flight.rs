//! What one shard has between reading rows and their deletion: rows that wait for their key, appends under way, rows
//! acknowledged, the deletion under way.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use chatcluster_transport::event_log::LogError;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep_until;

use crate::store::{OutboxRow, Result as StoreResult, Store};

/// Rows in one append.
const BATCH: u32 = 500;
/// Appends that wait for their acknowledgement.
const MAX_APPENDS: usize = 4;
/// Rows read and not yet deleted.
const MAX_IN_FLIGHT: usize = 2_000;
/// Acknowledged rows wait this long for others, so that deletes do not compete with sends for the disk.
const DELETE_AFTER: Duration = Duration::from_millis(100);

pub(super) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// What the event log said of each record.
pub(super) type Answers = Vec<Result<(), LogError>>;

/// Rows between their reading and their deletion.
#[derive(Default)]
pub(super) struct InFlight {
    /// Of every row in flight; what a reading leaves out.
    positions: Vec<i64>,
    pub(super) appends: FuturesUnordered<Boxed<(Appended, Answers)>>,
    /// Keys of the records in `appends`. Of one key only one append is under way: were two, and the first failed, the
    /// second would stand in the log before the repeat of the first.
    pub(super) busy: HashSet<String>,
    /// Rows that wait for their key.
    held: Vec<OutboxRow>,
    acknowledged: Vec<Row>,
    delete_at: Option<tokio::time::Instant>,
    pub(super) deleting: Option<Boxed<StoreResult<Vec<i64>>>>,
    pub(super) reading: Option<Boxed<StoreResult<Vec<OutboxRow>>>>,
    /// There may be rows that were not read.
    pub(super) more: bool,
}

pub(super) struct Row {
    pub(super) id: String,
    pub(super) position: i64,
}

pub(super) struct Appended {
    pub(super) rows: Vec<Row>,
    pub(super) keys: HashSet<String>,
    pub(super) at: Instant,
}

impl InFlight {
    pub(super) fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.reading.is_none()
    }

    pub(super) fn may_read(&self) -> bool {
        self.more && self.reading.is_none() && self.appends.len() < MAX_APPENDS && self.positions.len() < MAX_IN_FLIGHT
    }

    pub(super) fn read(&mut self, store: &Store, shard: u32) {
        self.more = false;
        let (store, skip) = (store.clone(), self.positions.clone());
        self.reading = Some(Box::pin(async move { store.outbox_rows(shard, &skip, BATCH).await }));
    }

    pub(super) fn take(&mut self, rows: StoreResult<Vec<OutboxRow>>) -> StoreResult<()> {
        let rows = rows?;
        self.more |= rows.len() >= BATCH as usize;
        self.positions.extend(rows.iter().map(|row| row.position));
        self.held.extend(rows);
        Ok(())
    }

    /// The next rows that can go, in order: those whose key is free.
    pub(super) fn next_batch(&mut self) -> Vec<OutboxRow> {
        if self.appends.len() >= MAX_APPENDS {
            return Vec::new();
        }
        let mut batch = Vec::new();
        for row in std::mem::take(&mut self.held) {
            if batch.len() >= BATCH as usize || self.busy.contains(&row.key) {
                self.held.push(row);
            } else {
                batch.push(row);
            }
        }
        batch
    }

    pub(super) fn delete(&mut self, store: &Store, now: bool) {
        let due = self.delete_at.is_some_and(|at| now || at <= tokio::time::Instant::now());
        if !due || self.deleting.is_some() {
            return;
        }
        self.delete_at = None;
        let rows = std::mem::take(&mut self.acknowledged);
        let store = store.clone();
        self.deleting = Some(Box::pin(async move {
            let (ids, positions): (Vec<_>, Vec<_>) = rows.into_iter().map(|row| (row.id, row.position)).unzip();
            store.outbox_delete(&ids).await.map(|()| positions)
        }));
    }

    pub(super) fn deleted(&mut self, positions: StoreResult<Vec<i64>>) -> StoreResult<()> {
        let gone: HashSet<i64> = positions?.into_iter().collect();
        self.positions.retain(|position| !gone.contains(position));
        Ok(())
    }

    /// Rows not handed over yet stay for whoever publishes next.
    pub(super) fn let_go(&mut self) {
        let held: HashSet<i64> = self.held.drain(..).map(|row| row.position).collect();
        self.positions.retain(|position| !held.contains(position));
    }

    pub(super) fn acknowledged(&mut self, row: Row) {
        self.acknowledged.push(row);
        self.delete_at.get_or_insert_with(|| tokio::time::Instant::now() + DELETE_AFTER);
    }

    /// Acknowledged rows whose deletion has not begun.
    pub(super) fn undeleted(&mut self) -> Vec<String> {
        std::mem::take(&mut self.acknowledged).into_iter().map(|row| row.id).collect()
    }

    /// When acknowledged rows are to be deleted; `None`: there are none, or a deletion is under way.
    pub(super) fn delete_due(&self) -> Option<tokio::time::Instant> {
        self.delete_at.filter(|_| self.deleting.is_none())
    }
}

/// Waits for the future in the slot and empties it; forever when there is none.
pub(super) async fn maybe<T>(slot: &mut Option<Boxed<T>>) -> T {
    match slot {
        Some(future) => {
            let value = future.await;
            *slot = None;
            value
        }
        None => std::future::pending().await,
    }
}

pub(super) async fn at(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
