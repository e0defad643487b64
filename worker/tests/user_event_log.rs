//! The logs of user events, on a real Redis: one worker writes them, and another one when that one is gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chatcluster_contracts::log_id::LogId;
use chatcluster_service::{config::Secret, metrics::Metrics, shutdown::Shutdown};
use chatcluster_testkit::{Redis, WAIT, install};
use chatcluster_transport::{
    channels::Ear,
    event_log::embedded::EmbeddedLog,
    gateway_streams::{
        GatewayStreams, Signal,
        redis::{RedisOptions, RedisStreams},
    },
};
use chatcluster_worker::{Options, Parts, Worker};
use tokio::{runtime::Runtime, task::JoinHandle, time::timeout};

struct Running {
    shutdown: Shutdown,
    metrics: Metrics,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// A worker whose logs keep so many events.
async fn worker(redis: String, length: usize) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        fanout_batch: 64,
        fanout_queue: 100,
        member_cache: 1000,
        digest_interval: Duration::from_secs(1),
        registry_sync_interval: Duration::from_mins(5),
        user_event_log_length: length,
        user_event_log_idle: Duration::from_mins(1),
        fanout_broadcast_above: 1000,
        room_log_length: 100,
        room_log_idle: Duration::from_mins(1),
    };
    let parts = Parts {
        log: Arc::new(EmbeddedLog::open(&folder.path().join("log.db")).await.unwrap()),
        streams: Arc::new(RedisStreams::new(&RedisOptions::at(&redis)).unwrap()),
        core: chatcluster_service::rpc::channel(&"http://127.0.0.1:1".parse().unwrap()).unwrap(),
        service_token: Secret::new("token"),
    };
    let shutdown = Shutdown::manual();
    let worker = Worker::start(options, parts, shutdown.clone()).unwrap();
    let metrics = worker.metrics().clone();
    Running { shutdown, metrics, task: tokio::spawn(worker.run()), _folder: folder }
}

fn logged(worker: &Running) -> u64 {
    let text = worker.metrics.encode();
    let line = text.lines().find(|line| line.starts_with("chatcluster_worker_user_events_logged_total")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(WAIT, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn publish(redis: &Redis, user: &str, payload: &str) {
    redis.command(&["PUBLISH", &format!("workflow:events:{user}"), payload]).await.unwrap();
}

async fn is_written(streams: &RedisStreams) -> bool {
    streams.logs().is_written().await.unwrap_or(false)
}

async fn read(streams: &RedisStreams, user: &str) -> Vec<String> {
    let page = streams.logs().after(&format!("workflow:log:{user}"), LogId::default(), 100_000).await.unwrap();
    page.entries.iter().map(|entry| String::from_utf8(entry.payload.to_vec()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_logs_each_event_once_and_the_next_one_goes_on() {
    let installed = install::ready(install::quiet).await.unwrap();
    let redis = Redis::start(&installed).await.unwrap();
    let streams = RedisStreams::new(&RedisOptions::at(&redis.url())).unwrap();
    let (one, other) = (worker(redis.url(), 100).await, worker(redis.url(), 100).await);
    eventually("somebody writes", async || is_written(&streams).await).await;
    for n in 0..50 {
        publish(&redis, "ann", &n.to_string()).await;
        publish(&redis, "org_acme", &n.to_string()).await;
    }
    let all: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    eventually("all are logged", async || read(&streams, "org_acme").await.len() >= 50).await;
    assert_eq!((read(&streams, "ann").await, read(&streams, "org_acme").await), (all.clone(), all));
    let mut counts = [logged(&one), logged(&other)];
    counts.sort_unstable();
    assert_eq!(counts, [0, 100], "one of the two");

    // an orderly stop hands over at once
    let (writer, next) = if logged(&one) > 0 { (one, other) } else { (other, one) };
    writer.shutdown.request();
    timeout(WAIT, writer.task).await.expect("it stops").unwrap();
    eventually("the next one writes", async || is_written(&streams).await).await;
    publish(&redis, "ann", "after").await;
    eventually("it goes on", async || read(&streams, "ann").await.last().is_some_and(|last| last == "after")).await;
    assert_eq!(read(&streams, "ann").await.len(), 51);

    // Redis comes back with nothing
    redis.process().kill9().await.unwrap();
    redis.process().start_again().await.unwrap();
    eventually("it writes again", async || is_written(&streams).await).await;
    eventually("and hears again", async || {
        publish(&redis, "ann", "again").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        !read(&streams, "ann").await.is_empty()
    })
    .await;
    assert!(logged(&next) > 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_killed_is_replaced_once_its_lease_has_expired() {
    let installed = install::ready(install::quiet).await.unwrap();
    let redis = Redis::start(&installed).await.unwrap();
    let streams = RedisStreams::new(&RedisOptions::at(&redis.url())).unwrap();
    let logs = streams.logs();
    assert!(logs.hold("killed", Duration::from_secs(2), true).await.unwrap().is_held);
    let next = worker(redis.url(), 100).await;
    assert!(!logs.hold("somebody-else", Duration::from_secs(2), true).await.unwrap().is_held);
    assert_eq!(logged(&next), 0);
    eventually("it writes", async || {
        publish(&redis, "ann", "x").await;
        logged(&next) > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stops_writes_first_what_was_published_before() {
    let installed = install::ready(install::quiet).await.unwrap();
    let redis = Redis::start(&installed).await.unwrap();
    let streams = RedisStreams::new(&RedisOptions::at(&redis.url())).unwrap();
    let only = worker(redis.url(), 10_000).await;
    eventually("it writes", async || is_written(&streams).await).await;
    let burst = "for n = 1, 2000 do redis.call('PUBLISH', KEYS[1], n) end";
    redis.command(&["EVAL", burst, "1", "workflow:events:ann"]).await.unwrap();
    only.shutdown.request();
    timeout(WAIT, only.task).await.expect("it stops").unwrap();
    let all: Vec<String> = (1..=2000).map(|n| n.to_string()).collect();
    assert!(read(&streams, "ann").await == all, "each of them");
    assert!(!is_written(&streams).await, "and it gives its right up");
}

/// Waits until one more worker hears everything and has told the others where it begins to count.
async fn next_mark(ear: &mut Box<dyn Ear>) {
    let mut signals = Vec::new();
    let marked = |signal: Signal| matches!(signal, Signal::Message { channel, .. } if channel == "workflow:events:#");
    let waiting = async {
        loop {
            ear.hear(100, &mut signals).await;
            if signals.drain(..).any(marked) {
                return;
            }
        }
    };
    timeout(WAIT, waiting).await.expect("a worker listens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_while_nobody_writes_is_logged_once_and_in_order() {
    let installed = install::ready(install::quiet).await.unwrap();
    let redis = Arc::new(Redis::start(&installed).await.unwrap());
    let streams = RedisStreams::new(&RedisOptions::at(&redis.url())).unwrap();
    let mut marks = streams.channels().open_all("workflow:events:").await.unwrap();
    // a runtime of its own, which can be ended as a process is by kill -9
    let runtime = Runtime::new().unwrap();
    let killed = runtime.spawn(worker(redis.url(), 100_000)).await.unwrap();
    eventually("the first one writes", async || is_written(&streams).await).await;
    next_mark(&mut marks).await;
    // what the next one does not hear and must not count
    for _ in 0..3 {
        publish(&redis, "dan", "early").await;
    }
    let next = worker(redis.url(), 100_000).await;
    next_mark(&mut marks).await;

    let (stop, publisher) = (Arc::new(AtomicBool::new(false)), redis.clone());
    let stopped = stop.clone();
    let publishing = tokio::spawn(async move {
        let mut count = 0;
        while !stopped.load(Ordering::Relaxed) {
            publish(&publisher, "ann", &count.to_string()).await;
            // what is published again and again is as often in the log
            publish(&publisher, "org_acme", "the same").await;
            count += 1;
        }
        count
    });
    eventually("the first one has written some", async || logged(&killed) > 50).await;
    runtime.shutdown_background();
    eventually("the next one writes", async || logged(&next) > 50).await;

    // and an orderly stop, while the third one listens
    let third = worker(redis.url(), 100_000).await;
    next_mark(&mut marks).await;
    next.shutdown.request();
    timeout(WAIT, next.task).await.expect("it stops").unwrap();
    eventually("the third one writes", async || logged(&third) > 50).await;
    stop.store(true, Ordering::Relaxed);
    let count: usize = publishing.await.unwrap();
    eventually("all are logged", async || read(&streams, "org_acme").await.len() >= count).await;
    let all: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    let ann = read(&streams, "ann").await;
    let missing: Vec<&String> = all.iter().filter(|one| !ann.contains(one)).collect();
    assert!(ann == all, "each once and in order: {} of {count} are there, missing {missing:?}", ann.len());
    assert_eq!(read(&streams, "dan").await.len(), 3);
    assert_eq!(read(&streams, "org_acme").await.len(), count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_logged_before_redis_lost_it_is_not_logged_again() {
    let installed = install::ready(install::quiet).await.unwrap();
    let redis = Redis::start(&installed).await.unwrap();
    let streams = RedisStreams::new(&RedisOptions::at(&redis.url())).unwrap();
    let mut marks = streams.channels().open_all("workflow:events:").await.unwrap();
    let runtime = Runtime::new().unwrap();
    let killed = runtime.spawn(worker(redis.url(), 100)).await.unwrap();
    eventually("the first one writes", async || is_written(&streams).await).await;
    next_mark(&mut marks).await;
    let next = worker(redis.url(), 100).await;
    next_mark(&mut marks).await;
    let log = async |first: u64, last: u64| {
        for n in first..=last {
            publish(&redis, "ann", &n.to_string()).await;
        }
        eventually("they are logged", async || read(&streams, "ann").await.last() == Some(&last.to_string())).await;
    };
    log(1, 20).await;

    // whoever wrote goes on, and nobody else, also when nobody has the lease any more
    redis.flush().await.unwrap();
    eventually("it is written again", async || is_written(&streams).await).await;
    log(21, 30).await;
    assert_eq!(read(&streams, "ann").await.len(), 10);
    assert_eq!((logged(&killed), logged(&next)), (30, 0));

    // whoever wrote is lost together with the data
    redis.process().kill9().await.unwrap();
    runtime.shutdown_background();
    redis.process().start_again().await.unwrap();
    eventually("the next one writes", async || is_written(&streams).await).await;
    eventually("and hears again", async || {
        publish(&redis, "bob", "anybody there?").await;
        !read(&streams, "bob").await.is_empty()
    })
    .await;
    log(31, 40).await;
    assert_eq!(read(&streams, "ann").await.len(), 10, "{:?}", read(&streams, "ann").await);
}
