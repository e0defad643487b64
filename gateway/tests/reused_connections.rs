//! Proxies keep connections: what a session begins with may come after other requests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use std::time::Duration;

use support::{Platform, client::Client, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{MaybeTlsStream, client_async};

/// A connection over which a page was asked for.
async fn kept(platform: &Platform) -> TcpStream {
    let mut stream = TcpStream::connect(platform.address).await.unwrap();
    for _ in 0..2 {
        ask(&mut stream, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "ok").await;
    }
    stream
}

/// Reads until `wanted` has come; what was read.
async fn ask(stream: &mut TcpStream, request: &str, wanted: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains(wanted) {
        let mut some = [0; 4096];
        let count = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut some)).await.expect(&text).unwrap();
        assert!(count > 0, "ended after {text}");
        text.push_str(std::str::from_utf8(&some[..count]).unwrap());
    }
    text
}

#[tokio::test]
async fn a_connection_that_was_kept_can_become_a_session() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann", "bob"]);
    let stream = MaybeTlsStream::Plain(kept(&platform).await);
    let (socket, _) = client_async(platform.url(), stream).await.unwrap();
    let mut client = Client { socket, seen: Vec::new(), closed: Vec::new() };
    client.send(serde_json::json!({"type": "CONNECT", "token": platform.issuer.token("ann")})).await;
    client.until("CONNECTED").await;
    client.send_message("c1", "m1", &"x".repeat(10_000)).await;
    client.until_seq("c1", 1).await;
    platform.shutdown.request();
    assert_eq!(client.until_closed().await, Some(1012));
}

#[tokio::test]
async fn what_comes_with_the_upgrade_is_not_lost() {
    let platform = Platform::start().await;
    let mut stream = kept(&platform).await;
    let upgrade = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut bytes = upgrade.as_bytes().to_vec();
    // a text of 15 bytes, masked with zeros
    bytes.extend([0x81, 0x80 | 15, 0, 0, 0, 0]);
    bytes.extend(b"{\"type\":\"PING\"}");
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|found| found == b"PONG") {
        let count = tokio::time::timeout(Duration::from_secs(10), stream.read_buf(&mut answer)).await;
        assert!(count.expect("in time").unwrap() > 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
}

#[tokio::test]
async fn an_event_stream_may_follow_too_and_ends_with_its_client() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann", "bob"]);
    let mut stream = kept(&platform).await;
    let head = |token: &str| format!("GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let begun = ask(&mut stream, &head(&platform.issuer.token("ann")), "CONNECTED").await;
    assert!(begun.contains("content-type: text/event-stream") && begun.contains("retry: "), "{begun}");
    platform.registered("ann", 1).await;
    platform.core.post("c1", "bob", "hello").await;
    assert!(ask(&mut stream, "", "hello").await.contains("id: 1;c1=1"));
    drop(stream);
    platform.registered("ann", 0).await;
    eventually("it is gone", async || platform.metric("connections ").await == 0.0).await;
    let refused = ask(&mut kept(&platform).await, &head("nonsense"), "unauthenticated").await;
    assert!(refused.starts_with("HTTP/1.1 401") && refused.contains("connection: close"), "{refused}");
}
