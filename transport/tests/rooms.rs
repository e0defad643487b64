//! What every implementation of rooms promises, asked of memory, of Redis and of a Redis Cluster alike.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use chatcluster_contracts::{ids::ConversationId, log_id::LogId, room_message::RoomMessage, seq::Seq};
use chatcluster_testkit::{WAIT, redis::Reply};
use chatcluster_transport::{
    channels::{
        Ear, Retention,
        rooms::{Recorded, RoomRecord},
    },
    gateway_streams::Signal,
};
use support::{Place, cluster, cluster_streams, listen, messages};
use tokio::time::timeout;

const KEEP: Retention = Retention { entries: 1000, idle: Duration::from_mins(1) };

for_all!(
    who_listens_to_a_room_hears_it_and_no_other,
    a_record_is_logged_and_heard_once_however_often_it_is_written,
    records_of_several_rooms_and_partitions_go_their_ways_together,
);

fn id(room: &str) -> ConversationId {
    ConversationId::parse(room).unwrap()
}

fn digest(head: u64) -> RoomMessage {
    RoomMessage::Digest { head: Seq::new(head) }
}

fn record(room: &str, partition: i32, offset: i64) -> RoomRecord {
    let frame = Bytes::from(format!("{{\"n\":\"{partition}-{offset}\"}}"));
    RoomRecord { room: id(room), partition, offset, timestamp_ms: 1_700_000_000_000 + offset, frame }
}

fn channel(place: &Place, room: &str) -> String {
    place.streams.keys().room(&id(room))
}

/// The next `count` messages and their channels.
async fn heard(ear: &mut dyn Ear, count: usize) -> Vec<(String, RoomMessage)> {
    let decoded = |payload: Bytes| RoomMessage::decode(&payload).unwrap();
    messages(ear, count).await.into_iter().map(|(channel, payload)| (channel, decoded(payload))).collect()
}

async fn who_listens_to_a_room_hears_it_and_no_other(place: Place) {
    let rooms = place.streams.rooms();
    let (subscriptions, mut ear) = rooms.open();
    let names: Vec<String> = (0..40).map(|n| format!("r{n}")).collect();
    for name in &names {
        listen(&subscriptions, &channel(&place, name)).await;
    }
    subscriptions.unsubscribe(&channel(&place, "r7"));
    listen(&subscriptions, &channel(&place, "last")).await;
    let all: Vec<_> = names.iter().map(String::as_str).chain(["elsewhere"]).map(|name| (id(name), digest(1))).collect();
    rooms.publish(&all).await.unwrap();
    rooms.publish(&(2..=50).map(|n| (id("last"), digest(n))).collect::<Vec<_>>()).await.unwrap();
    let heard = heard(&mut *ear, 39 + 49).await;
    let of = |name: &str| heard.iter().filter(|(of, _)| *of == channel(&place, name)).count();
    assert_eq!((of("r7"), of("r8"), of("elsewhere")), (0, 1, 0));
    let last: Vec<_> = heard.iter().filter(|(of, _)| *of == channel(&place, "last")).collect();
    assert_eq!(
        last.iter().map(|(_, message)| message.clone()).collect::<Vec<_>>(),
        (2..=50).map(digest).collect::<Vec<_>>()
    );
}

async fn a_record_is_logged_and_heard_once_however_often_it_is_written(place: Place) {
    let rooms = place.streams.rooms();
    let (subscriptions, mut ear) = rooms.open();
    listen(&subscriptions, &channel(&place, "r")).await;
    let all: Vec<_> = (0..20).map(|offset| record("r", 3, offset)).collect();
    assert_eq!(rooms.record(&all[..12], KEEP).await.unwrap(), [Recorded::New; 12]);
    let again = rooms.record(&all, KEEP).await.unwrap();
    assert_eq!((&again[..12], &again[12..]), (&[Recorded::Repeat; 12][..], &[Recorded::New; 8][..]));
    // another partition has offsets of its own, and a topic that was made anew begins anew
    let anew = RoomRecord { timestamp_ms: 1_800_000_000_000, ..record("r", 3, 0) };
    let more = [record("r", 4, 0), anew.clone(), anew];
    let outcomes = rooms.record(&more, KEEP).await.unwrap();
    assert_eq!(outcomes, [Recorded::New, Recorded::New, Recorded::Repeat]);
    let mut before = LogId::default();
    let mut frames = Vec::new();
    for (_, message) in heard(&mut *ear, 22).await {
        let RoomMessage::Record { id, before: told, frame } = message else { panic!("{message:?}") };
        assert_eq!(told, before, "each names the one before it");
        before = id;
        frames.push(frame);
    }
    let log = place.streams.keys().room_log(&id("r"));
    let logged = place.streams.logs().after(&log, LogId::default(), 100).await.unwrap();
    assert_eq!(logged.reached, before);
    assert_eq!(logged.entries.iter().map(|entry| entry.payload.clone()).collect::<Vec<_>>(), frames);
    assert_eq!(logged.entries[5].token, "3-5");
}

async fn records_of_several_rooms_and_partitions_go_their_ways_together(place: Place) {
    let rooms = place.streams.rooms();
    let all: Vec<_> = (0..500).map(|n| record(&format!("r{}", n % 7), i32::from(n % 3 == 0), n)).collect();
    assert_eq!(rooms.record(&all, KEEP).await.unwrap(), vec![Recorded::New; 500]);
    let mut count = 0;
    for n in 0..7 {
        let log = place.streams.keys().room_log(&id(&format!("r{n}")));
        count += place.streams.logs().after(&log, LogId::default(), 1000).await.unwrap().entries.len();
    }
    assert_eq!(count, 500);
}

/// What is published to a room does not leave the server that has it, and a server that dies takes nothing but its own
/// rooms along, for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_hears_a_room_at_one_server_and_again_after_its_death() {
    let servers = cluster().await;
    let streams = cluster_streams(&servers);
    let rooms = streams.rooms();
    let (subscriptions, mut ear) = rooms.open();
    let names: Vec<String> = (0..30).map(|n| format!("r{n}")).collect();
    let channel = |name: &str| streams.keys().room(&id(name));
    for name in &names {
        listen(&subscriptions, &channel(name)).await;
    }
    let mut held = Vec::new();
    for node in servers.nodes() {
        let Reply::List(list) = node.command(&["PUBSUB", "SHARDCHANNELS"]).await.unwrap() else { panic!("no list") };
        assert!((1..30).contains(&list.len()), "{list:?}");
        held.push(list.len());
    }
    assert_eq!(held.iter().sum::<usize>(), 30, "each at one server");
    let victim = &servers.nodes()[2];
    victim.process().kill9().await.unwrap();
    victim.process().start_again().await.unwrap();
    let mut signals = Vec::new();
    while !signals.contains(&Signal::Gap) {
        signals.clear();
        timeout(WAIT * 2, ear.hear(10, &mut signals)).await.expect("it says that something may be lost");
    }
    let all: Vec<_> = names.iter().map(|name| (id(name), digest(1))).collect();
    let published = async {
        while rooms.publish(&all).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(WAIT * 2, published).await.expect("the cluster is whole again");
    let mut missing: std::collections::HashSet<String> = names.iter().map(|name| channel(name)).collect();
    while !missing.is_empty() {
        let mut signals = Vec::new();
        timeout(WAIT, ear.hear(100, &mut signals)).await.unwrap_or_else(|_| panic!("nothing of {missing:?}"));
        for signal in signals {
            if let Signal::Message { channel, .. } = signal {
                missing.remove(&channel);
            }
        }
    }
    drop(ear);
}
