//! Where another reads the outbox from the database's log, such as Debezium: nothing is published here, and rows go once
//! they are old. They stay for a while because a reader that lost its place starts again from the table.

use std::time::Duration;

use chatcluster_service::health::Dependency;
use tokio::time::{MissedTickBehavior, interval};

use crate::store::{Store, StoreError};

const EVERY: Duration = Duration::from_secs(5);
/// Rows of one statement.
const AT_ONCE: u32 = 1000;

/// Deletes what is older than `keep`, until it is dropped.
pub(crate) async fn sweep(store: Store, keep: Duration, database: Dependency) {
    let mut clock = interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        match once(&store, keep).await {
            Ok(()) => database.up(),
            Err(error) => {
                database.down(&error);
                tracing::warn!(%error, "old outbox rows stay for now");
            }
        }
    }
}

async fn once(store: &Store, keep: Duration) -> Result<(), StoreError> {
    loop {
        let ids = store.outbox_older_than(keep, AT_ONCE).await?;
        store.outbox_delete(&ids).await?;
        if ids.len() < AT_ONCE as usize {
            return Ok(());
        }
    }
}
