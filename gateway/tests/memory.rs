//! What an idle client costs: live bytes on the heap, exact and the same on every machine. The clients here are bare
//! sockets, which cost this process nothing but a descriptor.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use chatcluster_gateway::Options;
use serde_json::json;
use support::{Platform, eventually};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const CLIENTS: usize = 1000;
/// Task, socket, session, and the room that tables and slots grew by.
const MOST_BARE: usize = 1100;
/// With token, registry entry and a cursor; the stand-ins for core and registry are counted in.
const MOST_CONNECTED: usize = 2100;
/// The same for a client that speaks STOMP.
const MOST_STOMP: usize = MOST_CONNECTED + 600;
/// Who listens to user events, each to a name of its own.
const MOST_LISTENING: usize = 2000;
/// The same for a client of SockJS with a WebSocket, that has subscribed in STOMP.
const MOST_SOCKJS: usize = 3500;

/// One measures at a time.
static MEASURING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Bytes on the heap.
fn live() -> usize {
    dhat::HeapStats::get().curr_bytes
}

/// `first`: bytes that follow the handshake's answer.
fn upgraded(platform: &Platform, path: &str, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(platform.address).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = vec![0; 129 + first.len()];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer.ends_with(&[b"\r\n\r\n", first].concat()));
    stream
}

/// A masked text frame with the mask 0.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let mut out = vec![0x81, 0xfe];
    out.extend(length.to_be_bytes());
    out.extend([0; 4]);
    out.extend(text.as_bytes());
    out
}

/// Reads up to a RECEIPT.
fn until_receipt(stream: &mut TcpStream) {
    let mut told = Vec::new();
    while !String::from_utf8_lossy(&told).contains("RECEIPT") {
        let mut some = [0; 1024];
        let count = stream.read(&mut some).unwrap();
        assert!(count > 0);
        told.extend(&some[..count]);
    }
}

/// A platform of one conversation, and the tokens of its members.
async fn platform() -> (Platform, Vec<String>) {
    platform_with(Options::default()).await
}

async fn platform_with(options: Options) -> (Platform, Vec<String>) {
    let options = Options { connect_timeout: Duration::from_mins(10), ..options };
    let platform = Platform::with(options).await;
    let users: Vec<String> = (0..CLIENTS).map(|n| format!("u{n}")).collect();
    platform.core.create("c1", &users.iter().map(String::as_str).collect::<Vec<_>>());
    let tokens: Vec<String> = users.iter().map(|user| platform.issuer.token(user)).collect();
    // whatever is made at the first use is made now
    drop(platform.client("u0").await);
    (platform, tokens)
}

/// Live bytes for each client that `open` made and `connect` brought in.
async fn costs(
    platform: &Platform,
    tokens: &[String],
    open: impl Fn(usize) -> TcpStream,
    connect: impl Fn(&mut TcpStream, &str),
) -> (usize, usize) {
    let _profiler = dhat::Profiler::builder().testing().build();
    let start = live();
    let mut streams: Vec<TcpStream> = tokio::task::block_in_place(|| (0..CLIENTS).map(open).collect());
    eventually("all are sessions", async || platform.metric("connections ").await >= CLIENTS as f64).await;
    let bare = settled().await.saturating_sub(start) / CLIENTS;
    tokio::task::block_in_place(|| streams.iter_mut().zip(tokens).for_each(|(stream, token)| connect(stream, token)));
    eventually("all are with core", async || platform.core.connections() >= CLIENTS).await;
    (bare, settled().await.saturating_sub(start) / CLIENTS)
}

/// Live bytes once what the beginnings took is given back: until it has not become less for a while.
async fn settled() -> usize {
    let (mut least, mut looks) = (live(), 0);
    while looks < 10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = live();
        looks = if now < least { 0 } else { looks + 1 };
        least = least.min(now);
    }
    least
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_client_costs_little() {
    let _alone = MEASURING.lock().await;
    let (platform, tokens) = platform().await;
    let connect = |stream: &mut TcpStream, token: &str| {
        stream.write_all(&frame(&json!({"type": "CONNECT", "token": token}).to_string())).unwrap();
        stream.read_exact(&mut [0; 60]).unwrap();
    };
    let (bare, connected) = costs(&platform, &tokens, |_| upgraded(&platform, "/ws", b""), connect).await;
    println!("live bytes per idle client: {bare} upgraded, {connected} connected and subscribed");
    assert!(bare <= MOST_BARE, "{bare}");
    assert!(connected <= MOST_CONNECTED, "{connected}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_client_of_stomp_costs_little() {
    let _alone = MEASURING.lock().await;
    let options = Options { stomp_listen: "127.0.0.1:0".parse().ok(), ..Options::default() };
    let (platform, tokens) = platform_with(options).await;
    let open = |_| TcpStream::connect(platform.stomp.unwrap()).unwrap();
    let connect = |stream: &mut TcpStream, token: &str| {
        let connect = format!("CONNECT\naccept-version:1.2\nheart-beat:60000,60000\npasscode:{token}\n\n\0");
        let subscribe = "SUBSCRIBE\nid:sub-0\ndestination:/user/queue/messages\nreceipt:r\n\n\0";
        stream.write_all((connect + subscribe).as_bytes()).unwrap();
        until_receipt(stream);
    };
    let (bare, connected) = costs(&platform, &tokens, open, connect).await;
    println!("live bytes per idle client of STOMP: {bare} accepted, {connected} connected and subscribed");
    assert!(bare <= MOST_STOMP && connected <= MOST_STOMP, "{bare}, {connected}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_client_of_sockjs_costs_little() {
    let _alone = MEASURING.lock().await;
    let (platform, tokens) = platform().await;
    let open = |n: usize| upgraded(&platform, &format!("/sockjs/000/s{n}/websocket"), b"\x81\x01o");
    let connect = |stream: &mut TcpStream, token: &str| {
        let frames = [
            format!("CONNECT\naccept-version:1.2\nheart-beat:60000,60000\npasscode:{token}\n\n\0"),
            "SUBSCRIBE\nid:sub-0\ndestination:/user/queue/messages\nreceipt:r\n\n\0".to_owned(),
        ];
        stream.write_all(&frame(&json!(frames).to_string())).unwrap();
        until_receipt(stream);
    };
    let (bare, connected) = costs(&platform, &tokens, open, connect).await;
    println!("live bytes per idle client of SockJS: {bare} upgraded, {connected} connected and subscribed");
    assert!(bare <= MOST_SOCKJS && connected <= MOST_SOCKJS, "{bare}, {connected}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_listener_to_user_events_costs_little() {
    let _alone = MEASURING.lock().await;
    let (platform, _) = platform_with(Options { user_events_open: true, ..Options::default() }).await;
    let listen = |n: usize| upgraded(&platform, &format!("/user-events?username=user-{n}"), b"");
    drop(tokio::task::block_in_place(|| listen(CLIENTS)));
    let all = async |count: f64| {
        eventually("all are here", async || (platform.metric("user_event_connections ").await - count).abs() < 0.5)
            .await;
    };
    all(0.0).await;
    let _profiler = dhat::Profiler::builder().testing().build();
    let start = live();
    let streams: Vec<TcpStream> = tokio::task::block_in_place(|| (0..CLIENTS).map(listen).collect());
    all(CLIENTS as f64).await;
    let each = settled().await.saturating_sub(start) / CLIENTS;
    println!("live bytes per idle listener to user events: {each}");
    assert!(each <= MOST_LISTENING, "{each}");
    drop(streams);
}
