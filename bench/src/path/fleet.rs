//! The members of one conversation, connected and listening.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use chatcluster_testkit::{Deployment, User};
use futures_util::{
    SinkExt, StreamExt, TryStreamExt, stream,
    stream::{SplitSink, SplitStream},
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{net::TcpStream, sync::Notify};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::percentiles::Samples;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Sink = SplitSink<Socket, Message>;
type Source = SplitStream<Socket>;

/// What the readers share with the sender.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// When each message's SEND was written, by its number.
    pub(crate) written: Mutex<Vec<Instant>>,
    pub(crate) acks: Mutex<Samples>,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) progress: Notify,
    pub(crate) failure: Mutex<Option<String>>,
}

pub(crate) struct Fleet {
    pub(crate) conversation: String,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) board: Arc<Board>,
    /// One a reader, so that they do not wait for each other.
    pub(crate) latencies: Vec<Arc<Mutex<Samples>>>,
}

impl Fleet {
    pub(crate) async fn assemble(deployment: &Deployment, members: usize) -> Result<Self> {
        let users: Vec<User> = stream::iter(0..members)
            .map(|i| async move { deployment.user(&format!("member-{i}")).await })
            .buffered(4)
            .try_collect()
            .await?;
        let ids: Vec<&str> = users[1..].iter().map(|user| user.id.as_str()).collect();
        let (status, conversation) = users[0].api.create_conversation("group", &ids).await?;
        ensure!(status == 201, "creating the group: {status} {conversation}");
        let conversation = conversation["id"].as_str().context("a conversation without id")?.to_owned();
        let mut fleet = Self { conversation, sinks: Vec::new(), board: Arc::default(), latencies: Vec::new() };
        for (i, user) in users.iter().enumerate() {
            let urls = deployment.gateway_ws_urls();
            fleet.connect(&urls[i % urls.len()], user).await?;
        }
        Ok(fleet)
    }

    /// So many sockets, their users and gateways in turn, `storm` at a time.
    pub(crate) async fn connect_all(
        &mut self,
        urls: &[String],
        users: &[User],
        sockets: usize,
        storm: usize,
    ) -> Result<()> {
        let mut opening = stream::iter(0..sockets)
            .map(|i| open(&urls[i % urls.len()], &users[i / urls.len() % users.len()]))
            .buffered(storm);
        while let Some(socket) = opening.try_next().await? {
            self.listen(socket);
        }
        Ok(())
    }

    async fn connect(&mut self, url: &str, user: &User) -> Result<()> {
        let socket = open(url, user).await?;
        self.listen(socket);
        Ok(())
    }

    fn listen(&mut self, (sink, mut source): (Sink, Source)) {
        let (board, latencies) = (Arc::clone(&self.board), Arc::new(Mutex::new(Samples::default())));
        self.latencies.push(Arc::clone(&latencies));
        self.sinks.push(sink);
        tokio::spawn(async move {
            while let Some(Ok(message)) = source.next().await {
                if let Message::Text(text) = message {
                    board.read(&text, Instant::now(), &latencies);
                }
            }
            *board.failure.lock() = Some("a connection was closed".into());
            board.progress.notify_one();
        });
    }
}

/// A connected client.
async fn open(url: &str, user: &User) -> Result<(Sink, Source)> {
    let (socket, _) = connect_async(url).await?;
    if let MaybeTlsStream::Plain(tcp) = socket.get_ref() {
        tcp.set_nodelay(true)?;
    }
    let (mut sink, mut source) = socket.split();
    sink.send(Message::text(json!({"type": "CONNECT", "token": user.token}).to_string())).await?;
    let connected = source.next().await.context("closed before CONNECTED")??;
    ensure!(connected.to_text()?.contains("CONNECTED"), "refused: {connected}");
    Ok((sink, source))
}

impl Board {
    /// Frames are looked at with the least work: the driver shares the machine with what it measures.
    fn read(&self, frame: &str, now: Instant, latencies: &Mutex<Samples>) {
        let number = |id: &str| {
            let rest = &frame[frame.find(id)? + id.len()..];
            rest[..rest.find('"')?].parse::<usize>().ok()
        };
        let Some(number) = number("\"clientMsgId\":\"n-") else { return };
        let Some(written) = self.written.lock().get(number).copied() else { return };
        let took = now.saturating_duration_since(written);
        if frame.starts_with("{\"type\":\"MESSAGE\"") {
            latencies.lock().add(took);
            self.delivered.fetch_add(1, Ordering::Relaxed);
        } else if frame.starts_with("{\"type\":\"ACK\"") {
            self.acks.lock().add(took);
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        } else if frame.starts_with("{\"type\":\"ERROR\"") {
            *self.failure.lock() = Some(frame.to_owned());
        }
        self.progress.notify_one();
    }
}
