//! A SockJS client without a WebSocket, request by request, and STOMP as its messages carry it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use reqwest::{RequestBuilder, Response, StatusCode};

use super::Platform;

const PATIENCE: Duration = Duration::from_secs(15);

pub struct SockJs {
    /// `http://…/sockjs/{server}/{session}`
    pub url: String,
    pub http: reqwest::Client,
    /// Messages that came and were not asked for yet.
    pub waiting: Vec<String>,
}

impl SockJs {
    /// A session id of its own; nothing is asked yet.
    pub fn new(platform: &Platform) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let url = format!("http://{}/sockjs/000/session-{id}", platform.address);
        Self { url, http: reqwest::Client::new(), waiting: Vec::new() }
    }

    /// A client that is connected as `user` and polls.
    pub async fn polling(platform: &Platform, user: &str, headers: &str) -> Self {
        let mut client = Self::new(platform);
        assert_eq!(client.poll().await, "o");
        client.connect(&platform.issuer.token(user), headers).await;
        client
    }

    pub async fn connect(&mut self, token: &str, headers: &str) {
        self.send(&[&format!("CONNECT\naccept-version:1.2\npasscode:{token}\n{headers}\n\0")]).await;
        assert!(self.next().await.unwrap().starts_with("CONNECTED\n"));
    }

    /// Until it is live. What comes before that is not lost.
    pub async fn subscribe(&mut self, destination: &str) {
        self.send(&[&format!("SUBSCRIBE\nid:s\ndestination:{destination}\nreceipt:r\n\n\0")]).await;
        let mut before = Vec::new();
        loop {
            let frame = self.next().await.unwrap();
            if frame.starts_with("RECEIPT\n") {
                break;
            }
            before.push(frame);
        }
        self.waiting.splice(..0, before);
    }

    pub fn request(&self, transport: &str) -> RequestBuilder {
        self.http.post(format!("{}/{transport}", self.url))
    }

    /// The next frame of SockJS, by one poll.
    pub async fn poll(&self) -> String {
        let polled = tokio::time::timeout(PATIENCE, self.request("xhr").send()).await.expect("in time").unwrap();
        assert_eq!(polled.status(), 200);
        polled.text().await.unwrap().trim_end().to_owned()
    }

    pub async fn post(&self, body: String) -> Response {
        self.request("xhr_send").body(body).send().await.unwrap()
    }

    pub async fn send(&self, texts: &[&str]) {
        assert_eq!(self.post(serde_json::to_string(texts).unwrap()).await.status(), StatusCode::NO_CONTENT);
    }

    /// The next message, by polls; the close frame as an error.
    pub async fn next(&mut self) -> Result<String, String> {
        while self.waiting.is_empty() {
            self.waiting = messages(&self.poll().await)?;
        }
        Ok(self.waiting.remove(0))
    }

    /// The next events' seqs, by polls.
    pub async fn seqs(&mut self, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            seqs.extend(seq(&self.next().await.unwrap()));
        }
        seqs
    }
}

/// The messages of a frame of SockJS; a close frame is an error.
pub fn messages(frame: &str) -> Result<Vec<String>, String> {
    match frame.split_at(1) {
        ("a", json) => Ok(serde_json::from_str(json).unwrap()),
        ("h" | "o", "") => Ok(Vec::new()),
        _ => Err(frame.to_owned()),
    }
}

/// The seq of a MESSAGE.
pub fn seq(frame: &str) -> Option<u64> {
    frame.starts_with("MESSAGE\n").then(|| header(frame, "seq").unwrap().parse().unwrap())
}

/// A header of a STOMP frame.
pub fn header<'a>(frame: &'a str, name: &str) -> Option<&'a str> {
    let head = frame.split("\n\n").next().unwrap_or_default();
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// A response that streams: its frames of SockJS.
pub struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    pub async fn open(client: &SockJs) -> Self {
        let response = client.request("xhr_streaming").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut stream = Self { response, text: String::new() };
        assert_eq!(stream.next().await.unwrap(), "h".repeat(2048));
        stream
    }

    /// `None`: the response has ended.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((frame, rest)) = self.text.split_once('\n') {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(frame);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("in time");
            self.text.push_str(std::str::from_utf8(&chunk.ok()??).unwrap());
        }
    }
}
