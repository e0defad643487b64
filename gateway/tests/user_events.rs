//! User events on a real Redis, as their publishers and listeners meet them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chatcluster_gateway::Options;
use chatcluster_testkit::redis::Reply;
use chatcluster_transport::gateway_streams::GatewayStreams;
use futures_util::{SinkExt, StreamExt, stream};
use serde_json::{Value, json};
use support::{
    SERVICE_TOKEN, eventually,
    listeners::{Hall, LogKeeper, Socket, close_code, next, next_text, texts},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

fn open() -> Options {
    Options { user_events_open: true, ..Options::default() }
}

/// Many connections of few names.
fn crowded() -> Options {
    Options { user_events_max_connections: 5000, user_events_connect_rate: 0, ..open() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_event_reaches_the_users_sockets_byte_for_byte() {
    let hall = Hall::with(open()).await;
    let (mut one, mut other) = (hall.listen("test-user").await, hall.listen("test-user").await);
    let mut stranger = hall.listen("other-user").await;
    // key order, spaces, fields nobody knows, a line break
    let event = "{\"type\":\"test\", \"z\":1,\"a\" : [1.0,2e3],\n\"message\":\"h\u{e9}llo\"}";
    assert_eq!(hall.publish("test-user", event).await, 1, "one gateway listens");
    for socket in [&mut one, &mut other] {
        assert_eq!(next(socket).await, Message::text(event));
    }
    hall.publish("test-user", "no json at all").await;
    assert_eq!(next(&mut one).await, Message::text("no json at all"));
    let streams = hall.streams();
    streams.signals().publish("workflow:events:test-user", Bytes::from_static(b"\xff\x00")).await.unwrap();
    assert_eq!(next(&mut one).await, Message::binary(vec![0xff, 0x00]), "what is no text is a binary message");
    // what a listener says counts for nothing
    one.send(Message::text("hello?")).await.unwrap();
    one.send(Message::binary(vec![1])).await.unwrap();
    one.send(Message::Ping(b"x".to_vec().into())).await.unwrap();
    assert_eq!(next(&mut one).await, Message::Pong(b"x".to_vec().into()));
    hall.publish("other-user", "mine").await;
    assert_eq!(next(&mut stranger).await, Message::text("mine"), "and nothing before it");
    for path in ["/health", "/healthz", "/readyz", "/metrics"] {
        assert_eq!(hall.get(path).await.status(), 200, "{path}");
    }
    assert_eq!(hall.get("/ws?username=a").await.status(), 426);
    assert_eq!(hall.get("/else").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_users_hear_their_own_canaries_and_nothing_else() {
    const USERS: usize = 1000;
    let hall = Hall::with(crowded()).await;
    let mut sockets: Vec<Socket> =
        stream::iter(0..USERS).map(|n| hall.listen_to(format!("user-{n}"))).buffered(50).collect().await;
    // some names begin as others do, and the order of publishing is not that of connecting
    for round in 0..3 {
        for n in (0..USERS).rev() {
            let payload = Bytes::from(format!("canary-{n}-{round}"));
            let channel = format!("workflow:events:user-{n}");
            hall.streams().signals().publish(&channel, payload).await.unwrap();
        }
    }
    for (n, socket) in sockets.iter_mut().enumerate() {
        for round in 0..3 {
            assert_eq!(next_text(socket).await, format!("canary-{n}-{round}"));
        }
        hall.streams().signals().publish(&format!("workflow:events:user-{n}"), "end".into()).await.unwrap();
        assert_eq!(next_text(socket).await, "end", "nothing came in between");
    }
    assert_eq!(hall.numsub("user-7").await, 1);
    drop(sockets);
    eventually("nobody is listened to any more", async || hall.numsub("user-7").await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stalled_socket_is_cut_and_disturbs_nobody() {
    const EVENTS: usize = 2000;
    let options = Options { session_queue: 256 << 10, socket_send_buffer: 64 << 10, ..open() };
    let hall = Hall::with(options).await;
    let mut stalled = hall.listen("ann").await;
    let mut reading = hall.listen("ann").await;
    let payload = "x".repeat(4096);
    let read = Arc::new(AtomicUsize::new(0));
    let count = read.clone();
    let reader = tokio::spawn(async move {
        for n in 0..EVENTS {
            assert!(next_text(&mut reading).await.starts_with(&format!("{n:05}")), "all of them, in order");
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    for n in 0..EVENTS {
        hall.streams().signals().publish("workflow:events:ann", format!("{n:05}{payload}").into()).await.unwrap();
        // as fast as a listener on this machine reads
        while n > read.load(Ordering::SeqCst) + 40 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    reader.await.unwrap();
    eventually("it is cut off", async || hall.metric("connections_closed").await >= 1.0).await;
    assert!(hall.metrics().await.contains("connections_closed_total{reason=\"slow_consumer\"} 1"));
    // it is hung up on after a while, and then its last words are lost
    assert!(matches!(close_code(&mut stalled).await, None | Some(4429)));
    assert_eq!(hall.get("/health").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_was_killed_is_listened_to_again() {
    let hall = Hall::with(open()).await;
    let (mut ann, mut bob) = (hall.listen("ann").await, hall.listen("bob").await);
    hall.publish("ann", "before").await;
    assert_eq!(next_text(&mut ann).await, "before");
    hall.redis.process().kill9().await.unwrap();
    hall.redis.process().start_again().await.unwrap();
    eventually("listened to again", async || hall.numsub("bob").await == 1).await;
    hall.publish("ann", "after").await;
    hall.publish("bob", "too").await;
    assert_eq!((next_text(&mut ann).await, next_text(&mut bob).await), ("after".into(), "too".into()));
    assert!(hall.metric("user_event_gaps").await >= 1.0);
    let mut new = hall.listen("new").await;
    hall.publish("new", "x").await;
    assert_eq!(next_text(&mut new).await, "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_its_own_name_and_those_it_names() {
    let hall = Hall::with(Options::default()).await;
    let refused = async |query: &str, token: Option<&str>| {
        let problem = hall.ask(query, token).await.expect_err("refused");
        (problem["status"].as_u64().unwrap(), problem["code"].as_str().unwrap().to_owned())
    };
    let ann = hall.issuer.token("ann");
    assert_eq!(refused("username=ann", None).await, (401, "unauthenticated".into()));
    assert_eq!(refused("username=ann", Some("nonsense")).await, (401, "unauthenticated".into()));
    assert_eq!(refused("username=bob", Some(&ann)).await, (403, "forbidden".into()));
    assert_eq!(refused("username=org_acme", Some(&ann)).await, (403, "forbidden".into()));
    assert_eq!(refused("username=", Some(&ann)).await, (400, "bad_request".into()));
    assert_eq!(refused("username=a*", Some(&ann)).await, (400, "bad_request".into()));
    assert_eq!(refused("username=ann&ticket=unknown", None).await, (401, "unauthenticated".into()));
    // a token in the address is none
    assert_eq!(refused(&format!("username=ann&token={ann}"), None).await, (401, "unauthenticated".into()));

    let member = hall.issuer.token_with("ann", &json!({"userEvents": ["org_acme", "not a name"]}));
    let mut acme = hall.ask("username=org_acme", Some(&member)).await.unwrap();
    let mut own = hall.ask("username=ann", Some(&member)).await.unwrap();
    hall.publish("org_acme", "for all of acme").await;
    hall.publish("ann", "for ann").await;
    assert_eq!((next_text(&mut acme).await, next_text(&mut own).await), ("for all of acme".into(), "for ann".into()));

    hall.core.add_ticket("t1", "ann");
    let mut by_ticket = hall.ask("username=ann&ticket=t1", None).await.unwrap();
    hall.publish("ann", "by ticket").await;
    assert_eq!(next_text(&mut by_ticket).await, "by ticket");
    assert_eq!(refused("username=ann&ticket=t1", None).await.0, 401, "once");

    let mut short = hall.ask("username=ann", Some(&hall.issuer.token_for("ann", 3))).await.unwrap();
    assert_eq!(close_code(&mut short).await, Some(4410), "it ends with its token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_are_refused_even_where_it_is_open() {
    let hall = Hall::with(Options { allowed_origins: vec!["https://app.example".into()], ..open() }).await;
    let from = async |origin: &str| {
        let request = reqwest::Client::new().get(hall.url("/user-events?username=ann")).header("origin", origin);
        request.header("accept", "text/event-stream").send().await.unwrap()
    };
    assert_eq!(from("https://evil.example").await.status(), 403);
    let answer = from("https://app.example").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
        (200, &"https://app.example".parse().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_has_so_many_connections_attempts_and_messages() {
    let options =
        Options { user_events_max_connections: 2, user_events_rate: 5, user_events_connect_rate: 0, ..open() };
    let hall = Hall::with(options).await;
    let (mut one, other) = (hall.listen("ann").await, hall.listen("ann").await);
    let full = hall.ask("username=ann", None).await.expect_err("full");
    assert_eq!((full["status"].as_u64(), full["code"].as_str()), (Some(429), Some("too_many_connections")));
    let _somebody_else = hall.listen("bob").await;
    drop(other);
    eventually("there is room again", async || hall.ask("username=ann", None).await.is_ok()).await;
    for n in 0..100 {
        hall.streams().signals().publish("workflow:events:ann", n.to_string().into()).await.unwrap();
    }
    // twice the rate at once, and what comes back of it meanwhile
    eventually("the others are dropped", async || hall.metric("user_events_limited").await >= 50.0).await;
    assert_eq!(texts(&mut one, 10).await, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());

    let slow = hall.another("gateway-2", Options { user_events_connect_rate: 2, ..open() }).await;
    let mut last = (String::new(), String::new());
    eventually("too many attempts", async || {
        last = slow.raw("GET /ws?username=ann HTTP/1.1").await;
        last.0.starts_with("HTTP/1.1 429")
    })
    .await;
    assert!(last.0.contains("Retry-After: 1") && last.1.contains("rate_limited"), "{last:?}");
    assert!(slow.raw("GET /ws?username=bob HTTP/1.1").await.0.starts_with("HTTP/1.1 101"), "somebody else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_comes_first_and_nothing_is_missed_or_doubled_where_it_ends() {
    let hall = Hall::with(crowded()).await;
    let keeper = LogKeeper::start(hall.streams(), 10_000).await;
    for n in 0..50 {
        hall.publish("ann", &format!("{{\"n\":{n}}}")).await;
    }
    keeper.wrote(50).await;
    let mut past = hall.ask("username=ann&history=3", None).await.unwrap();
    assert_eq!(texts(&mut past, 3).await, ["{\"n\":47}", "{\"n\":48}", "{\"n\":49}"], "the bytes alone");

    // events go on while listeners come, each from somewhere else
    let publisher = {
        let streams = hall.streams();
        tokio::spawn(async move {
            for n in 50..800 {
                let payload = Bytes::from(format!("{{\"n\":{n}}}"));
                streams.signals().publish("workflow:events:ann", payload).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    };
    let hears = async |query: String, first: Option<u64>| {
        let mut socket = hall.ask(&query, None).await.unwrap();
        let (mut ids, mut expected) = (BTreeSet::new(), first);
        loop {
            let frame: Value = serde_json::from_str(&next_text(&mut socket).await).unwrap();
            let n = frame["data"]["n"].as_u64().unwrap();
            assert_eq!(n, *expected.get_or_insert(n), "in order, each once: {frame}");
            assert!(ids.insert(frame["id"].as_str().unwrap().to_owned()), "{frame}");
            if n == 799 {
                return;
            }
            expected = Some(n + 1);
        }
    };
    let first = hall.first_id("ann").await;
    let listeners = stream::iter(0..30u64).map(async |n| {
        tokio::time::sleep(Duration::from_millis(20 * n)).await;
        match n % 3 {
            0 => hears(format!("username=ann&ids=1&since={first}"), Some(1)).await,
            1 => hears("username=ann&ids=1&history=5".into(), None).await,
            _ => hears("username=ann&ids=1".into(), None).await,
        }
    });
    listeners.buffer_unordered(30).collect::<Vec<()>>().await;
    publisher.await.unwrap();
    let all: Vec<String> = (50..800).map(|n| format!("{{\"n\":{n}}}")).collect();
    assert_eq!(texts(&mut past, 750).await, all, "whoever asked for the past hears the rest by the same road");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_told_that_it_listens_hears_what_is_published_right_then() {
    let hall = Hall::with(open()).await;
    let keeper = LogKeeper::start(hall.streams(), 100).await;
    // what the gateway asks the log takes longer than it takes to publish and to log
    let (gateway, _road) = hall.far_away("gateway-2", open(), Duration::from_millis(300)).await;
    for (at, query) in ["ids=1", "ids=1&history=0", "history=1"].into_iter().enumerate() {
        let address = format!("ws://{}/ws?username=ann&{query}", gateway.address);
        let (mut socket, _) = tokio_tungstenite::connect_async(address).await.unwrap();
        hall.publish("ann", &format!("{{\"first\":{at}}}")).await;
        hall.publish("ann", &format!("{{\"second\":{at}}}")).await;
        keeper.wrote(2 * (at + 1)).await;
        if query == "history=1" {
            assert_eq!(next_text(&mut socket).await, "{\"second\":1}", "the one before it came");
        }
        for word in ["first", "second"] {
            let text = next_text(&mut socket).await;
            assert!(text.contains(&format!("{{\"{word}\":{at}}}")), "{query}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_does_not_have_any_more_is_told() {
    let hall = Hall::with(open()).await;
    let refused = hall.ask("username=ann&ids=1", None).await.expect_err("nobody writes the log");
    assert_eq!((refused["status"].as_u64(), refused["code"].as_str()), (Some(503), Some("unavailable")));
    let keeper = LogKeeper::start(hall.streams(), 100).await;
    for n in 0..1000 {
        hall.publish("ann", &n.to_string()).await;
    }
    keeper.wrote(1000).await;
    let mut late = hall.ask("username=ann&ids=1&since=1-0", None).await.unwrap();
    assert_eq!(next_text(&mut late).await, "{\"gap\":{\"since\":\"1-0\"}}");
    let first: Value = serde_json::from_str(&next_text(&mut late).await).unwrap();
    assert!(first["data"].as_u64().unwrap() > 500, "{first}");
    // the same without ids: the bytes alone, and nothing but events
    let mut plain = hall.ask("username=ann&since=1-0", None).await.unwrap();
    assert_eq!(next_text(&mut plain).await, first["data"].to_string());
    // an entry that was lost with the log before anybody here read it
    let mut follower = hall.ask("username=cem&ids=1", None).await.unwrap();
    hall.publish("cem", "\"one\"").await;
    let one: Value = serde_json::from_str(&next_text(&mut follower).await).unwrap();
    hall.lose_log("cem", one["id"].as_str().unwrap()).await;
    let gap: Value = serde_json::from_str(&next_text(&mut follower).await).unwrap();
    assert_eq!(gap["gap"]["since"], one["id"]);
    hall.publish("cem", "\"three\"").await;
    let three: Value = serde_json::from_str(&next_text(&mut follower).await).unwrap();
    assert_eq!(three["data"], "three");
    // and when the whole log is lost while somebody follows it
    let mut follower = hall.ask("username=bob&ids=1", None).await.unwrap();
    hall.publish("bob", "\"one\"").await;
    let one: Value = serde_json::from_str(&next_text(&mut follower).await).unwrap();
    hall.redis.process().kill9().await.unwrap();
    hall.redis.process().start_again().await.unwrap();
    keeper.writes_again().await;
    eventually("listened to again", async || hall.numsub_of("workflow:logged:bob").await == 1).await;
    hall.publish("bob", "\"two\"").await;
    let gap: Value = serde_json::from_str(&next_text(&mut follower).await).unwrap();
    assert_eq!(gap["gap"]["since"], one["id"]);
    let two: Value = serde_json::from_str(&next_text(&mut follower).await).unwrap();
    assert_eq!(two["data"], "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_is_resumed_by_its_last_id() {
    let hall = Hall::with(Options::default()).await;
    let keeper = LogKeeper::start(hall.streams(), 10_000).await;
    let token = hall.issuer.token("ann");
    let begin = async |query: &str, last_id: &str, port: String| {
        let request = reqwest::Client::new().get(format!("{port}/user-events?{query}")).bearer_auth(&token);
        let answer =
            request.header("accept", "text/event-stream").header("last-event-id", last_id).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        answer
    };
    let until = async |answer: &mut reqwest::Response, end: &str| {
        let mut text = String::new();
        while !text.contains(end) {
            let chunk = tokio::time::timeout(Duration::from_secs(15), answer.chunk()).await.expect("in time");
            text.push_str(std::str::from_utf8(&chunk.unwrap().expect("it goes on")).unwrap());
        }
        text
    };
    let mut plain = begin("username=ann", "", hall.url("")).await;
    let mut with_ids = begin("username=ann&ids=1", "", hall.main_url("")).await;
    hall.publish("ann", "{\"n\":1}").await;
    let text = until(&mut plain, "data: {\"n\":1}\n\n").await;
    assert!(text.starts_with("retry: ") && !text.contains("id:"), "{text}");
    let text = until(&mut with_ids, "data: {\"n\":1}\n\n").await;
    let id = text.split_once("id: ").unwrap().1.split('\n').next().unwrap().to_owned();
    drop(with_ids);
    hall.publish("ann", "{\"n\":2}").await;
    hall.publish("ann", "{\"n\":3}").await;
    keeper.wrote(3).await;
    let mut back = begin("username=ann&ids=1", &id, hall.main_url("")).await;
    let text = until(&mut back, "data: {\"n\":3}\n\n").await;
    assert!(
        text.contains("data: {\"n\":2}\n\n") && !text.contains("data: {\"n\":1}") && !text.contains("gap"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_are_for_those_who_may_see_them() {
    let hall = Hall::with(crowded()).await;
    let _sockets = [hall.listen("ann").await, hall.listen("ann").await, hall.listen("bob").await];
    hall.publish("ann", "x").await;
    let stats = async |token: &str| {
        reqwest::Client::new().get(hall.url("/admin/stats")).bearer_auth(token).send().await.unwrap()
    };
    assert_eq!(hall.get("/admin/stats").await.status(), 401);
    assert_eq!(stats(&hall.issuer.token("ann")).await.status(), 403);
    assert_eq!(stats("service-tokem").await.status(), 401);
    let admin = hall.issuer.token_with("ops", &json!({"admin": true}));
    for token in [SERVICE_TOKEN, &admin] {
        let stats: Value = stats(token).await.json().await.unwrap();
        assert_eq!(stats["connectionsByUser"], json!({"ann": 2, "bob": 1}));
        assert_eq!((stats["here"]["connections"].as_u64(), stats["here"]["users"].as_u64()), (Some(3), Some(2)));
        assert_eq!(stats["nodes"]["gateway-1"]["connections"], 3);
        assert!(stats["memory"]["residentBytes"].as_u64().unwrap() > 1_000_000, "{stats}");
    }
    eventually("counted", async || hall.metric("user_event_deliveries").await >= 2.0).await;
    let metrics = hall.metrics().await;
    assert!(metrics.contains("user_event_connections 3"), "{metrics}");
    assert!(!metrics.contains("ann") && !metrics.contains("bob"), "no user in a label");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_between_the_handshake_and_the_first_event() {
    let hall = Hall::with(crowded()).await;
    for n in 0..200 {
        let mut socket = hall.listen(&format!("user-{n}")).await;
        assert_eq!(hall.publish(&format!("user-{n}"), "at once").await, 1);
        assert_eq!(next_text(&mut socket).await, "at once");
    }
    // over a connection that a proxy has kept, too
    let mut stream = tokio::net::TcpStream::connect(hall.address).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 4096];
    assert!(stream.read(&mut some).await.unwrap() > 0);
    stream.write_all(hall.upgrade("GET /ws?username=kept HTTP/1.1").as_bytes()).await.unwrap();
    let mut told = Vec::new();
    while !told.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        told.push(byte[0]);
    }
    assert!(told.starts_with(b"HTTP/1.1 101"));
    hall.publish("kept", "at once").await;
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"\x81\x07at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_listeners_are_pinged() {
    let hall = Hall::with(Options { user_events_ping: Duration::from_millis(300), ..open() }).await;
    let mut socket = hall.listen("ann").await;
    assert!(matches!(next(&mut socket).await, Message::Ping(_)));
    assert_eq!(hall.redis.command(&["PUBSUB", "NUMPAT"]).await.unwrap(), Reply::Number(0), "no pattern: only names");
}
