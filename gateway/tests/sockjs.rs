//! SockJS at `/sockjs`: the platform's sessions, spoken to in STOMP, with a WebSocket and without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use std::time::Duration;

use chatcluster_gateway::Options;
use futures_util::{SinkExt, StreamExt};
use support::{
    Platform, eventually,
    sockjs::{SockJs, Stream, header, messages, seq},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

const QUEUE: &str = "/user/queue/messages";

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(platform: &Platform, path: &str, protocol: Option<&str>) -> Self {
        let mut request = format!("ws://{}/sockjs{path}", platform.address).into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        let (socket, answer) = connect_async(request).await.unwrap();
        assert_eq!(answer.headers().get("sec-websocket-protocol").map(|it| it.to_str().unwrap()), protocol);
        Self(socket)
    }

    async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next text; the close code as an error.
    async fn next(&mut self) -> Result<String, Option<u16>> {
        loop {
            match tokio::time::timeout(Duration::from_secs(15), self.0.next()).await.expect("in time") {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }
}

fn array(text: &str) -> String {
    serde_json::to_string(&[text]).unwrap()
}

fn connect(platform: &Platform, user: &str) -> String {
    format!("CONNECT\naccept-version:1.2\npasscode:{}\n\n\0", platform.issuer.token(user))
}

fn subscribe(destination: &str) -> String {
    format!("SUBSCRIBE\nid:s\ndestination:{destination}\nreceipt:r\n\n\0")
}

#[tokio::test]
async fn every_transport_gets_the_same_in_order() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["poll", "stream", "socket", "raw", "sender"]);

    let mut polling = SockJs::polling(&platform, "poll", "").await;
    polling.subscribe(QUEUE).await;

    let streaming = SockJs::new(&platform);
    let mut stream = Stream::open(&streaming).await;
    assert_eq!(stream.next().await.unwrap(), "o");
    streaming.send(&[&connect(&platform, "stream"), &subscribe(QUEUE)]).await;
    let mut told = String::new();
    while !told.contains("RECEIPT") {
        told += &stream.next().await.unwrap();
    }

    let mut socket = Socket::open(&platform, "/000/s1/websocket", None).await;
    assert_eq!(socket.next().await.unwrap(), "o");
    socket.send(&array(&connect(&platform, "socket"))).await;
    socket.send(&array(&subscribe(QUEUE))).await;
    while !socket.next().await.unwrap().contains("RECEIPT") {}

    let mut raw = Socket::open(&platform, "/websocket", Some("v12.stomp")).await;
    raw.send(&connect(&platform, "raw")).await;
    assert!(raw.next().await.unwrap().starts_with("CONNECTED\n"));
    raw.send(&subscribe(QUEUE)).await;
    while !raw.next().await.unwrap().starts_with("RECEIPT\n") {}

    for n in 0..50 {
        platform.core.post("c1", "sender", &format!("{n} \"☃\"")).await;
    }
    let all: Vec<u64> = (1..=50).collect();
    assert_eq!(polling.seqs(50).await, all);
    let (mut by_stream, mut by_socket, mut by_raw) = (Vec::new(), Vec::new(), Vec::new());
    while by_stream.len() < 50 {
        by_stream.extend(messages(&stream.next().await.unwrap()).unwrap().iter().filter_map(|frame| seq(frame)));
    }
    while by_socket.len() < 50 {
        by_socket.extend(messages(&socket.next().await.unwrap()).unwrap().iter().filter_map(|frame| seq(frame)));
    }
    while by_raw.len() < 50 {
        by_raw.extend(seq(&raw.next().await.unwrap()));
    }
    assert_eq!((&by_stream, &by_socket, &by_raw), (&all, &all, &all));
}

#[tokio::test]
async fn a_session_that_polls_resumes_by_position() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann", "bob"]);
    let mut client = SockJs::polling(&platform, "ann", "").await;
    client.subscribe(QUEUE).await;
    for _ in 0..3 {
        platform.core.post("c1", "bob", "x").await;
    }
    let mut position = String::new();
    for _ in 0..3 {
        header(&client.next().await.unwrap(), "position").unwrap().clone_into(&mut position);
    }
    drop(client);
    platform.core.post("c1", "bob", "missed").await;
    let mut again = SockJs::polling(&platform, "ann", &format!("position:{position}\n")).await;
    again.subscribe("/topic/conversations.c1").await;
    platform.core.post("c1", "bob", "live").await;
    assert_eq!(again.seqs(2).await, [4, 5]);
}

#[tokio::test]
async fn one_receives_at_a_time() {
    let platform = Platform::start().await;
    let client = SockJs::new(&platform);
    let mut stream = Stream::open(&client).await;
    assert_eq!(stream.next().await.unwrap(), "o");
    assert_eq!(client.poll().await, "c[2010,\"Another connection still open\"]");
    drop(stream);
    // the news that the first is gone may come later than the next poll
    eventually("the session is over", async || client.poll().await == "c[1002,\"Connection interrupted\"]").await;
    eventually("and gone", async || platform.metric("connections ").await == 0.0).await;
}

#[tokio::test]
async fn who_does_not_come_back_is_gone_and_unregistered() {
    let options = Options { sockjs_disconnect: Duration::from_millis(300), ..Options::default() };
    let platform = Platform::with(options).await;
    let client = SockJs::polling(&platform, "ann", "").await;
    platform.registered("ann", 1).await;
    platform.registered("ann", 0).await;
    assert!(platform.metric("connections ").await < 1.0);
    assert_eq!(client.post("[\"\\n\"]".into()).await.status(), 404, "nobody knows the session any more");
}

#[tokio::test]
async fn a_slow_fetcher_is_cut() {
    let options = Options { session_queue: 16 << 10, sockjs_disconnect: Duration::from_mins(1), ..Options::default() };
    let platform = Platform::with(options).await;
    platform.core.create("c1", &["ann", "bob"]);
    let mut client = SockJs::polling(&platform, "ann", "").await;
    client.subscribe(QUEUE).await;
    eventually("it is over", async || {
        platform.core.post("c1", "bob", &"x".repeat(1000)).await;
        platform.metric("connections ").await == 0.0
    })
    .await;
    let end = loop {
        if let Err(end) = client.next().await {
            break end;
        }
    };
    assert_eq!(end, "c[4429,\"slow_consumer\"]");
}

#[tokio::test]
async fn what_is_posted_is_done_in_order() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann", "bob"]);
    let mut client = SockJs::polling(&platform, "ann", "").await;
    let send = |n: usize| {
        format!("SEND\ndestination:/app/conversations/c1/messages\nreceipt:{n}\n\n{{\"content\":\"{n}\"}}\0")
    };
    for n in (0..60).step_by(3) {
        client.send(&[&send(n), &send(n + 1), &send(n + 2)]).await;
    }
    for n in 0..60 {
        let receipt = client.next().await.unwrap();
        let (id, seq) = (header(&receipt, "receipt-id"), header(&receipt, "seq"));
        assert_eq!((id, seq), (Some(&*n.to_string()), Some(&*(n + 1).to_string())), "{receipt}");
    }
    // a frame may come in pieces
    client.send(&["SEND\ndestination:/app/conversations/c1/messages\nrec", "eipt:last\n\nhi\0"]).await;
    assert_eq!(header(&client.next().await.unwrap(), "receipt-id"), Some("last"));
}

#[tokio::test]
async fn broken_json_is_said_to_be_so_and_cuts_a_websocket() {
    let platform = Platform::start().await;
    let client = SockJs::polling(&platform, "ann", "").await;
    for (body, said) in [("[\"x", "Broken JSON encoding."), ("", "Payload expected.")] {
        let answer = client.post(body.into()).await;
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (500, said));
    }
    client.send(&["\n"]).await;
    let mut socket = Socket::open(&platform, "/000/s1/websocket", None).await;
    assert_eq!(socket.next().await.unwrap(), "o");
    socket.send("[\"x").await;
    assert_eq!(socket.next().await, Err(None));
}

#[tokio::test]
async fn all_hear_heartbeats_and_a_websocket_why_it_ends() {
    let options = Options { heartbeat: Duration::from_millis(300), ..Options::default() };
    let platform = Platform::with(options).await;
    let client = SockJs::new(&platform);
    assert_eq!(client.poll().await, "o");
    assert_eq!(client.poll().await, "h");
    let mut socket = Socket::open(&platform, "/000/s1/websocket", None).await;
    assert_eq!(socket.next().await.unwrap(), "o");
    for _ in 0..2 {
        assert_eq!(socket.next().await.unwrap(), "h");
    }
    platform.shutdown.request();
    let end = loop {
        match socket.next().await {
            Ok(frame) if frame == "h" => {}
            other => break other,
        }
    };
    assert_eq!(end.unwrap(), "c[1012,\"service_restart\"]");
    assert_eq!(socket.next().await, Err(Some(1012)));
}

#[tokio::test]
async fn those_who_fetch_are_told_that_the_gateway_goes() {
    let platform = Platform::start().await;
    let mut stream = Stream::open(&SockJs::new(&platform)).await;
    assert_eq!(stream.next().await.unwrap(), "o");
    platform.shutdown.request();
    assert_eq!(stream.next().await.unwrap(), "c[1012,\"service_restart\"]");
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn the_opening_request_may_say_who_it_is() {
    let platform = Platform::start().await;
    let mut client = SockJs::new(&platform);
    let stranger = client.request("xhr").bearer_auth("nonsense").send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    let opened = client.request("xhr").bearer_auth(platform.issuer.token("ann")).send().await.unwrap();
    assert_eq!(opened.text().await.unwrap(), "o\n");
    client.send(&["CONNECT\naccept-version:1.2\n\n\0"]).await;
    assert_eq!(header(&client.next().await.unwrap(), "user-name"), Some("ann"));
    let anonymous = SockJs::new(&platform);
    assert_eq!(anonymous.poll().await, "o");
    anonymous.send(&["CONNECT\naccept-version:1.2\n\n\0"]).await;
    assert!(anonymous.poll().await.contains("unauthenticated"));
    assert_eq!(anonymous.poll().await, "c[4401,\"unauthenticated\"]");
}

#[tokio::test]
async fn limits_are_those_of_every_connection() {
    let options = Options { max_connections: 3, max_address_connections: 2, trusted_proxies: 1, ..Options::default() };
    let platform = Platform::with(options).await;
    let from = async |address: &str| {
        let asked = SockJs::new(&platform).request("xhr").header("X-Forwarded-For", format!("9.9.9.9, {address}"));
        asked.send().await.unwrap()
    };
    for _ in 0..2 {
        assert_eq!(from("10.0.0.1").await.status(), 200);
    }
    assert_eq!(from("10.0.0.1").await.status(), 429);
    assert_eq!(from("10.0.0.2").await.status(), 200);
    let full = SockJs::new(&platform);
    let opened = full.request("xhr").header("X-Forwarded-For", "10.0.0.3").send().await.unwrap();
    assert_eq!(opened.status(), 503);
    assert!(opened.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn pages_of_other_origins_open_nothing() {
    let options = Options { allowed_origins: vec!["https://app.example".into()], ..Options::default() };
    let platform = Platform::with(options).await;
    let from =
        async |origin: &str| SockJs::new(&platform).request("xhr").header("origin", origin).send().await.unwrap();
    assert_eq!(from("https://evil.example").await.status(), 403);
    assert!(platform.metric("connections_opened").await < 1.0);
    let allowed = from("https://app.example").await;
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://app.example");
    let mut page = format!("ws://{}/sockjs/000/s1/websocket", platform.address).into_client_request().unwrap();
    page.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    assert!(connect_async(page).await.is_err());
}

#[tokio::test]
async fn a_cookie_and_old_transports_are_there_when_asked_for() {
    let plain = Platform::start().await;
    assert_eq!(plain.get("/sockjs/iframe.html").await.status(), 404);
    let answer = SockJs::new(&plain).request("xhr").send().await.unwrap();
    assert!(!answer.headers().contains_key("set-cookie"));

    let client_url = Some("https://app.example/sockjs.min.js".to_owned());
    let options = Options { sockjs_cookie: true, sockjs_client_url: client_url, ..Options::default() };
    let platform = Platform::with(options).await;
    let page = platform.get("/sockjs/iframe.html").await.text().await.unwrap();
    assert!(page.contains("src=\"https://app.example/sockjs.min.js\""));
    let answer = SockJs::new(&platform).request("xhr").send().await.unwrap();
    assert_eq!(answer.headers()["set-cookie"], "JSESSIONID=dummy; path=/");
    let info: serde_json::Value = platform.get("/sockjs/info").await.json().await.unwrap();
    assert_eq!((&info["websocket"], &info["cookie_needed"]), (&true.into(), &true.into()));
}

#[tokio::test]
async fn a_connection_that_takes_nothing_is_given_up() {
    let options = Options { write_timeout: Duration::from_secs(1), ..Options::default() };
    let platform = Platform::with(options).await;
    platform.core.create("c1", &["ann", "bob"]);
    let client = SockJs::new(&platform);
    let mut stuck = TcpStream::connect(platform.address).await.unwrap();
    let path = client.url.split_once("/sockjs").unwrap().1;
    let request = format!("POST /sockjs{path}/xhr_streaming HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    stuck.write_all(request.as_bytes()).await.unwrap();
    eventually("it is open", async || platform.metric("connections ").await > 0.0).await;
    client.send(&[&connect(&platform, "ann"), &subscribe(QUEUE)]).await;
    platform.registered("ann", 1).await;
    // more than the buffers of both ends take
    eventually("the connection is cut", async || {
        platform.core.post("c1", "bob", &"x".repeat(60_000)).await;
        stuck.write_all(b"\r\n").await.is_err()
    })
    .await;
    platform.registered("ann", 0).await;
}
