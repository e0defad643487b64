//! One client: reads, and when its gateway is gone goes on at the next, after a random pause as our own client makes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use rand::RngExt;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::book::Book;
use crate::torture::history::{Event, Name};

/// The first pause is up to this long, and doubles.
const PAUSE_MS: u64 = 1_000;
const MOST_DOUBLINGS: u32 = 4;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct Client {
    user: Name,
    token: String,
    urls: Vec<String>,
    /// The gateway it is at.
    at: usize,
    /// Its gateway stays: it measures how long events take.
    measures: bool,
    book: Arc<Book>,
    /// It was connected before.
    has_been: bool,
    /// The last seq of each conversation.
    places: BTreeMap<Name, u64>,
}

impl Client {
    pub(super) fn new(user: Name, token: String, urls: Vec<String>, at: usize, book: Arc<Book>) -> Self {
        Self { user, token, urls, at, measures: at > 0, book, has_been: false, places: BTreeMap::new() }
    }

    pub(super) async fn run(mut self, mut over: watch::Receiver<bool>) {
        let mut attempts = 0;
        loop {
            let session = self.session(&mut attempts);
            tokio::select! {
                // an error means that the run is gone
                _ = over.wait_for(|over| *over) => return,
                _ = session => {}
            }
            let most = PAUSE_MS << attempts.min(MOST_DOUBLINGS);
            let pause = rand::rng().random_range(0..most);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            attempts += 1;
            self.at = (self.at + 1) % self.urls.len();
        }
    }

    /// Until the connection ends.
    async fn session(&mut self, attempts: &mut u32) -> Result<()> {
        let connecting = tokio::time::timeout(CONNECT_WITHIN, self.connect());
        let mut socket = connecting.await.context("no CONNECTED in time")??;
        let again = std::mem::replace(&mut self.has_been, true);
        self.book.connected(again);
        let mut is_behind = again;
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message? else { continue };
            let frame: Value = serde_json::from_str(&text)?;
            // said once everything that was missed has been
            if frame["type"] == "POSITION" && is_behind {
                is_behind = false;
                *attempts = 0;
                self.book.caught_up();
            }
            self.hear(&frame);
        }
        Ok(())
    }

    async fn connect(&self) -> Result<WebSocketStream<TcpStream>> {
        let url = &self.urls[self.at];
        let address = url.trim_start_matches("ws://").split('/').next().unwrap_or_default();
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut socket, _) = client_async(url.as_str(), stream).await?;
        let connect = serde_json::json!({"type": "CONNECT", "token": self.token, "resume": self.places});
        socket.send(Message::text(connect.to_string())).await?;
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message? else { continue };
            let frame: Value = serde_json::from_str(&text)?;
            match frame["type"].as_str() {
                Some("CONNECTED") => return Ok(socket),
                Some("ERROR") => bail!("{} was refused: {frame}", self.user),
                _ => {}
            }
        }
        bail!("closed before CONNECTED")
    }

    fn hear(&mut self, frame: &Value) {
        let Some(Event { conversation, seq, .. }) = Event::read(frame) else { return };
        let place = self.places.entry(conversation.clone()).or_default();
        let stamp = if self.measures { frame["content"].as_str() } else { None };
        self.book.event(&conversation, *place, seq, stamp);
        *place = seq.max(*place);
    }
}
