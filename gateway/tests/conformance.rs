//! Conformance mode as test suites and load generators use it: the real binary, by its own command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use std::{process::Command, time::Duration};

use futures_util::{SinkExt, StreamExt};
use support::binary::Binary as Gateway;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

async fn next(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Message {
    tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("in time").unwrap().unwrap()
}

#[tokio::test]
async fn what_is_published_reaches_the_sockets_of_the_room_in_order() {
    let gateway = Gateway::start();
    let (mut one, mut other) = (gateway.socket("/sub/r1").await, gateway.socket("/sub/r1").await);
    let mut stranger = gateway.socket("/sub/r2").await;
    // many on one connection, without waiting for the answers
    let mut publisher = TcpStream::connect(gateway.address).await.unwrap();
    let request = |n: usize| format!("POST /pub/r1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n{n:04}");
    let all: String = (0..500).map(request).collect();
    publisher.write_all(all.as_bytes()).await.unwrap();
    for socket in [&mut one, &mut other] {
        for n in 0..500 {
            assert_eq!(next(socket).await, Message::text(format!("{n:04}")));
        }
    }
    let mut answers = vec![0; 500 * "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".len()];
    publisher.read_exact(&mut answers).await.unwrap();
    assert_eq!(String::from_utf8(answers).unwrap().matches("202 Accepted").count(), 500);

    assert_eq!(gateway.publish("r2", "only you").await, 202);
    assert_eq!(next(&mut stranger).await, Message::text("only you"));
    assert_eq!(gateway.publish("a%20b", "x").await, 400);
}

#[tokio::test]
async fn a_body_in_chunks_or_not_text_is_published_too() {
    let gateway = Gateway::start();
    let mut socket = gateway.socket("/sub/r").await;
    let mut publisher = TcpStream::connect(gateway.address).await.unwrap();
    let chunked = "POST /pub/r HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    publisher.write_all(chunked.as_bytes()).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::text("abc"));
    let mut publisher = TcpStream::connect(gateway.address).await.unwrap();
    publisher.write_all(b"POST /pub/r HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\xff\xfe").await.unwrap();
    assert_eq!(next(&mut socket).await, Message::binary(vec![0xff, 0xfe]));
}

#[tokio::test]
async fn echo_returns_text_and_binary_up_to_sixteen_mebibytes() {
    let gateway = Gateway::start();
    let mut socket = gateway.socket("/echo-ws").await;
    for message in [Message::text("hé"), Message::binary(vec![7; 70_000]), Message::text("x".repeat(16 << 20))] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(next(&mut socket).await, message);
    }
}

#[tokio::test]
async fn production_is_not_there_and_a_broker_is_refused() {
    let gateway = Gateway::start();
    let url = format!("http://{}", gateway.address);
    assert_eq!(reqwest::get(format!("{url}/healthz")).await.unwrap().status(), 200);
    assert_eq!(reqwest::get(format!("{url}/readyz")).await.unwrap().status(), 200);
    assert_eq!(reqwest::get(format!("{url}/ws")).await.unwrap().status(), 404);
    for (flag, name, value) in [
        ("--redis-url", "CHATCLUSTER_REDIS_URL", "redis://127.0.0.1:1"),
        ("--kafka-bootstrap-servers", "CHATCLUSTER_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
        ("--core-url", "CHATCLUSTER_CORE_URL", "http://127.0.0.1:1"),
    ] {
        let gateway = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_chatcluster-gateway"));
            command.args(["--conformance", "--listen", "127.0.0.1:0"]).env_clear();
            command
        };
        for refused in [gateway().args([flag, value]).output(), gateway().env(name, value).output()] {
            let refused = refused.unwrap();
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && said.contains(flag), "{said}");
        }
    }
}

#[tokio::test]
async fn sockjs_services_answer_as_the_protocols_tests_want_it() {
    let gateway = Gateway::start();
    let http = reqwest::Client::new();
    let ask = async |path: &str, body: &'static str| {
        let request = http.post(format!("http://{}{path}", gateway.address)).header("origin", "https://any.example");
        let answer = request.body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for base in ["echo", "disabled_websocket_echo", "cookie_needed_echo"] {
        let path = |end: &str| format!("/{base}/000/s/{end}");
        assert_eq!(ask(&path("xhr"), "").await, (200, "o\n".into()), "{base}");
        assert_eq!(ask(&path("xhr_send"), "[\"x\",\"y\"]").await.0, 204);
        assert_eq!(ask(&path("xhr"), "").await, (200, "a[\"x\",\"y\"]\n".into()));
    }
    assert_eq!(ask("/close/000/s/xhr", "").await.1, "o\n");
    for _ in 0..2 {
        assert_eq!(ask("/close/000/s/xhr", "").await.1, "c[3000,\"Go away!\"]\n");
    }
    let mut socket = gateway.socket("/echo/000/s/websocket").await;
    socket.send(Message::text("[\"x\"]")).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::text("o"));
    assert_eq!(next(&mut socket).await, Message::text("a[\"x\"]"));
    let mut socket = gateway.socket("/close/000/s/websocket").await;
    assert_eq!(next(&mut socket).await, Message::text("o"));
    assert_eq!(next(&mut socket).await, Message::text("c[3000,\"Go away!\"]"));
    assert!(matches!(next(&mut socket).await, Message::Close(Some(frame)) if u16::from(frame.code) == 3000));
}
