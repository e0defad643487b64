//! What every implementation of channels and their logs promises, asked of memory, of Redis and of a Redis Cluster alike.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chatcluster_contracts::log_id::LogId;
use chatcluster_testkit::{WAIT, redis::Reply};
use chatcluster_transport::{
    channels::{ChannelLogs, Ear, NewEntry, Retention, Standing},
    gateway_streams::{
        GatewayStreams, Signal,
        redis::{RedisOptions, RedisStreams},
    },
};
use support::{Place, listen};
use tokio::time::timeout;

const KEEP: Retention = Retention { entries: 1000, idle: Duration::from_mins(1) };

for_all!(
    who_listens_hears_what_is_published_from_then_on,
    many_channels_at_once_and_one_of_them_given_up,
    all_channels_of_a_prefix_and_no_others,
    entries_are_read_once_in_order_from_anywhere,
    whoever_is_told_of_an_entry_finds_it,
    an_entry_written_again_is_there_once,
    a_log_keeps_so_many_and_says_what_is_gone,
    one_writes_at_a_time,
    after_a_loss_whoever_wrote_before_is_first,
    what_nodes_say_is_forgotten,
);

async fn publish(place: &Place, channel: &str, payload: &str) {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    place.streams.signals().publish(channel, payload).await.unwrap();
}

/// The next `count` messages.
async fn messages(ear: &mut dyn Ear, count: usize) -> Vec<(String, String)> {
    let text = |payload: Bytes| String::from_utf8(payload.to_vec()).unwrap();
    support::messages(ear, count).await.into_iter().map(|(channel, payload)| (channel, text(payload))).collect()
}

/// Where the next messages come from, sorted: servers of a cluster tell each other in no order.
async fn channels(ear: &mut dyn Ear, count: usize) -> Vec<String> {
    let mut channels: Vec<String> = messages(ear, count).await.into_iter().map(|(channel, _)| channel).collect();
    channels.sort();
    channels
}

async fn who_listens_hears_what_is_published_from_then_on(place: Place) {
    let (subscriptions, mut ear) = place.streams.channels().open();
    listen(&subscriptions, "a").await;
    for n in 0..300 {
        publish(&place, "a", &n.to_string()).await;
    }
    let heard = messages(&mut *ear, 300).await;
    assert!(heard.iter().enumerate().all(|(n, (channel, text))| channel == "a" && *text == n.to_string()));
    subscriptions.unsubscribe("a");
    listen(&subscriptions, "a").await;
    publish(&place, "a", "again").await;
    assert_eq!(messages(&mut *ear, 1).await[0].1, "again");
}

async fn many_channels_at_once_and_one_of_them_given_up(place: Place) {
    let (subscriptions, mut ear) = place.streams.channels().open();
    for n in 0..2500 {
        subscriptions.subscribe(&format!("c{n}"));
    }
    for n in 0..2500 {
        timeout(WAIT, subscriptions.listening(&format!("c{n}"))).await.unwrap();
    }
    subscriptions.unsubscribe("c7");
    // what was told in one go after it is there
    listen(&subscriptions, "later").await;
    for channel in ["c7", "c8", "c2499", "later"] {
        publish(&place, channel, channel).await;
    }
    assert_eq!(channels(&mut *ear, 3).await, ["c2499", "c8", "later"]);
}

async fn all_channels_of_a_prefix_and_no_others(place: Place) {
    let mut ear = place.streams.channels().open_all("t*:x:").await.unwrap();
    for channel in ["t*:y:a", "tt:x:a", "t*:x:a", "t*:x:", "t*:x:b"] {
        publish(&place, channel, "1").await;
    }
    assert_eq!(channels(&mut *ear, 3).await, ["t*:x:", "t*:x:a", "t*:x:b"]);
}

fn entry(log: &str, n: usize) -> NewEntry {
    NewEntry {
        log: format!("log-of-{log}"),
        notice: format!("notice-{log}"),
        payload: Bytes::from(n.to_string()),
        token: format!("w-{n}"),
    }
}

async fn entries_are_read_once_in_order_from_anywhere(place: Place) {
    let logs = place.streams.logs();
    let all: Vec<NewEntry> = (0..450).map(|n| entry(if n % 3 == 0 { "other" } else { "ann" }, n)).collect();
    logs.append(&all, KEEP, false).await.unwrap();
    let wanted: Vec<String> = (0..450).filter(|n| n % 3 != 0).map(|n| n.to_string()).collect();
    let (mut read, mut at) = (Vec::new(), LogId::default());
    loop {
        let page = logs.after("log-of-ann", at, 70).await.unwrap();
        for entry in page.entries {
            assert_eq!(entry.before, at, "the one before it");
            at = entry.id;
            read.push(String::from_utf8(entry.payload.to_vec()).unwrap());
        }
        assert_eq!(page.reached, at);
        if !page.more {
            break;
        }
    }
    assert_eq!(read, wanted);
    let last = logs.last("log-of-ann", 3).await.unwrap();
    let payloads: Vec<&[u8]> = last.entries.iter().map(|entry| &entry.payload[..]).collect();
    assert_eq!((payloads, last.reached), (vec![&b"446"[..], b"448", b"449"], at));
    let end = logs.last("log-of-ann", 0).await.unwrap();
    assert_eq!((end.entries.len(), end.reached), (0, at));
    assert_eq!(logs.last("log-of-nobody", 3).await.unwrap().reached, LogId::default());
}

async fn whoever_is_told_of_an_entry_finds_it(place: Place) {
    let (subscriptions, mut ear) = place.streams.channels().open();
    listen(&subscriptions, "notice-ann").await;
    let logs = place.streams.logs();
    for n in 0..200 {
        let (writer, new) = (logs.clone(), entry("ann", n));
        let writing = tokio::spawn(async move { writer.append(&[new], KEEP, false).await.unwrap() });
        let told = messages(&mut *ear, 1).await;
        let found = logs.last("log-of-ann", 1).await.unwrap();
        assert_eq!(
            (found.reached.to_string(), &found.entries[0].payload[..]),
            (told[0].1.clone(), n.to_string().as_bytes())
        );
        writing.await.unwrap();
    }
}

async fn an_entry_written_again_is_there_once(place: Place) {
    let logs = place.streams.logs();
    let all: Vec<NewEntry> = (0..20).map(|n| entry("ann", n)).collect();
    logs.append(&all[..12], KEEP, false).await.unwrap();
    logs.append(&all, KEEP, true).await.unwrap();
    let read = logs.after("log-of-ann", LogId::default(), 100).await.unwrap();
    let read: Vec<String> =
        read.entries.iter().map(|entry| String::from_utf8(entry.payload.to_vec()).unwrap()).collect();
    assert_eq!(read, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

async fn a_log_keeps_so_many_and_says_what_is_gone(place: Place) {
    let logs = place.streams.logs();
    let keep = Retention { entries: 100, idle: Duration::from_millis(700) };
    let all: Vec<NewEntry> = (0..1000).map(|n| entry("ann", n)).collect();
    logs.append(&all, keep, false).await.unwrap();
    let page = logs.after("log-of-ann", LogId::default(), 1000).await.unwrap();
    assert!((100..=250).contains(&page.entries.len()), "{}", page.entries.len());
    assert_ne!(page.entries[0].before, LogId::default(), "there was something before");
    let gone = async {
        while logs.last("log-of-ann", 1).await.unwrap().reached != LogId::default() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(WAIT, gone).await.expect("idle logs are removed");
}

async fn one_writes_at_a_time(place: Place) {
    const TTL: Duration = Duration::from_millis(600);
    let logs: Arc<dyn ChannelLogs> = place.streams.logs();
    assert!(
        logs.hold("one", TTL, false).await.unwrap().is_held && !logs.hold("other", TTL, true).await.unwrap().is_held
    );
    assert!(!logs.is_written().await.unwrap(), "nobody hears anything yet");
    assert!(logs.hold("one", TTL, true).await.unwrap().is_held && logs.is_written().await.unwrap());
    logs.release("other").await.unwrap();
    assert!(logs.is_written().await.unwrap());
    let taken = async {
        while !logs.hold("other", TTL, false).await.unwrap().is_held {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(WAIT, taken).await.expect("it expires");
    logs.release("other").await.unwrap();
    assert!(logs.hold("one", TTL, true).await.unwrap().is_held, "given up");
}

async fn after_a_loss_whoever_wrote_before_is_first(place: Place) {
    const TTL: Duration = Duration::from_millis(600);
    let logs: Arc<dyn ChannelLogs> = place.streams.logs();
    let nobody = Standing { is_held: false, life: None };
    assert_eq!(logs.stand_by("other", TTL).await.unwrap(), nobody, "nobody has ever written");
    assert!(logs.hold("one", TTL, true).await.unwrap().is_held);
    let waiting = logs.stand_by("other", TTL).await.unwrap();
    assert!(!waiting.is_held && waiting.life.is_some());
    place.flush().await;
    assert_eq!(logs.stand_by("other", TTL).await.unwrap(), nobody);
    assert!(logs.hold("one", TTL, true).await.unwrap().is_held);
    let later = logs.stand_by("other", TTL).await.unwrap();
    assert!(!later.is_held && later.life != waiting.life, "other data, other logs");
    logs.release("one").await.unwrap();
    assert_eq!(logs.stand_by("other", TTL).await.unwrap(), Standing { is_held: true, ..later });
}

async fn what_nodes_say_is_forgotten(place: Place) {
    let logs = place.streams.logs();
    let fresh = Duration::from_secs(1);
    logs.note("a", "{\"n\": 1}", fresh).await.unwrap();
    let mut all = logs.note("b", "2", fresh).await.unwrap();
    all.sort();
    assert_eq!(all, [("a".to_owned(), "{\"n\": 1}".to_owned()), ("b".to_owned(), "2".to_owned())]);
    let forgotten = async {
        while logs.note("b", "3", fresh).await.unwrap().len() > 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(WAIT, forgotten).await.expect("a says nothing any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_comes_back_with_all_channels() {
    let server = support::redis().await;
    let streams = RedisStreams::new(&RedisOptions::at(&server.url())).unwrap();
    let (subscriptions, mut ear) = streams.channels().open();
    let mut all = streams.channels().open_all("").await.unwrap();
    for channel in ["a", "b", "c"] {
        listen(&subscriptions, channel).await;
    }
    server.process().kill9().await.unwrap();
    subscriptions.unsubscribe("b");
    subscriptions.subscribe("d");
    server.process().start_again().await.unwrap();
    for ear in [&mut ear, &mut all] {
        let mut signals = Vec::new();
        timeout(WAIT, ear.hear(1, &mut signals)).await.expect("it is back");
        assert_eq!(signals, [Signal::Gap]);
    }
    for channel in ["b", "a", "c", "d"] {
        server.command(&["PUBLISH", channel, "x"]).await.unwrap();
    }
    assert_eq!(channels(&mut *ear, 3).await, ["a", "c", "d"]);
    assert_eq!(messages(&mut *all, 4).await.len(), 4);
    drop(ear);
    let gone = async {
        while server.command(&["PUBSUB", "NUMSUB", "a"]).await.unwrap()
            != Reply::List(vec![Reply::Text("a".into()), Reply::Number(0)])
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(WAIT, gone).await.expect("who hears no more does not listen");
}
