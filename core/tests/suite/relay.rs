//! The relay over a log that fails: it stops, repeats, and never skips.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chatcluster_contracts::{event::Event, ids::ConversationId, record::header};
use chatcluster_core::{
    domain::conversation::Kind,
    metrics::RelayMetrics,
    outbox::relay::{Relay, RelayParts},
    store::Store,
};
use chatcluster_service::health::Health;
use chatcluster_testkit::{WAIT, await_condition};
use chatcluster_transport::{
    event_log::{LogError, NewRecord, Producer},
    gateway_streams::memory::MemoryStreams,
};
use futures_util::future::join_all;
use parking_lot::Mutex;

use crate::support::{TestStore, conversation, message, open};

crate::over_both!(
    everything_is_published_in_order_and_the_table_empties,
    a_failing_log_makes_it_repeat_and_never_skip,
    only_one_of_two_relays_publishes,
    a_restart_under_the_same_name_takes_over_at_once,
);

/// Keeps what it was given; fails at every `fail_every`-th record, once each.
#[derive(Default)]
struct FlakyLog {
    appended: Mutex<Vec<NewRecord>>,
    fail_every: usize,
    seen: Mutex<std::collections::HashSet<String>>,
    failures: Mutex<usize>,
}

#[async_trait]
impl Producer for FlakyLog {
    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<(), LogError>> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut results = Vec::new();
        let mut failed = false;
        for record in records {
            let (_, id) = record.headers.iter().find(|(name, _)| name == header::ID).unwrap();
            let first = self.seen.lock().insert(String::from_utf8(id.to_vec()).unwrap());
            let count = self.seen.lock().len();
            failed |= first && self.fail_every > 0 && count.is_multiple_of(self.fail_every);
            results.push(if failed {
                Err(LogError::Unavailable("as planned".into()))
            } else {
                self.appended.lock().push(record);
                Ok(())
            });
        }
        *self.failures.lock() += usize::from(failed);
        results
    }

    async fn check(&self) -> Result<(), LogError> {
        Ok(())
    }
}

impl FlakyLog {
    /// Seqs of one conversation, each at its first appearance.
    fn first_seqs(&self, room: &ConversationId) -> Vec<u64> {
        let mut seen = std::collections::HashSet::new();
        let appended = self.appended.lock();
        let events = appended.iter().filter_map(|record| serde_json::from_slice::<Event>(&record.value).ok());
        events
            .filter(|event| event.conversation_id() == room)
            .map(|event| event.seq().get())
            .filter(|s| seen.insert(*s))
            .collect()
    }
}

fn relay(store: &Store, log: &Arc<FlakyLog>, streams: &MemoryStreams, holder: &str) -> Relay {
    Relay::start(RelayParts {
        store: store.clone(),
        producer: log.clone(),
        streams: Arc::new(streams.clone()),
        holder: holder.into(),
        metrics: RelayMetrics::default(),
        database: Health::new().dependency("database"),
    })
}

async fn send(store: &Store, room: &ConversationId, from: usize, count: usize) {
    let sends = (from..from + count).map(|i| store.send(message("ann", room, &format!("m{i}"), "x")));
    join_all(sends).await.into_iter().for_each(|stored| drop(stored.unwrap()));
}

async fn emptied(store: &Store) {
    await_condition("an empty outbox", WAIT, || async {
        let depth = store.outbox_depth().await.unwrap();
        if depth.rows == 0 { Ok(()) } else { Err(format!("{depth:?}")) }
    })
    .await
    .unwrap();
}

async fn everything_is_published_in_order_and_the_table_empties(store: TestStore) {
    let (log, streams) = (Arc::new(FlakyLog::default()), MemoryStreams::new());
    let mut rooms = Vec::new();
    for _ in 0..5 {
        rooms.push(conversation(&store, Kind::Group, &["ann"]).await);
    }
    send(&store, &rooms[0], 0, 700).await;
    let relay = relay(&store, &log, &streams, "one");
    for (i, room) in rooms.iter().enumerate().skip(1) {
        send(&store, room, i * 1000, 50).await;
    }
    emptied(&store).await;
    assert_eq!(log.first_seqs(&rooms[0]), (1..=700).collect::<Vec<_>>());
    for room in &rooms[1..] {
        assert_eq!(log.first_seqs(room), (1..=50).collect::<Vec<_>>());
    }
    let appended = log
        .appended
        .lock()
        .iter()
        .filter(|record| record.topic != chatcluster_contracts::topics::Topic::Status)
        .count();
    assert_eq!(appended, 905, "900 events and 5 announcements, each once");
    relay.stop().await;
}

async fn a_failing_log_makes_it_repeat_and_never_skip(store: TestStore) {
    let (log, streams) = (Arc::new(FlakyLog { fail_every: 17, ..FlakyLog::default() }), MemoryStreams::new());
    let room = conversation(&store, Kind::Group, &["ann"]).await;
    let relay = relay(&store, &log, &streams, "one");
    for round in 0..5 {
        send(&store, &room, round * 20, 20).await;
    }
    emptied(&store).await;
    assert!(*log.failures.lock() > 0, "it was not tried");
    assert_eq!(log.first_seqs(&room), (1..=100).collect::<Vec<_>>());
    relay.stop().await;
}

async fn only_one_of_two_relays_publishes(store: TestStore) {
    let (first_log, second_log, streams) =
        (Arc::new(FlakyLog::default()), Arc::new(FlakyLog::default()), MemoryStreams::new());
    let room = conversation(&store, Kind::Group, &["ann"]).await;
    let first = relay(&store, &first_log, &streams, "one");
    emptied(&store).await;
    // another process: its commits wake the relay of the first one
    let other = open(&store.url);
    let second = relay(&other, &second_log, &streams, "two");
    send(&other, &room, 0, 30).await;
    emptied(&store).await;
    assert_eq!(first_log.first_seqs(&room), (1..=30).collect::<Vec<_>>());
    assert!(second_log.appended.lock().is_empty());
    // given up, the shards are the other's
    first.stop().await;
    send(&other, &room, 30, 30).await;
    emptied(&store).await;
    assert_eq!(second_log.first_seqs(&room), (31..=60).collect::<Vec<_>>());
    second.stop().await;
    other.close().await;
}

async fn a_restart_under_the_same_name_takes_over_at_once(store: TestStore) {
    let (log, streams) = (Arc::new(FlakyLog::default()), MemoryStreams::new());
    let room = conversation(&store, Kind::Group, &["ann"]).await;
    let killed = relay(&store, &log, &streams, "one");
    emptied(&store).await;
    drop(killed); // its leases stay behind
    send(&store, &room, 0, 5).await;
    let again = relay(&store, &log, &streams, "one");
    let brief = Duration::from_secs(5);
    tokio::time::timeout(brief, emptied(&store)).await.expect("the leases of the dead process were waited for");
    again.stop().await;
}
