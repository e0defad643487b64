//! Many authenticated connections that answer heartbeats and count what they are told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use chatcluster_testkit::User;
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio::{net::TcpStream, task::JoinSet};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

use super::{CONVERSATIONS, MEMBERS};
use crate::percentiles::Samples;

/// How often one that is told to come back does so.
const ATTEMPTS: u64 = 100;
const DELIVERED_WITHIN: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<TcpStream>;

#[derive(Debug)]
pub(super) struct Crowd {
    /// TCP connect -> CONNECTED, of the attempt that worked.
    pub(super) connecting: Samples,
    /// Attempts that were told to come back later.
    pub(super) retries: u64,
    connections: usize,
    told: Arc<Told>,
    /// Reads each connection; ends with this value.
    _readers: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Told {
    messages: AtomicUsize,
    closed: AtomicUsize,
}

impl Crowd {
    /// Connection i is of user i modulo their number; `storm` of them are under way at a time.
    pub(super) async fn connect(url: &str, tokens: &[&str], connections: usize, storm: usize) -> Result<Self> {
        let retries = AtomicU64::new(0);
        let opening = stream::iter(0..connections).map(|i| {
            let (retries, token) = (&retries, tokens[i % tokens.len()]);
            async move {
                for attempt in 0..ATTEMPTS {
                    let start = Instant::now();
                    if let Some(socket) = open(url, token).await? {
                        return Ok((socket, start.elapsed()));
                    }
                    retries.fetch_add(1, Ordering::Relaxed);
                    // spread over half a second, and later each time
                    tokio::time::sleep(Duration::from_millis(100 * attempt.min(10) + i as u64 * 37 % 500)).await;
                }
                bail!("connection {i} was told to come back {ATTEMPTS} times")
            }
        });
        let mut opening = std::pin::pin!(opening.buffer_unordered(storm));
        let (mut connecting, told, mut readers) = (Samples::default(), Arc::<Told>::default(), JoinSet::new());
        while let Some((socket, took)) = opening.try_next().await? {
            connecting.add(took);
            readers.spawn(listen(socket, Arc::clone(&told)));
        }
        Ok(Self { connecting, retries: retries.load(Ordering::Relaxed), connections, told, _readers: readers })
    }

    /// Sends a message into each conversation and waits until every connection of each member has it.
    pub(super) async fn hear(&mut self, users: &[User], conversations: &[String]) -> Result<usize> {
        let before = self.told.messages.load(Ordering::Relaxed);
        let closed = self.told.closed.load(Ordering::Relaxed);
        ensure!(closed == 0, "{closed} connections were closed meanwhile");
        let mut expected = 0;
        for (first, conversation) in (0..).step_by(CONVERSATIONS).zip(conversations) {
            let message = json!({"clientMsgId": format!("heard-{first}"), "content": "is everybody still here?"});
            let path = format!("/v1/conversations/{conversation}/messages");
            let (status, answer) = users[first].api.post(&path, message).await?;
            ensure!(status == 201 || status == 200, "sending: {status} {answer}");
            let members = (first..first + MEMBERS).map(|member| member % users.len());
            expected += members.map(|user| (user..self.connections).step_by(users.len()).count()).sum::<usize>();
        }
        let deadline = Instant::now() + DELIVERED_WITHIN;
        loop {
            let delivered = self.told.messages.load(Ordering::Relaxed) - before;
            if delivered == expected {
                return Ok(delivered);
            }
            ensure!(delivered < expected && Instant::now() < deadline, "{delivered} deliveries instead of {expected}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// `None` when the gateway says to come back later.
async fn open(url: &str, token: &str) -> Result<Option<Socket>> {
    let address = url.trim_start_matches("ws://").trim_end_matches("/ws");
    let tcp = TcpStream::connect(address).await.context("failed to connect")?;
    let small = WebSocketConfig::default().read_buffer_size(1024).write_buffer_size(0);
    let mut socket = match client_async_with_config(url, tcp, Some(small)).await {
        Ok((socket, _)) => socket,
        Err(tungstenite::Error::Http(answer)) if answer.status() == 503 => return Ok(None),
        Err(error) => return Err(error).context("the upgrade failed"),
    };
    socket.send(Message::text(json!({"type": "CONNECT", "token": token}).to_string())).await?;
    match socket.next().await.context("closed before CONNECTED")?? {
        Message::Text(text) if text.contains("\"CONNECTED\"") => Ok(Some(socket)),
        Message::Close(Some(close)) if u16::from(close.code) == 1013 => Ok(None),
        other => bail!("CONNECT was refused: {other}"),
    }
}

/// Reading is what answers pings.
async fn listen(mut socket: Socket, told: Arc<Told>) {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message
            && text.starts_with("{\"type\":\"MESSAGE\"")
        {
            told.messages.fetch_add(1, Ordering::Relaxed);
        }
    }
    told.closed.fetch_add(1, Ordering::Relaxed);
}
