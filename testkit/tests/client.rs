//! The recording client against a server that says exactly what a test wants it to say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by failing")]

use chatcluster_testkit::{Client, Resume, WAIT, client::Side};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

type Peer = WebSocketStream<TcpStream>;

/// Accepts one connection, hands over the CONNECT frame and the socket.
async fn server() -> (String, tokio::task::JoinHandle<(Value, Peer)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let peer = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = tokio_tungstenite::accept_async(stream).await.unwrap();
        let first = peer.next().await.unwrap().unwrap();
        let connect = serde_json::from_str(first.to_text().unwrap()).unwrap();
        say(&mut peer, &json!({"type": "CONNECTED", "sessionId": "s", "userId": "u", "heartbeatMs": 25000})).await;
        (connect, peer)
    });
    (url, peer)
}

async fn say(peer: &mut Peer, frame: &Value) {
    peer.send(Message::text(frame.to_string())).await.unwrap();
}

#[tokio::test]
async fn everything_is_recorded_in_order() {
    let (url, peer) = server().await;
    let resume = Resume::Seqs([("room".to_owned(), 4)].into());
    let client = Client::connect(&url, "token", resume).await.unwrap();
    let (connect, mut peer) = peer.await.unwrap();
    assert_eq!(connect, json!({"type": "CONNECT", "token": "token", "resume": {"room": 4}}));
    assert_eq!(client.session()["userId"], "u");

    client.send_message("room", "m-1", "hello").await.unwrap();
    assert_eq!(peer.next().await.unwrap().unwrap().to_text().unwrap().parse::<Value>().unwrap()["type"], "SEND");
    say(&mut peer, &json!({"type": "ACK", "clientMsgId": "m-1", "conversationId": "room", "seq": 6})).await;
    for seq in [5, 6] {
        say(&mut peer, &json!({"type": "MESSAGE", "conversationId": "room", "seq": seq})).await;
    }
    say(&mut peer, &json!({"type": "MESSAGE", "conversationId": "other", "seq": 1})).await;
    client.wait_for(|frame| frame["conversationId"] == "other", WAIT).await.unwrap();

    assert_eq!(client.seqs_of("room"), [5, 6]);
    assert_eq!(client.frames_of("room").len(), 3);
    let Resume::Seqs(seqs) = client.resume() else { panic!("seqs") };
    assert_eq!(seqs, [("room".to_owned(), 6), ("other".to_owned(), 1)].into());
    let all = client.history().all();
    assert!(all.is_sorted_by_key(|entry| entry.at));
    let sides: Vec<Side> = all.iter().map(|entry| entry.side).collect();
    let (ours, theirs) = (Side::Client, Side::Server);
    assert_eq!(sides, [ours, theirs, ours, theirs, theirs, theirs, theirs]);
}

#[tokio::test]
async fn the_close_code_is_kept() {
    let (url, peer) = server().await;
    let client = Client::connect(&url, "token", Resume::None).await.unwrap();
    let (_, mut peer) = peer.await.unwrap();
    let close = CloseFrame { code: 4008.into(), reason: "too slow".into() };
    peer.close(Some(close)).await.unwrap();
    assert_eq!(client.closed(WAIT).await.unwrap(), Some((4008, "too slow".to_owned())));
}

#[tokio::test]
async fn an_abort_sends_no_close_frame() {
    let (url, peer) = server().await;
    let client = Client::connect(&url, "token", Resume::Position("p".into())).await.unwrap();
    let (connect, mut peer) = peer.await.unwrap();
    assert_eq!(connect["position"], "p");
    client.abort().await;
    let end = peer.next().await;
    assert!(!matches!(end, Some(Ok(Message::Close(_)))), "{end:?}");
    assert_eq!(client.closed(WAIT).await.unwrap(), None);
    assert!(client.send_message("room", "m", "x").await.is_err());
}

#[tokio::test]
async fn a_stalled_client_reads_on_later() {
    let (url, peer) = server().await;
    let client = Client::connect(&url, "token", Resume::None).await.unwrap();
    let (_, mut peer) = peer.await.unwrap();
    client.stall(true);
    // The read that was already waiting still takes one frame.
    say(&mut peer, &json!({"type": "PONG"})).await;
    client.wait_for(|frame| frame["type"] == "PONG", WAIT).await.unwrap();
    say(&mut peer, &json!({"type": "MESSAGE"})).await;
    let brief = std::time::Duration::from_millis(100);
    assert!(client.wait_for(|frame| frame["type"] == "MESSAGE", brief).await.is_err());
    client.stall(false);
    client.wait_for(|frame| frame["type"] == "MESSAGE", WAIT).await.unwrap();
}

#[tokio::test]
async fn a_refusal_shows_what_the_server_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = tokio_tungstenite::accept_async(stream).await.unwrap();
        say(&mut peer, &json!({"type": "ERROR", "code": "unauthenticated"})).await;
    });
    let error = format!("{:#}", Client::connect(&url, "bad", Resume::None).await.unwrap_err());
    assert!(error.contains("unauthenticated"), "{error}");
}
