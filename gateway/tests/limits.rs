//! Limits by user and address, deadlines, storms and compression.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use std::time::Duration;

use chatcluster_gateway::Options;
use serde_json::json;
use support::{Platform, client::Client, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn upgrade(extra: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
    )
}

/// The head of the answer, and the connection.
async fn asked(platform: &Platform, request: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(platform.address).await.unwrap();
    // who is refused before a word is read may find the connection closed already
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut byte = [0];
        if !matches!(stream.read(&mut byte).await, Ok(1)) {
            break;
        }
        answer.push(byte[0]);
    }
    (String::from_utf8(answer).unwrap(), stream)
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_gets_them_back() {
    let options = Options { max_address_connections: 2, trusted_proxies: 1, ..Options::default() };
    let platform = Platform::with(options).await;
    let from = |address: &str| upgrade(&format!("X-Forwarded-For: 9.9.9.9, {address}\r\n"));
    let (first, one) = asked(&platform, &from("10.0.0.1")).await;
    let (second, _two) = asked(&platform, &from("10.0.0.1")).await;
    assert!(first.starts_with("HTTP/1.1 101") && second.starts_with("HTTP/1.1 101"));
    let (third, _) = asked(&platform, &from("10.0.0.1")).await;
    assert!(third.starts_with("HTTP/1.1 429"), "{third}");
    assert!(asked(&platform, &from("10.0.0.2")).await.0.starts_with("HTTP/1.1 101"), "somebody else");
    drop(one);
    eventually("there is room again", async || asked(&platform, &from("10.0.0.1")).await.0.starts_with("HTTP/1.1 101"))
        .await;
}

#[tokio::test]
async fn a_user_sends_so_much_over_all_connections() {
    let options = Options { user_send_rate: 3, ..Options::default() };
    let platform = Platform::with(options).await;
    platform.core.create("c1", &["ann", "bob"]);
    let (mut one, mut other) = (platform.client("ann").await, platform.client("ann").await);
    for n in 0..4 {
        one.send_message("c1", &format!("a{n}"), "x").await;
        other.send_message("c1", &format!("b{n}"), "x").await;
    }
    // twice the rate at once: six of the eight
    let mut refused = 0;
    for client in [&mut one, &mut other] {
        for _ in 0..4 {
            let answer = loop {
                let frame = client.next().await.unwrap();
                if frame["type"] == "ACK" || frame["type"] == "ERROR" {
                    break frame;
                }
            };
            if answer["type"] == "ERROR" {
                assert_eq!(answer["code"], "rate_limited");
                refused += 1;
            }
        }
    }
    assert!((1..=2).contains(&refused), "{refused}");
    let mut bob = platform.client("bob").await;
    bob.send_message("c1", "b", "x").await;
    assert_eq!(bob.until("ACK").await["clientMsgId"], "b");
}

#[tokio::test]
async fn a_message_that_never_ends_ends_the_session() {
    let options = Options { message_timeout: Duration::from_millis(300), ..Options::default() };
    let platform = Platform::with(options).await;
    let (answer, mut stream) = asked(&platform, &upgrade("")).await;
    assert!(answer.starts_with("HTTP/1.1 101"));
    // a text frame of 100 bytes, of which ten come
    stream.write_all(&[0x81, 0xe4, 0, 0, 0, 0]).await.unwrap();
    stream.write_all(b"0123456789").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest[2..4], 4408_u16.to_be_bytes(), "{rest:?}");
}

#[tokio::test]
async fn a_storm_is_told_to_come_back_at_different_times() {
    let options = Options { accept_rate: 5, ..Options::default() };
    let platform = Platform::with(options).await;
    let mut pauses = std::collections::HashSet::new();
    for _ in 0..60 {
        let (answer, _) = asked(&platform, &upgrade("")).await;
        if let Some((_, rest)) = answer.split_once("Retry-After: ") {
            assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
            pauses.insert(rest.split("\r\n").next().unwrap().to_owned());
        }
    }
    assert!(pauses.len() > 1, "{pauses:?}");
}

#[tokio::test]
async fn compression_is_used_with_those_who_offer_it() {
    let options = Options { permessage_deflate: true, ..Options::default() };
    let platform = Platform::with(options).await;
    platform.core.create("c1", &["ann", "bob"]);
    let (answer, mut packed) = asked(&platform, &upgrade("Sec-WebSocket-Extensions: permessage-deflate\r\n")).await;
    assert!(answer.contains("Sec-WebSocket-Extensions: permessage-deflate"), "{answer}");
    let connect = json!({"type": "CONNECT", "token": platform.issuer.token("ann")}).to_string();
    let mut frame = vec![0x81, 0xfe];
    frame.extend(u16::try_from(connect.len()).unwrap().to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(connect.as_bytes());
    packed.write_all(&frame).await.unwrap();
    let mut plain: Client = platform.client("bob").await;
    platform.registered("ann", 1).await;
    platform.core.post("c1", "bob", &"the same again and again ".repeat(40)).await;
    let message = plain.until("MESSAGE").await.to_string();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    // a compressed text frame: FIN, RSV1, text
    while !bytes.windows(1).any(|byte: &[u8]| byte == [0xc1]) {
        let read = tokio::time::timeout(Duration::from_secs(10), packed.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0);
        bytes.extend(&buffer[..read]);
    }
    assert!(bytes.len() < message.len(), "{} compressed, {} not", bytes.len(), message.len());
}
