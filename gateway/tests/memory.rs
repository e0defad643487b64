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

/// Bytes on the heap.
fn live() -> usize {
    dhat::HeapStats::get().curr_bytes
}

fn upgraded(platform: &Platform) -> TcpStream {
    let mut stream = TcpStream::connect(platform.address).unwrap();
    let request = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 129];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer.ends_with(b"\r\n\r\n"));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_client_costs_little() {
    let options = Options { connect_timeout: Duration::from_mins(10), ..Options::default() };
    let platform = Platform::with(options).await;
    let users: Vec<String> = (0..CLIENTS).map(|n| format!("u{n}")).collect();
    platform.core.create("c1", &users.iter().map(String::as_str).collect::<Vec<_>>());
    let tokens: Vec<String> = users.iter().map(|user| platform.issuer.token(user)).collect();
    // whatever is made at the first use is made now
    drop(platform.client("u0").await);

    let _profiler = dhat::Profiler::builder().testing().build();
    let start = live();
    let mut streams: Vec<TcpStream> =
        tokio::task::block_in_place(|| (0..CLIENTS).map(|_| upgraded(&platform)).collect());
    eventually("all are sessions", async || platform.metric("connections ").await >= CLIENTS as f64).await;
    let bare = live().saturating_sub(start) / CLIENTS;
    tokio::task::block_in_place(|| {
        for (stream, token) in streams.iter_mut().zip(&tokens) {
            stream.write_all(&frame(&json!({"type": "CONNECT", "token": token}).to_string())).unwrap();
            stream.read_exact(&mut [0; 60]).unwrap();
        }
    });
    eventually("all are with core", async || platform.core.connections() >= CLIENTS).await;
    let connected = live().saturating_sub(start) / CLIENTS;
    println!("live bytes per idle client: {bare} upgraded, {connected} connected and subscribed");
    assert!(bare <= MOST_BARE, "{bare}");
    assert!(connected <= MOST_CONNECTED, "{connected}");
}
