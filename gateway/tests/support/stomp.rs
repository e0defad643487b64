//! A stranger's STOMP client: it knows frames, and nothing of this gateway.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{ClientRequestBuilder, Message},
};

const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub command: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Frame {
    /// A header that must be there.
    pub fn header(&self, name: &str) -> &str {
        self.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Takes a frame off the front of `bytes`; heart-beats before it are passed over.
    fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let start = bytes.iter().position(|byte| *byte != b'\n')?;
        let head_end = start + bytes[start..].windows(2).position(|pair| pair == b"\n\n")?;
        let head = std::str::from_utf8(&bytes[start..head_end]).unwrap();
        let mut lines = head.split('\n');
        let command = lines.next().unwrap().to_owned();
        let headers: Vec<_> = lines
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap();
                (unescape(name), unescape(value))
            })
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse::<usize>());
        let rest = &bytes[head_end + 2..];
        let length = length.map_or_else(|| rest.iter().position(|byte| *byte == 0), |length| Some(length.unwrap()))?;
        if rest.len() <= length {
            return None;
        }
        assert_eq!(rest[length], 0, "a frame ends with NUL");
        let body = String::from_utf8(rest[..length].to_vec()).unwrap();
        bytes.drain(..=head_end + 2 + length);
        Some(Self { command, headers, body })
    }
}

fn unescape(text: &str) -> String {
    text.replace("\\c", ":").replace("\\n", "\n").replace("\\r", "\r").replace("\\\\", "\\")
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\r', "\\r").replace('\n', "\\n").replace(':', "\\c")
}

/// A frame's bytes.
pub fn frame(command: &str, headers: &[(&str, &str)], body: &str) -> String {
    let escape = |text: &str| if command == "CONNECT" { text.to_owned() } else { escape(text) };
    let lines: Vec<String> =
        headers.iter().map(|(name, value)| format!("{}:{}", escape(name), escape(value))).collect();
    [&[command.to_owned()], &*lines, &[String::new(), format!("{body}\0")]].concat().join("\n")
}

enum Wire {
    WebSocket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
    Tcp(TcpStream),
}

pub struct Stomp {
    wire: Wire,
    bytes: Vec<u8>,
    /// Frames that were read and not asked for yet.
    waiting: VecDeque<Frame>,
    /// Every frame so far.
    pub seen: Vec<Frame>,
    /// Heart-beats so far.
    pub beats: usize,
    /// The code of the WebSocket's close frame.
    pub closed: Option<u16>,
    receipts: usize,
}

impl Stomp {
    pub async fn open(url: &str) -> Self {
        Self::open_as(url, &["v12.stomp"]).await.0
    }

    /// Offers subprotocols; also returns the one that was chosen.
    pub async fn open_as(url: &str, protocols: &[&str]) -> (Self, Option<String>) {
        let mut request = ClientRequestBuilder::new(url.parse().unwrap());
        for protocol in protocols {
            request = request.with_sub_protocol(*protocol);
        }
        let (socket, answer) = connect_async(request).await.unwrap();
        let chosen = answer.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap().to_owned());
        (Self::over(Wire::WebSocket(Box::new(socket))), chosen)
    }

    pub async fn tcp(address: SocketAddr) -> Self {
        Self::over(Wire::Tcp(TcpStream::connect(address).await.unwrap()))
    }

    fn over(wire: Wire) -> Self {
        let (waiting, seen) = (VecDeque::new(), Vec::new());
        Self { wire, bytes: Vec::new(), waiting, seen, beats: 0, closed: None, receipts: 0 }
    }

    /// CONNECT with a token, up to CONNECTED.
    pub async fn connect(&mut self, token: &str, headers: &[(&str, &str)]) -> Frame {
        let usual = [("accept-version", "1.2"), ("host", "chat"), ("passcode", token)];
        let headers: Vec<_> = usual.into_iter().chain(headers.iter().copied()).collect();
        self.send("CONNECT", &headers, "").await;
        self.until("CONNECTED").await
    }

    pub async fn send(&mut self, command: &str, headers: &[(&str, &str)], body: &str) {
        self.send_bytes(frame(command, headers, body).as_bytes()).await;
    }

    /// Bytes as they are; one WebSocket message.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::WebSocket(socket) => match std::str::from_utf8(bytes) {
                Ok(text) => socket.send(Message::text(text)).await.unwrap(),
                Err(_) => socket.send(Message::binary(bytes.to_vec())).await.unwrap(),
            },
            Wire::Tcp(stream) => stream.write_all(bytes).await.unwrap(),
        }
    }

    /// Sends a frame and reads up to its receipt.
    pub async fn done(&mut self, command: &str, headers: &[(&str, &str)], body: &str) -> Frame {
        self.receipts += 1;
        let id = format!("r-{}", self.receipts);
        let headers: Vec<_> = headers.iter().copied().chain([("receipt", id.as_str())]).collect();
        self.send(command, &headers, body).await;
        self.receipt(&id).await
    }

    pub async fn subscribe(&mut self, id: &str, destination: &str) {
        self.done("SUBSCRIBE", &[("id", id), ("destination", destination)], "").await;
    }

    /// Reads up to this receipt.
    pub async fn receipt(&mut self, id: &str) -> Frame {
        loop {
            let frame = self.until("RECEIPT").await;
            if frame.header("receipt-id") == id {
                return frame;
            }
        }
    }

    /// The next frame; `None`: the connection has ended.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                self.seen.push(frame.clone());
                return Some(frame);
            }
            let read = tokio::time::timeout(PATIENCE, self.read()).await;
            if !read.unwrap_or_else(|_| panic!("nothing came after {:?}", self.seen.last())) {
                return None;
            }
        }
    }

    /// Reads what comes next. False: the connection has ended.
    async fn read(&mut self) -> bool {
        let bytes = match &mut self.wire {
            Wire::WebSocket(socket) => match socket.next().await {
                Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
                Some(Ok(Message::Close(frame))) => {
                    self.closed = frame.map(|frame| frame.code.into());
                    return true;
                }
                Some(Ok(_)) => return true,
                Some(Err(_)) | None => return false,
            },
            Wire::Tcp(stream) => {
                let mut bytes = vec![0; 64 * 1024];
                let Ok(count @ 1..) = stream.read(&mut bytes).await else { return false };
                bytes.truncate(count);
                bytes
            }
        };
        if bytes == b"\n" && self.bytes.is_empty() {
            self.beats += 1;
            return true;
        }
        self.bytes.extend(bytes);
        while let Some(frame) = Frame::take(&mut self.bytes) {
            self.waiting.push_back(frame);
        }
        true
    }

    /// Reads up to a frame of this command.
    pub async fn until(&mut self, command: &str) -> Frame {
        loop {
            let frame = self.next().await;
            let frame = frame.unwrap_or_else(|| panic!("ended ({:?}) before {command}: {:?}", self.closed, self.seen));
            if frame.command == command {
                return frame;
            }
        }
    }

    /// Reads up to the MESSAGE with this seq of the conversation.
    pub async fn until_seq(&mut self, conversation: &str, seq: u64) -> Frame {
        loop {
            let message = self.until("MESSAGE").await;
            if message.get("conversation-id") == Some(conversation) && message.header("seq") == seq.to_string() {
                return message;
            }
        }
    }

    /// Reads for as long as `time`, which must be long enough for what must not come.
    pub async fn for_a_while(&mut self, time: Duration) {
        let _ = tokio::time::timeout(time, async { while self.next().await.is_some() {} }).await;
    }

    /// Reads to the end; the ERROR frame that came before it, if there was one.
    pub async fn until_closed(&mut self) -> Option<Frame> {
        while self.next().await.is_some() {}
        let error = self.seen.last().filter(|frame| frame.command == "ERROR");
        assert!(self.seen.iter().rev().skip(1).all(|frame| frame.command != "ERROR"), "nothing follows an ERROR");
        error.cloned()
    }

    /// The seqs of the conversation's events on a subscription, in the order they came.
    pub fn seqs(&self, subscription: &str, conversation: &str) -> Vec<u64> {
        let ours = self.seen.iter().filter(|frame| {
            frame.command == "MESSAGE"
                && frame.get("subscription") == Some(subscription)
                && frame.get("conversation-id") == Some(conversation)
        });
        ours.filter_map(|frame| frame.get("seq")?.parse().ok()).collect()
    }

    /// The last position that the server named.
    pub fn position(&self) -> String {
        let last = self.seen.iter().rev().find_map(|frame| frame.get("position"));
        last.expect("a position").to_owned()
    }
}
