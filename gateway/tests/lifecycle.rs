//! How sessions end: deadlines, limits, slow clients, drains. And that others do not notice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use std::time::{Duration, Instant};

use chatcluster_gateway::Options;
use serde_json::json;
use support::{Platform, client::Client, eventually};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut ann = Client::open(&platform.url()).await;
    let connect = json!({"type": "CONNECT", "token": platform.issuer.token_for("ann", 2)});
    let started = Instant::now();
    ann.send(connect).await;
    ann.until("CONNECTED").await;
    platform.core.post("c1", "ann", "1").await;
    ann.until_seq("c1", 1).await;
    assert_eq!(ann.until_closed().await, Some(4410));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let position = ann.seen.iter().rfind(|frame| frame["type"] == "POSITION").unwrap();
    assert_eq!(position["position"], "1;c1=1", "it is told where it stands");
    eventually("the registry forgets it", async || platform.core.connections() == 0).await;
    platform.registered("ann", 0).await;
}

#[tokio::test]
async fn silence_before_connect_and_after_it_ends_a_session() {
    let options = Options {
        connect_timeout: Duration::from_millis(300),
        heartbeat: Duration::from_millis(200),
        ..Options::default()
    };
    let platform = Platform::with(options).await;
    let mut mute = Client::open(&platform.url()).await;
    assert_eq!(mute.until_closed().await, Some(4408));
    // this client answers pings while it reads, so it stays
    let mut alive = platform.client("ann").await;
    let still = tokio::time::timeout(Duration::from_secs(2), alive.next()).await;
    assert!(still.is_err(), "neither closed nor spoken to: {:?}", alive.seen);
    // and a client that does not even read its pings is gone after 2.5 heartbeats
    eventually("the unread one is cut", async || platform.metric("connections ").await < 1.0).await;
}

#[tokio::test]
async fn connections_are_limited_in_all_and_per_user() {
    let platform = Platform::with(Options { max_connections: 3, max_user_connections: 2, ..Options::default() }).await;
    let (_one, _two) = (platform.client("ann").await, platform.client("ann").await);
    let mut third = Client::open(&platform.url()).await;
    third.send(json!({"type": "CONNECT", "token": platform.issuer.token("ann")})).await;
    assert_eq!(third.until("ERROR").await["code"], "too_many_connections");
    assert_eq!(third.until_closed().await, Some(4430));
    eventually("it is gone", async || platform.metric("connections ").await <= 2.0).await;
    let _bob = platform.client("bob").await;
    let mut full = Client::open(&platform.url()).await;
    assert_eq!(full.until_closed().await, Some(1013));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_others_are_not() {
    let platform = Platform::with(Options { session_queue: 256 << 10, ..Options::default() }).await;
    platform.core.create("c1", &["ann", "bob"]);
    let (mut ann, mut bob) = (platform.client("ann").await, platform.client("bob").await);
    let content = "x".repeat(60_000);
    // more than kernel buffers and the queue hold
    let mut end = None;
    for n in 1..=300 {
        platform.core.post("c1", "ann", &content).await;
        ann.until_seq("c1", n).await;
        if end.is_none() && n % 10 == 0 && platform.metric("connections_closed").await > 0.0 {
            end = Some(bob.until_closed().await);
        }
    }
    assert_eq!(ann.seqs("c1"), (1..=300).collect::<Vec<_>>());
    assert_eq!(end, Some(Some(4429)));
    let got = bob.seqs("c1");
    assert_eq!(got, (1..=got.len() as u64).collect::<Vec<_>>(), "no hole before the end");
    // and it resumes where it was
    let last = *got.last().unwrap();
    let mut bob = platform.resuming("bob", json!({"c1": last})).await;
    bob.until_seq("c1", 300).await;
    assert_eq!(bob.seqs("c1"), (last + 1..=300).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_drain_answers_sends_tells_positions_and_gives_everything_back() {
    let platform = Platform::with(Options { drain: Duration::from_secs(2), ..Options::default() }).await;
    platform.core.create("c1", &["ann", "bob"]);
    let (mut ann, mut bob) = (platform.client("ann").await, platform.client("bob").await);
    ann.send_message("c1", "m1", "last words").await;
    ann.until("ACK").await;
    platform.shutdown.request();
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.until_closed().await, Some(1012));
        let last = client.seen.iter().rfind(|frame| frame["type"] == "POSITION").unwrap();
        assert_eq!(last["position"], "1;c1=1");
        assert_eq!(client.seqs("c1"), [1]);
    }
    let started = Instant::now();
    platform.gateway.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(platform.core.connections(), 0);
    assert!(tokio::net::TcpStream::connect(platform.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_clients_own_close_is_answered() {
    let platform = Platform::start().await;
    let mut ann = platform.client("ann").await;
    ann.send_raw(Message::Close(None)).await;
    assert_eq!(ann.until_closed().await, None);
    eventually("it is gone", async || platform.metric("connections ").await < 1.0).await;
    assert!(!ann.closed.is_empty(), "a close frame came back");
}

#[tokio::test]
async fn a_storm_of_connections_is_served() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann", "bob"]);
    let clients = (0..60).map(|n| platform.client(if n % 2 == 0 { "ann" } else { "bob" }));
    let mut clients = futures_util::future::join_all(clients).await;
    platform.core.post("c1", "ann", "to all").await;
    for client in &mut clients {
        client.until_seq("c1", 1).await;
    }
    eventually("core knows them", async || platform.core.connections() == 60).await;
    drop(clients);
    eventually("core forgets them", async || platform.core.connections() == 0).await;
}
