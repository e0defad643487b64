//! Who came and who went: decided from the connections that live, and told on `user.events`, in batches and beside
//! everything else. A storm of connections costs others nothing but a later word about who is online.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chatcluster_contracts::{
    record::{UserRecord, header, to_json},
    topics::Topic,
};
use chatcluster_transport::event_log::{NewRecord, Producer};
use uuid::Uuid;

use crate::store::{Result, Store};

/// How often those whose connections ended are looked at, and what another process left untold.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often gateways are looked for that are not heard of any more.
const SILENT_EVERY: Duration = Duration::from_secs(5);
/// A record that the log does not take within this time is told later.
const TELL_WITHIN: Duration = Duration::from_secs(4);

/// Runs until dropped.
pub(crate) async fn run(store: Store, producer: Arc<dyn Producer>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut silent = tokio::time::interval(SILENT_EVERY);
    for ticks in [&mut look, &mut silent] {
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        let looked = tokio::select! {
            () = store.presence_changed() => Ok(()),
            _ = look.tick() => settle(&store).await,
            _ = silent.tick() => store.look_at_silent_boots().await,
        };
        let told = match looked {
            Ok(()) => tell(&store, &producer).await,
            error => error,
        };
        if let Err(error) = told {
            tracing::debug!(%error, "presence is looked at again later");
        }
    }
}

async fn settle(store: &Store) -> Result<()> {
    while store.settle_presence().await? {}
    Ok(())
}

/// Appends what is untold, until there is nothing, or the log is away.
async fn tell(store: &Store, producer: &Arc<dyn Producer>) -> Result<()> {
    loop {
        let untold = store.untold_presence().await?;
        if untold.records.is_empty() {
            return Ok(());
        }
        let appended = producer.append(untold.records.iter().map(new_record).collect());
        let outcomes = tokio::time::timeout(TELL_WITHIN, appended).await;
        if !outcomes.is_ok_and(|outcomes| outcomes.iter().all(Result::is_ok)) {
            tracing::debug!(users = untold.records.len(), "presence not told yet");
            return Ok(());
        }
        store.told_presence(&untold).await?;
    }
}

fn new_record(record: &UserRecord) -> NewRecord {
    NewRecord {
        topic: Topic::Users,
        dead_letter: false,
        key: record.user_id.as_str().to_owned(),
        value: Bytes::from(to_json(record)),
        headers: vec![
            (header::ID.to_owned(), Bytes::from(Uuid::now_v7().to_string())),
            (header::EVENT_TYPE.to_owned(), Bytes::from_static(record.change.as_str().as_bytes())),
        ],
    }
}
