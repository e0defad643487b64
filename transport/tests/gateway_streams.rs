//! What every implementation of the gateway streams promises, asked of memory, of Redis with and without TLS, and of a
//! Redis Cluster alike.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use chatcluster_contracts::{
    event::EventType,
    ids::{BootId, ConnectionId, ConversationId, Node, UserId},
    redis_keys::{STREAM_MAX_LENGTH, connection_slice},
    seq::Seq,
    stream_entry::{Recipients, StreamEntry},
};
use chatcluster_testkit::{
    Redis, RedisCluster, WAIT, install,
    redis::{RedisOptions as ServerOptions, Reply, Tls},
    scratch::ScratchDir,
};
use chatcluster_transport::gateway_streams::{
    Added, Batch, GatewayStreams, Place as Mark, Registration, Signal, StreamReader,
    memory::MemoryStreams,
    redis::{RedisMode, RedisOptions, RedisStreams},
};
use futures_util::future::join_all;
use tokio::time::timeout;

/// Streams, and the means to make them lose everything.
enum Place {
    Memory(MemoryStreams),
    Redis { streams: RedisStreams, server: Box<Redis> },
    Cluster { streams: RedisStreams, servers: RedisCluster },
}

impl Place {
    async fn redis() -> Self {
        Self::one(Tls::Off).await
    }

    async fn one(tls: Tls) -> Self {
        let installed = install::ready(install::quiet).await.unwrap();
        let options = ServerOptions { tls, ..ServerOptions::default() };
        let started = Redis::start_with(&installed, options, ScratchDir::new("redis").unwrap()).await;
        let server = Box::new(started.unwrap());
        let redis_ca_file = (tls != Tls::Off).then(|| server.authority_file().unwrap().to_owned());
        let streams = connected(RedisOptions { redis_ca_file, ..RedisOptions::at(&server.url()) });
        Self::Redis { streams, server }
    }

    async fn cluster() -> Self {
        let installed = install::ready(install::quiet).await.unwrap();
        let servers = RedisCluster::start(&installed, ServerOptions::default()).await.unwrap();
        let at = RedisOptions::at(&servers.urls()[0]);
        let streams = connected(RedisOptions { redis_mode: RedisMode::Cluster, ..at });
        Self::Cluster { streams, servers }
    }

    fn streams(&self) -> &dyn GatewayStreams {
        match self {
            Self::Memory(streams) => streams,
            Self::Redis { streams, .. } | Self::Cluster { streams, .. } => streams,
        }
    }

    async fn flush(&self) {
        match self {
            Self::Memory(streams) => streams.flush(),
            Self::Redis { server, .. } => server.flush().await.unwrap(),
            Self::Cluster { servers, .. } => {
                for server in servers.nodes() {
                    server.flush().await.unwrap();
                }
            }
        }
    }
}

fn connected(options: RedisOptions) -> RedisStreams {
    RedisStreams::new(&RedisOptions { redis_prefix: "t:".to_owned(), ..options }).unwrap()
}

macro_rules! for_all_streams {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Place::Memory(super::MemoryStreams::new())).await;
            })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Place::redis().await).await;
            })*
        }
        mod redis_tls {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Place::one(super::Tls::Only).await).await;
            })*
        }
        mod redis_cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Place::cluster().await).await;
            })*
        }
    };
}

for_all_streams!(
    entries_are_read_in_order_as_they_were_written,
    a_gateway_without_a_stream_is_told_and_none_is_born,
    a_new_boot_starts_at_the_end,
    a_cancelled_read_loses_nothing,
    a_flush_is_a_gap_and_a_new_epoch,
    unread_entries_trimmed_away_are_a_gap,
    a_reader_that_keeps_up_sees_no_gap,
    a_lease_has_one_holder,
    connections_are_registered_found_and_pruned,
    every_change_of_connections_is_a_new_version,
    what_is_missing_is_noticed_and_all_there_is_is_found,
    signals_reach_who_listens,
);

fn node(name: &str) -> Node {
    Node::parse(name).unwrap()
}

fn boot(name: &str) -> BootId {
    BootId::parse(name).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn event(seq: u64) -> Arc<StreamEntry> {
    Arc::new(StreamEntry::Event {
        conversation_id: ConversationId::parse("c1").unwrap(),
        seq: Seq::new(seq),
        event_type: EventType::Message,
        subject: None,
        recipients: Recipients::new([&user("ann"), &user("bob")]),
        payload: Bytes::from_static(b"{}"),
        traceparent: None,
        broadcast: false,
    })
}

fn seqs(batch: &Batch) -> Vec<u64> {
    batch
        .entries
        .iter()
        .map(|(_, entry)| match entry {
            StreamEntry::Event { seq, .. } => seq.get(),
            other => panic!("{other:?}"),
        })
        .collect()
}

async fn read_until(reader: &mut Box<dyn StreamReader>, what: &str, mut enough: impl FnMut(&Batch) -> bool) {
    let reading = async {
        loop {
            // An error is a condition of the server: call again.
            if let Ok(batch) = reader.read(1000, Duration::from_millis(500)).await
                && enough(&batch)
            {
                return;
            }
        }
    };
    timeout(WAIT, reading).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

async fn entries_are_read_in_order_as_they_were_written(place: Place) {
    let streams = place.streams();
    let mut reader = streams.open_reader(&node("g1"), &boot("b1")).await.unwrap();
    let mut other = streams.open_reader(&node("g2"), &boot("b2")).await.unwrap();
    let entries = (1..=50).map(|seq| (node("g1"), event(seq))).chain([(node("g2"), event(7))]).collect();
    let added = streams.writer().add(entries).await.unwrap();
    assert_eq!(added, vec![Added::Yes; 51]);
    let mut all = Vec::new();
    let mut ids = Vec::new();
    while all.len() < 50 {
        let batch = reader.read(20, WAIT).await.unwrap();
        assert!(batch.entries.len() <= 20 && !batch.gap);
        assert_eq!(batch.entries[0].1, *event(seqs(&batch)[0]), "as it was written");
        all.extend(seqs(&batch));
        ids.extend(batch.entries.into_iter().map(|(id, _)| id));
    }
    assert_eq!(all, (1..=50).collect::<Vec<u64>>());
    reader.acknowledge(ids).await.unwrap();
    assert_eq!(seqs(&other.read(20, WAIT).await.unwrap()), [7]);
    assert!(reader.read(20, Duration::from_millis(30)).await.unwrap().entries.is_empty(), "a quiet wait ends");
}

async fn a_gateway_without_a_stream_is_told_and_none_is_born(place: Place) {
    let writer = place.streams().writer();
    assert_eq!(writer.add(vec![(node("ghost"), event(1))]).await.unwrap(), [Added::NoStream]);
    assert_eq!(writer.add(vec![(node("ghost"), event(2))]).await.unwrap(), [Added::NoStream]);
    assert!(writer.add(Vec::new()).await.unwrap().is_empty());
}

async fn a_new_boot_starts_at_the_end(place: Place) {
    let streams = place.streams();
    let first = streams.open_reader(&node("g1"), &boot("b1")).await.unwrap();
    streams.writer().add(vec![(node("g1"), event(1))]).await.unwrap();
    drop(first);
    let mut second = streams.open_reader(&node("g1"), &boot("b2")).await.unwrap();
    streams.writer().add(vec![(node("g1"), event(2))]).await.unwrap();
    let batch = second.read(10, WAIT).await.unwrap();
    assert_eq!((seqs(&batch), batch.gap), (vec![2], false));
}

async fn a_cancelled_read_loses_nothing(place: Place) {
    let streams = place.streams();
    let mut reader = streams.open_reader(&node("g1"), &boot("b1")).await.unwrap();
    for seq in 1..=20 {
        let adding = async { streams.writer().add(vec![(node("g1"), event(seq))]).await.unwrap() };
        // The read is dropped at a random moment around the arrival of the entry.
        let reading = timeout(Duration::from_micros(seq * 100), reader.read(10, Duration::from_millis(50)));
        let (_, read) = tokio::join!(adding, reading);
        if let Ok(batch) = read
            && let [got] = seqs(&batch.unwrap())[..]
        {
            assert_eq!(got, seq);
            continue;
        }
        read_until(&mut reader, "the entry", |batch| seqs(batch) == [seq]).await;
    }
}

async fn a_flush_is_a_gap_and_a_new_epoch(place: Place) {
    let streams = place.streams();
    let ttl = Duration::from_mins(1);
    let mut reader = streams.open_reader(&node("g1"), &boot("b1")).await.unwrap();
    let registry = streams.registry();
    let before = registry.renew_lease(&node("g1"), &boot("b1"), ttl).await.unwrap();
    assert!(before.taken, "it was free");
    let same = registry.renew_lease(&node("g1"), &boot("b1"), ttl).await.unwrap();
    assert_eq!((same.epoch.as_str(), same.taken), (before.epoch.as_str(), false));
    streams.writer().add(vec![(node("g1"), event(1))]).await.unwrap();
    read_until(&mut reader, "the entry", |batch| seqs(batch) == [1]).await;

    place.flush().await;
    read_until(&mut reader, "the gap", |batch| batch.gap).await;
    let after = registry.renew_lease(&node("g1"), &boot("b1"), ttl).await.unwrap();
    assert_ne!(after.epoch, before.epoch);
    assert!(after.taken);
    assert_eq!(streams.writer().add(vec![(node("g1"), event(2))]).await.unwrap(), [Added::Yes], "made again");
    read_until(&mut reader, "the next entry", |batch| seqs(batch) == [2]).await;
}

async fn fill(streams: &dyn GatewayStreams, from: u64, count: u64) {
    for chunk in (from..from + count).collect::<Vec<u64>>().chunks(1000) {
        streams.writer().add(chunk.iter().map(|seq| (node("g1"), event(*seq))).collect()).await.unwrap();
    }
}

async fn unread_entries_trimmed_away_are_a_gap(place: Place) {
    let streams = place.streams();
    let mut reader = streams.open_reader(&node("g1"), &boot("b1")).await.unwrap();
    fill(streams, 1, 5).await;
    read_until(&mut reader, "the first entries", |batch| batch.entries.len() == 5).await;
    fill(streams, 6, STREAM_MAX_LENGTH + 2000).await;
    let mut last = 5;
    let mut gap = false;
    read_until(&mut reader, "the last entry, and a gap", |batch| {
        gap |= batch.gap;
        assert!(seqs(batch).into_iter().all(|seq| std::mem::replace(&mut last, seq) < seq), "in order");
        gap && last == STREAM_MAX_LENGTH + 2005
    })
    .await;
}

async fn a_reader_that_keeps_up_sees_no_gap(place: Place) {
    let streams = place.streams();
    let mut reader = streams.open_reader(&node("g1"), &boot("b1")).await.unwrap();
    let started = std::time::Instant::now();
    let mut next = 1;
    // Long enough for several looks at the stream, and more entries than it keeps.
    while started.elapsed() < Duration::from_millis(2500) || next < STREAM_MAX_LENGTH + 3000 {
        fill(streams, next, 500).await;
        let mut read = 0;
        while read < 500 {
            let batch = reader.read(200, WAIT).await.unwrap();
            assert!(!batch.gap, "after {next}");
            let ids: Vec<String> = batch.entries.iter().map(|(id, _)| id.clone()).collect();
            read += ids.len();
            reader.acknowledge(ids).await.unwrap();
        }
        next += 500;
    }
    assert_eq!(reader.length(), 0);
}

async fn a_lease_has_one_holder(place: Place) {
    let registry = place.streams().registry();
    let ttl = Duration::from_millis(400);
    assert_eq!(registry.renew_lease(&node("g1"), &boot("b1"), ttl).await.unwrap().held_by, None);
    let refused = registry.renew_lease(&node("g1"), &boot("b2"), ttl).await.unwrap();
    assert_eq!((refused.held_by, refused.taken), (Some(boot("b1")), false));
    let nodes = ["g1".to_owned(), "g9".to_owned()];
    assert_eq!(registry.lease_holders(&nodes).await.unwrap(), [Some(boot("b1")), None]);
    registry.release_lease(&node("g1"), &boot("b2")).await.unwrap();
    assert_eq!(registry.lease_holders(&nodes).await.unwrap()[0], Some(boot("b1")), "not its own to give up");
    assert_eq!(registry.take_lease(&node("g1"), &boot("b3"), ttl).await.unwrap(), Some(boot("b1")), "a new boot wins");
    assert_eq!(registry.renew_lease(&node("g1"), &boot("b1"), ttl).await.unwrap().held_by, Some(boot("b3")));
    registry.release_lease(&node("g1"), &boot("b3")).await.unwrap();
    assert_eq!(registry.take_lease(&node("g1"), &boot("b1"), ttl).await.unwrap(), None);
    registry.release_lease(&node("g1"), &boot("b1")).await.unwrap();
    assert!(registry.renew_lease(&node("g1"), &boot("b2"), ttl).await.unwrap().taken);
    let expired = async {
        while registry.lease_holders(&nodes).await.unwrap()[0].is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(WAIT, expired).await.expect("the lease does not expire");
}

async fn connections_are_registered_found_and_pruned(place: Place) {
    let registry = place.streams().registry();
    let connection = |id: &str, of: &str| Registration {
        connection_id: ConnectionId::parse(id).unwrap(),
        user_id: user(of),
        boot_id: boot("b1"),
        connected_at_ms: 1_700_000_000_000,
    };
    let all = [connection("g1~1", "ann"), connection("g2~1", "ann"), connection("g1~2", "bob")];
    registry.register(&all).await.unwrap();
    registry.register(&all).await.unwrap();
    let users = [user("bob"), user("nobody"), user("ann")];
    let found = registry.connections(&users).await.unwrap();
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 2]);
    let ids: Vec<ConnectionId> = ["g1~1", "g9~9"].map(|id| ConnectionId::parse(id).unwrap()).into();
    assert_eq!(registry.lookup(&ids).await.unwrap(), [Some(all[0].clone()), None]);
    registry.unregister(&all[2..]).await.unwrap();
    // g1 lives and claims its connection; nobody claims that of g2.
    registry.renew_lease(&node("g1"), &boot("b1"), WAIT).await.unwrap();
    let of_ann = [all[0].connection_id.clone(), all[1].connection_id.clone()];
    registry.prune(&user("ann"), &of_ann).await.unwrap();
    let found = registry.connections(&users).await.unwrap();
    assert_eq!(found, [vec![], vec![], vec![all[0].connection_id.clone()]]);
    assert_eq!(registry.lookup(&[all[1].connection_id.clone()]).await.unwrap(), [None]);
    registry.release_lease(&node("g1"), &boot("b1")).await.unwrap();
    registry.renew_lease(&node("g1"), &boot("b2"), WAIT).await.unwrap();
    registry.prune(&user("ann"), &of_ann).await.unwrap();
    assert_eq!(registry.connections(&users).await.unwrap()[2], [], "the node lives, but in another boot");
    assert!(registry.connections(&[]).await.unwrap().is_empty());
}

async fn what_is_missing_is_noticed_and_all_there_is_is_found(place: Place) {
    let registry = place.streams().registry();
    let all: Vec<Registration> = (0..1_500)
        .map(|i| Registration {
            connection_id: ConnectionId::parse(&format!("g1~{i}")).unwrap(),
            user_id: user(&format!("u{}", i / 3)),
            boot_id: boot("b1"),
            connected_at_ms: 1,
        })
        .collect();
    registry.register(&all[..1_499]).await.unwrap();
    let kept = registry.keep(&all).await.unwrap();
    assert_eq!(kept.iter().position(|kept| !kept), Some(1_499), "the one that was not registered");
    assert!(registry.keep(&[]).await.unwrap().is_empty());
    let (mut found, mut at) = (HashSet::new(), Some(Mark::default()));
    while let Some(here) = at {
        let (ids, next) = registry.walk(here).await.unwrap();
        found.extend(ids);
        at = next;
    }
    assert_eq!(found.len(), 1_499);
}

async fn every_change_of_connections_is_a_new_version(place: Place) {
    let registry = place.streams().registry();
    let ann = Registration {
        connection_id: ConnectionId::parse("g1~1").unwrap(),
        user_id: user("ann"),
        boot_id: boot("b1"),
        connected_at_ms: 1_700_000_000_000,
    };
    let slice = connection_slice(&ann.user_id);
    let other = (slice + 1) % 64;
    let version = async || registry.versions(&[other, slice]).await.unwrap();
    assert_eq!(version().await, [None, None]);
    assert!(registry.versions(&[]).await.unwrap().is_empty());
    let mut seen = Vec::new();
    for round in 0..4 {
        match round {
            // the same once more is a change too: who asks cannot know that it was there
            0 | 1 => registry.register(std::slice::from_ref(&ann)).await.unwrap(),
            2 => registry.unregister(std::slice::from_ref(&ann)).await.unwrap(),
            _ => registry.prune(&ann.user_id, std::slice::from_ref(&ann.connection_id)).await.unwrap(),
        }
        let [None, Some(now)] = version().await[..] else { panic!("one slice has a version") };
        assert_eq!(version().await, [None, Some(now)], "and keeps it");
        assert!(!seen.contains(&now));
        seen.push(now);
    }
    place.flush().await;
    assert_eq!(version().await, [None, None]);
    registry.register(&[ann]).await.unwrap();
    let now = version().await[1].unwrap();
    assert!(!seen.contains(&now), "a flush brings no old version back");
}

async fn signals_reach_who_listens(place: Place) {
    let signals = place.streams().signals();
    let keys = place.streams().keys();
    let mut listener = signals.listen(vec![keys.outbox_wake(1), keys.auth_revoked()]).await.unwrap();
    signals.publish(&keys.outbox_wake(2), Bytes::from_static(b"not mine")).await.unwrap();
    signals.publish(&keys.outbox_wake(1), Bytes::from_static(b"\x00mine")).await.unwrap();
    let expected = Signal::Message { channel: keys.outbox_wake(1), payload: Bytes::from_static(b"\x00mine") };
    assert_eq!(timeout(WAIT, listener.next()).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_away_is_found_again_and_the_gap_is_told() {
    let place = Place::redis().await;
    let Place::Redis { streams, server } = &place else { panic!("redis was asked for") };
    let mut reader = streams.open_reader(&node("g1"), &boot("b1")).await.unwrap();
    let mut listener = streams.signals().listen(vec!["t:wake".to_owned()]).await.unwrap();
    streams.check().await.unwrap();
    server.process().kill9().await.unwrap();
    assert!(streams.check().await.is_err());
    assert!(streams.writer().add(vec![(node("g1"), event(1))]).await.is_err());
    server.process().start_again().await.unwrap();
    read_until(&mut reader, "the gap", |batch| batch.gap).await;
    assert_eq!(timeout(WAIT, listener.next()).await.unwrap(), Signal::Gap);
    let back = async {
        while streams.check().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(WAIT, back).await.expect("the connection does not come back");
    assert_eq!(streams.writer().add(vec![(node("g1"), event(2))]).await.unwrap(), [Added::Yes]);
    read_until(&mut reader, "the entry", |batch| seqs(batch) == [2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_does_not_hold_callers() {
    let place = Place::redis().await;
    let Place::Redis { streams, server } = &place else { panic!("redis was asked for") };
    frozen(streams, server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_of_a_cluster_does_not_hold_callers() {
    let place = Place::cluster().await;
    let Place::Cluster { streams, servers } = &place else { panic!("a cluster was asked for") };
    let owners =
        join_all(servers.nodes().iter().map(|server| server.command(&["XLEN", "t:gatewayId:g1:stream"]))).await;
    let owner = servers.nodes().iter().zip(owners).find(|(_, length)| length.is_ok());
    frozen(streams, owner.unwrap().0).await;
}

/// A frozen server holds its connections open and answers nothing.
async fn frozen(streams: &RedisStreams, server: &Redis) {
    let mut reader = streams.open_reader(&node("g1"), &boot("b1")).await.unwrap();
    let add = async |seq| streams.writer().add(vec![(node("g1"), event(seq))]).await;
    add(1).await.unwrap();
    server.process().pause().unwrap();
    let refused = timeout(Duration::from_secs(10), add(2)).await;
    assert!(refused.expect("the writer is held").is_err());
    server.process().resume().unwrap();
    let back = async {
        while add(3).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(WAIT, back).await.expect("the connection does not come back");
    read_until(&mut reader, "the entry", |batch| seqs(batch).contains(&3)).await;
}

/// Of a cluster, one server after the other is killed and comes back empty: that of the stream and that of the listener
/// are among them, and so is the one in the settings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_a_cluster_that_was_away_is_found_again_and_the_gap_is_told() {
    let place = Place::cluster().await;
    let Place::Cluster { streams, servers } = &place else { panic!("a cluster was asked for") };
    let mut reader = streams.open_reader(&node("g1"), &boot("b1")).await.unwrap();
    let mut listener = streams.signals().listen(vec!["t:wake".to_owned()]).await.unwrap();
    let mut gaps_of_the_stream = 0;
    for (round, server) in (1..).zip(servers.nodes()) {
        let has_listener = listens(server, "t:wake").await;
        let has_stream = server.command(&["XLEN", "t:gatewayId:g1:stream"]).await.is_ok();
        server.process().kill9().await.unwrap();
        if has_listener {
            // before the server is back: there are others
            assert_eq!(timeout(WAIT, listener.next()).await.unwrap(), Signal::Gap);
        }
        server.process().start_again().await.unwrap();
        if has_stream {
            read_until(&mut reader, "the gap", |batch| batch.gap).await;
            gaps_of_the_stream += 1;
        }
        let added = async {
            while !matches!(streams.writer().add(vec![(node("g1"), event(round))]).await.as_deref(), Ok([Added::Yes])) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(WAIT, added).await.expect("the cluster does not come back");
        read_until(&mut reader, "the entry", |batch| seqs(batch).contains(&round)).await;
        all_work(streams).await;
        // what came before the subscription was lost is of no interest
        let payload = Bytes::from(format!("round {round}"));
        streams.signals().publish("t:wake", payload.clone()).await.unwrap();
        let heard = async {
            while listener.next().await != (Signal::Message { channel: "t:wake".to_owned(), payload: payload.clone() })
            {
            }
        };
        timeout(WAIT, heard).await.expect("the listener does not hear");
    }
    assert_eq!(gaps_of_the_stream, 1);
}

async fn listens(server: &Redis, channel: &str) -> bool {
    let reply = server.command(&["PUBSUB", "NUMSUB", channel]).await.unwrap();
    let Reply::List(counts) = reply else { panic!("{reply:?}") };
    counts[1] != Reply::Number(0)
}

/// Asks for keys of every server.
async fn all_work(streams: &RedisStreams) {
    let users: Vec<UserId> = (0..200).map(|number| user(&format!("u{number}"))).collect();
    let working = async {
        while streams.registry().connections(&users).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(WAIT, working).await.expect("not all servers are back");
}

/// An operator makes streams and groups as well, to be read from their beginning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_made_by_somebody_else_meanwhile_does_not_keep_a_gateway_out() {
    let place = Place::redis().await;
    let Place::Redis { streams, server } = &place else { panic!("redis was asked for") };
    let client = ::redis::Client::open(server.url()).unwrap();
    let mut operator = client.get_multiplexed_async_connection().await.unwrap();
    let making = tokio::spawn(async move {
        loop {
            let mut create = ::redis::cmd("XGROUP");
            create.arg("CREATE").arg("t:gatewayId:g1:stream").arg("gateway").arg("0").arg("MKSTREAM");
            // mostly that there is one already; and in the end that the server is gone
            if create.query_async::<()>(&mut operator).await.is_err_and(|error| error.is_io_error()) {
                return;
            }
        }
    });
    let writer = streams.writer();
    for seq in 1..=200 {
        let mut reader = streams.open_reader(&node("g1"), &boot(&format!("b{seq}"))).await.unwrap();
        writer.add(vec![(node("g1"), event(seq))]).await.unwrap();
        let batch = reader.read(10, WAIT).await.unwrap();
        assert_eq!((seqs(&batch), batch.gap), (vec![seq], false), "from the end on");
    }
    making.abort();
}
