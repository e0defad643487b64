//! A client of the native WebSocket protocol that writes down everything it sends and sees.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::history::{History, Recorded, Side};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// For the upgrade and for CONNECTED. Nothing that works takes this long.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Where the client left off.
#[derive(Clone, Debug, Default)]
pub enum Resume {
    /// A new session: nothing is claimed to have been seen.
    #[default]
    None,
    /// The last seq seen of each conversation.
    Seqs(BTreeMap<String, u64>),
    /// The last `position` that the server sent.
    Position(String),
}

/// One connection. Dropping it cuts the TCP connection without a close frame.
#[derive(Debug)]
pub struct Client {
    sink: Mutex<Option<SplitSink<Socket, Message>>>,
    history: History,
    reader: JoinHandle<()>,
    stalled: watch::Sender<bool>,
    session: Value,
}

impl Client {
    /// Upgrades, sends CONNECT and waits for CONNECTED; a refusal is an error that shows the server's frame or close.
    pub async fn connect(url: &str, token: &str, resume: Resume) -> Result<Self> {
        let mut connect = json!({"type": "CONNECT", "token": token});
        match resume {
            Resume::None => {}
            Resume::Seqs(seqs) => connect["resume"] = json!(seqs),
            Resume::Position(position) => connect["position"] = json!(position),
        }
        let mut client = Self::open(url).await?;
        client.send_frame(connect).await?;
        let first = client
            .history
            .wait_from(0, CONNECT_WITHIN, |entry| {
                entry.side == Side::End || (entry.side == Side::Server && is_answer_to_connect(&entry.frame))
            })
            .await
            .context("no CONNECTED")?;
        if first.frame["type"] != "CONNECTED" {
            bail!("CONNECT was refused: {}", first.frame);
        }
        client.session = first.frame;
        Ok(client)
    }

    /// Upgrades only: for tests about what comes before CONNECT.
    pub async fn open(url: &str) -> Result<Self> {
        let (socket, _) = tokio::time::timeout(CONNECT_WITHIN, connect_async(url))
            .await
            .with_context(|| format!("{url} did not answer the upgrade"))?
            .with_context(|| format!("failed to connect to {url}"))?;
        let (sink, stream) = socket.split();
        let history = History::default();
        let stalled = watch::Sender::new(false);
        let reader = tokio::spawn(read_all(stream, history.clone(), stalled.subscribe()));
        Ok(Self { sink: Mutex::new(Some(sink)), history, reader, stalled, session: Value::Null })
    }

    /// The CONNECTED frame.
    pub fn session(&self) -> &Value {
        &self.session
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    pub async fn send_frame(&self, frame: Value) -> Result<()> {
        let text = frame.to_string();
        // First the history, then the wire: a crash in between leaves an attempt on record, never a send without one.
        self.history.record(Side::Client, frame);
        self.send_raw(Message::text(text)).await
    }

    /// Any WebSocket message, e.g. text that is no JSON. Not recorded.
    pub async fn send_raw(&self, message: Message) -> Result<()> {
        let mut sink = self.sink.lock().await;
        let sink = sink.as_mut().context("the connection was aborted")?;
        sink.send(message).await.context("failed to send")
    }

    /// SEND; the ACK arrives in the history.
    pub async fn send_message(&self, conversation: &str, client_msg_id: &str, content: &str) -> Result<()> {
        let frame = json!({
            "type": "SEND", "clientMsgId": client_msg_id, "conversationId": conversation, "content": content,
        });
        self.send_frame(frame).await
    }

    /// SEND and wait for its ACK, which is answered; an ERROR about this send is an error.
    pub async fn send_and_ack(
        &self,
        conversation: &str,
        client_msg_id: &str,
        content: &str,
        within: Duration,
    ) -> Result<Value> {
        let from = self.history.len();
        self.send_message(conversation, client_msg_id, content).await?;
        let ours = |entry: &Recorded| {
            entry.side == Side::End
                || (entry.side == Side::Server
                    && (entry.frame["type"] == "ACK" || entry.frame["type"] == "ERROR")
                    && entry.frame["clientMsgId"] == client_msg_id)
        };
        let answer = self.history.wait_from(from, within, ours).await?.frame;
        if answer["type"] != "ACK" {
            bail!("the send was refused: {answer}");
        }
        Ok(answer)
    }

    /// The first frame of the server, also of those already here, that `found` accepts.
    pub async fn wait_for<F: Fn(&Value) -> bool>(&self, found: F, within: Duration) -> Result<Value> {
        self.wait_from(0, found, within).await
    }

    /// As [`Client::wait_for`], for what is recorded from index `from` on; take it from `history().len()`.
    pub async fn wait_from<F: Fn(&Value) -> bool>(&self, from: usize, found: F, within: Duration) -> Result<Value> {
        let accept = |entry: &Recorded| entry.side == Side::Server && found(&entry.frame);
        self.history.wait_from(from, within, accept).await.map(|entry| entry.frame)
    }

    /// The server's frames of one conversation, in order of arrival.
    pub fn frames_of(&self, conversation: &str) -> Vec<Value> {
        let mut frames = self.history.received();
        frames.retain(|frame| frame["conversationId"] == conversation);
        frames
    }

    /// The seqs of one conversation's events in order of arrival. ACKs also carry a seq but are no events.
    pub fn seqs_of(&self, conversation: &str) -> Vec<u64> {
        let frames = self.frames_of(conversation);
        frames.iter().filter(|frame| frame["type"] != "ACK").filter_map(|frame| frame["seq"].as_u64()).collect()
    }

    /// What [`Resume`] needs after this connection: the highest seq seen of every conversation.
    pub fn resume(&self) -> Resume {
        let mut seqs: BTreeMap<String, u64> = BTreeMap::new();
        for frame in self.history.received() {
            if frame["type"] == "ACK" {
                continue;
            }
            if let (Some(conversation), Some(seq)) = (frame["conversationId"].as_str(), frame["seq"].as_u64()) {
                let highest = seqs.entry(conversation.to_owned()).or_default();
                *highest = seq.max(*highest);
            }
        }
        Resume::Seqs(seqs)
    }

    /// Stops (or goes on) reading from the socket: the slow consumer. What the kernel buffers still flows.
    pub fn stall(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }

    /// The close code and reason, once the connection has ended; waits for it. `None`: it ended without a close frame.
    pub async fn closed(&self, within: Duration) -> Result<Option<(u16, String)>> {
        let end = self.history.wait_from(0, within, |entry| entry.side == Side::End).await?.frame;
        let code = end["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        Ok(code.map(|code| (code, end["reason"].as_str().unwrap_or_default().to_owned())))
    }

    /// Sends a close frame (1000) and waits until the server has answered it.
    pub async fn close(&self) -> Result<()> {
        self.send_raw(Message::Close(None)).await?;
        self.closed(CONNECT_WITHIN).await.map(drop)
    }

    /// Drops the TCP connection without a close frame, as a phone in a tunnel does.
    pub async fn abort(&self) {
        self.reader.abort();
        drop(self.sink.lock().await.take());
        if self.history.end().is_none() {
            self.history.record(Side::End, json!({"type": "CLOSED", "reason": "aborted by the client"}));
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The reader holds the other half of the socket.
        self.reader.abort();
    }
}

/// What may precede the answer, e.g. a PING, is not the answer.
fn is_answer_to_connect(frame: &Value) -> bool {
    frame["type"] == "CONNECTED" || frame["type"] == "ERROR"
}

async fn read_all(mut stream: SplitStream<Socket>, history: History, mut stalled: watch::Receiver<bool>) {
    let mut end = Some(json!({"type": "CLOSED"}));
    loop {
        // An error means that the client is gone; then the task is about to be aborted.
        let _ = stalled.wait_for(|stalled| !stalled).await;
        match stream.next().await {
            Some(Ok(Message::Text(text))) => {
                let frame = serde_json::from_str(&text).unwrap_or_else(|_| json!({"notJson": text.as_str()}));
                history.record(Side::Server, frame);
            }
            Some(Ok(Message::Close(close))) => {
                // For the user this is the end. Reading goes on only so that the library answers the close.
                if let Some(mut end) = end.take() {
                    if let Some(close) = close {
                        end["code"] = json!(u16::from(close.code));
                        end["reason"] = json!(close.reason.as_str());
                    }
                    history.record(Side::End, end);
                }
            }
            Some(Ok(Message::Binary(bytes))) => history.record(Side::Server, json!({"binaryBytes": bytes.len()})),
            // Pings are answered by the library.
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                if let Some(end) = &mut end {
                    end["error"] = json!(error.to_string());
                }
                break;
            }
            None => break,
        }
    }
    if let Some(end) = end {
        history.record(Side::End, end);
    }
}
