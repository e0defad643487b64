//! Bad input of every kind: a stable code, and the connection survives where it safely can.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use chatcluster_gateway::Options;
use serde_json::{Value, json};
use support::{Platform, client::Client};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest, http::HeaderValue};

#[tokio::test]
async fn bad_frames_are_refused_and_the_session_goes_on() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    platform.core.create("others", &["bob"]);
    let mut ann = platform.client("ann").await;
    let send = |conversation: &str, content: &str| {
        json!({"type": "SEND", "clientMsgId": "m", "conversationId": conversation, "content": content}).to_string()
    };
    let cases = [
        ("not json".to_owned(), "invalid_json", Value::Null),
        ("[]".to_owned(), "invalid_json", Value::Null),
        (r#"{"type":"DANCE"}"#.to_owned(), "unknown_type", Value::Null),
        (r#"{"type":"JOIN","roomId":"r"}"#.to_owned(), "unknown_conversation", Value::Null),
        ("{}".to_owned(), "missing_field", Value::Null),
        (r#"{"type":"SEND","clientMsgId":"m","conversationId":"c1"}"#.to_owned(), "missing_field", json!("m")),
        (
            r#"{"type":"SEND","clientMsgId":"m","conversationId":"c 1","content":""}"#.to_owned(),
            "invalid_field",
            json!("m"),
        ),
        (r#"{"type":"CONNECT","token":"x"}"#.to_owned(), "already_connected", Value::Null),
        (send("nowhere", "x"), "unknown_conversation", json!("m")),
        (send("others", "x"), "not_a_member", json!("m")),
        (send("c1", &"x".repeat(65 * 1024)), "payload_too_large", json!("m")),
    ];
    for (text, code, client_msg_id) in cases {
        ann.send_raw(Message::text(text.clone())).await;
        let error = ann.until("ERROR").await;
        let shown: String = text.chars().take(80).collect();
        assert_eq!((&error["code"], &error["clientMsgId"]), (&json!(code), &client_msg_id), "{shown}");
    }
    ann.send_message("c1", "good", "still here").await;
    assert_eq!(ann.until("ACK").await["clientMsgId"], "good");
}

#[tokio::test]
async fn a_forged_sender_has_no_effect() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann", "bob"]);
    let mut ann = platform.client("ann").await;
    let forged = json!({
        "type": "SEND", "clientMsgId": "m", "conversationId": "c1", "content": "x", "senderId": "bob", "userId": "bob",
    });
    ann.send(forged).await;
    assert_eq!(ann.until("MESSAGE").await["senderId"], "ann");
}

#[tokio::test]
async fn frames_before_connect_are_refused_and_bad_tokens_close() {
    let platform = Platform::start().await;
    let mut client = Client::open(&platform.url()).await;
    client.send_message("c1", "m", "x").await;
    let error = client.until("ERROR").await;
    assert_eq!((&error["code"], &error["clientMsgId"]), (&json!("not_connected"), &json!("m")));
    client.send(json!({"type": "PING"})).await;
    client.until("PONG").await;
    client.send(json!({"type": "CONNECT", "token": "nonsense"})).await;
    assert_eq!(client.until("ERROR").await["code"], "unauthenticated");
    assert_eq!(client.until_closed().await, Some(4401));

    let mut late = Client::open(&platform.url()).await;
    late.send(json!({"type": "CONNECT", "token": platform.issuer.token_for("ann", -5)})).await;
    assert_eq!(late.until("ERROR").await["code"], "token_expired");
    assert_eq!(late.until_closed().await, Some(4401));
}

#[tokio::test]
async fn messages_too_long_and_not_text_close_with_their_codes() {
    let platform = Platform::start().await;
    let mut long = platform.client("ann").await;
    long.send_raw(Message::text("x".repeat(1 << 20))).await;
    assert_eq!(long.until("ERROR").await["code"], "payload_too_large");
    assert_eq!(long.until_closed().await, Some(1009));
    let mut binary = platform.client("ann").await;
    binary.send_raw(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(binary.until_closed().await, Some(1003));
}

#[tokio::test]
async fn too_many_sends_are_refused_for_a_while() {
    let platform = Platform::with(Options { send_rate: 5, ..Options::default() }).await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.client("ann").await;
    for n in 0..20 {
        ann.send_message("c1", &format!("m{n}"), "x").await;
    }
    assert_eq!(ann.until("ERROR").await["code"], "rate_limited");
    ann.until_seq("c1", 10).await;
}

#[tokio::test]
async fn sends_are_refused_clearly_when_core_stays_away() {
    let timeout = std::time::Duration::from_millis(500);
    let platform = Platform::with(Options { send_timeout: timeout, ..Options::default() }).await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.client("ann").await;
    platform.core.set_away(true);
    ann.send_message("c1", "m1", "x").await;
    let error = ann.until("ERROR").await;
    assert_eq!((&error["code"], &error["clientMsgId"]), (&json!("unavailable"), &json!("m1")));
    platform.core.set_away(false);
    ann.send_message("c1", "m1", "x").await;
    assert_eq!(ann.until("ACK").await["seq"], 1);
}

#[tokio::test]
async fn other_paths_and_methods_get_problem_documents() {
    let platform = Platform::start().await;
    for (path, status, code) in [("/nowhere", 404, "not_found"), ("/ws", 426, "bad_request")] {
        let answer = platform.get(path).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], code);
    }
    for path in ["/healthz", "/ws"] {
        let answer = reqwest::Client::new().post(format!("http://{}{path}", platform.address)).send().await.unwrap();
        assert_eq!(answer.status(), 405, "{path}");
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "method_not_allowed");
    }
    assert_eq!(platform.get("/healthz").await.text().await.unwrap(), "ok\n");
    assert!(platform.metric("connections_opened").await >= 0.0);
}

async fn raw(platform: &Platform, request: &str) -> String {
    let mut stream = TcpStream::connect(platform.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn upgrades_that_do_not_fit_are_refused() {
    let options = Options { allowed_origins: vec!["https://app.example".into()], ..Options::default() };
    let platform = Platform::with(options).await;
    let upgrade = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let old = raw(&platform, &format!("{upgrade}{key}Sec-WebSocket-Version: 8\r\n\r\n")).await;
    assert!(old.starts_with("HTTP/1.1 426 ") && old.contains("Sec-WebSocket-Version: 13"), "{old}");
    let keyless = raw(&platform, &format!("{upgrade}Sec-WebSocket-Version: 13\r\n\r\n")).await;
    assert!(keyless.starts_with("HTTP/1.1 400 "), "{keyless}");
    let evil = format!("{upgrade}{key}Sec-WebSocket-Version: 13\r\nOrigin: https://evil.example\r\n\r\n");
    let evil = raw(&platform, &evil).await;
    assert!(evil.starts_with("HTTP/1.1 403 ") && evil.contains("origin_refused"), "{evil}");
    let token = format!("{upgrade}{key}Sec-WebSocket-Version: 13\r\nAuthorization: Bearer x\r\n\r\n");
    let token = raw(&platform, &token).await;
    assert!(token.starts_with("HTTP/1.1 401 ") && token.contains("unauthenticated"), "{token}");
}

#[tokio::test]
async fn a_token_may_come_with_the_upgrade_or_as_a_ticket() {
    let platform = Platform::start().await;
    let mut request = platform.url().into_client_request().unwrap();
    let bearer = HeaderValue::from_str(&format!("Bearer {}", platform.issuer.token("ann"))).unwrap();
    request.headers_mut().insert("authorization", bearer);
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("chatcluster.v1"));
    let (socket, answer) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chatcluster.v1");
    let mut ann = Client { socket, seen: Vec::new(), closed: Vec::new() };
    ann.send(json!({"type": "CONNECT"})).await;
    assert_eq!(ann.until("CONNECTED").await["userId"], "ann");

    platform.core.add_ticket("t1", "bob");
    let url = format!("{}?ticket=t1", platform.url());
    let mut bob = Client::open(&url).await;
    bob.send(json!({"type": "CONNECT"})).await;
    assert_eq!(bob.until("CONNECTED").await["userId"], "bob");
    assert!(tokio_tungstenite::connect_async(url).await.is_err(), "a ticket is spent once");
}
