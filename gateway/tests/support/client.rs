//! A stranger's WebSocket client.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, protocol::CloseFrame},
};

const PATIENCE: Duration = Duration::from_secs(15);

pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Every text frame so far.
    pub seen: Vec<Value>,
    /// The server's close frame, if there was one and whatever was in it.
    pub closed: Vec<Option<CloseFrame>>,
}

impl Client {
    pub async fn open(url: &str) -> Self {
        let (socket, _) = connect_async(url).await.unwrap();
        Self { socket, seen: Vec::new(), closed: Vec::new() }
    }

    pub async fn send(&mut self, frame: Value) {
        self.send_raw(Message::text(frame.to_string())).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    pub async fn send_message(&mut self, conversation: &str, id: &str, content: &str) {
        let frame = serde_json::json!({
            "type": "SEND", "clientMsgId": id, "conversationId": conversation, "content": content,
        });
        self.send(frame).await;
    }

    /// The next text frame; `None`: the connection has ended.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            match message.unwrap_or_else(|_| panic!("nothing came after {:?}", self.seen.last())) {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    self.seen.push(frame.clone());
                    return Some(frame);
                }
                Some(Ok(Message::Close(frame))) => self.closed.push(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Reads up to a frame of this type.
    pub async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            let frame = frame.unwrap_or_else(|| panic!("closed by {:?} before {kind}: {:?}", self.closed, self.seen));
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Reads until the conversation's seq has come.
    pub async fn until_seq(&mut self, conversation: &str, seq: u64) {
        while self.seqs(conversation).last() != Some(&seq) {
            let next = self.next().await;
            assert!(next.is_some(), "closed by {:?} before {seq}: {:?}", self.closed, self.seqs(conversation));
        }
    }

    /// Reads to the end; the close code.
    pub async fn until_closed(&mut self) -> Option<u16> {
        while self.next().await.is_some() {}
        self.closed.first().cloned().flatten().map(|frame| frame.code.into())
    }

    /// The seqs of the conversation's events, in the order they came.
    pub fn seqs(&self, conversation: &str) -> Vec<u64> {
        let ours = self.seen.iter().filter(|frame| frame["conversationId"] == conversation && frame["type"] != "ACK");
        ours.filter_map(|frame| frame["seq"].as_u64()).collect()
    }
}
