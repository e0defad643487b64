//! `/events`: the same session read only, resumed by the id of the last event.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use std::time::Duration;

use chatcluster_gateway::Options;
use reqwest::{
    RequestBuilder, Response,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, ORIGIN},
};
use serde_json::Value;
use support::Platform;

/// What a browser's `EventSource` does: text in, events and the last id out.
struct Stream {
    response: Response,
    text: String,
    last_id: String,
}

impl Stream {
    async fn open(platform: &Platform, user: &str, last_id: &str) -> Self {
        let request = events(platform).bearer_auth(platform.issuer.token(user)).header("Last-Event-ID", last_id);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
        Self { response, text: String::new(), last_id: last_id.to_owned() }
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(id) = block.lines().find_map(|line| line.strip_prefix("id: ")) {
                    id.clone_into(&mut self.last_id);
                }
                if let Some(data) = block.lines().find_map(|line| line.strip_prefix("data: ")) {
                    return Some(serde_json::from_str(data).unwrap());
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(15), self.response.chunk()).await.expect("in time");
            self.text.push_str(std::str::from_utf8(&chunk.ok()??).unwrap());
        }
    }

    /// Conversation and seq of the next messages.
    async fn messages(&mut self, count: usize) -> Vec<(String, u64)> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let event = self.next().await.expect("the stream goes on");
            if event["type"] == "MESSAGE" {
                seen.push((event["conversationId"].as_str().unwrap().to_owned(), event["seq"].as_u64().unwrap()));
            }
        }
        seen
    }
}

fn events(platform: &Platform) -> RequestBuilder {
    reqwest::Client::new().get(format!("http://{}/events", platform.address))
}

#[tokio::test]
async fn the_last_id_brings_exactly_what_was_missed() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann", "bob"]);
    platform.core.create("c2", &["ann", "bob"]);
    let mut stream = Stream::open(&platform, "ann", "").await;
    assert_eq!(stream.next().await.unwrap()["type"], "CONNECTED");
    for _ in 0..3 {
        platform.core.post("c1", "bob", "x").await;
        platform.core.post("c2", "bob", "x").await;
    }
    assert_eq!(stream.messages(6).await.len(), 6);
    let last_id = stream.last_id.clone();
    drop(stream);

    platform.core.post("c1", "bob", "missed").await;
    platform.core.post("c2", "bob", "missed").await;
    let mut again = Stream::open(&platform, "ann", &last_id).await;
    platform.core.post("c2", "bob", "live").await;
    let mut seen = again.messages(3).await;
    seen.sort();
    assert_eq!(seen, [("c1".to_owned(), 4), ("c2".to_owned(), 4), ("c2".to_owned(), 5)]);
}

#[tokio::test]
async fn those_of_one_conversation_share_what_is_encoded_and_each_can_resume() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann", "bob"]);
    let (mut ann, mut bob) = (Stream::open(&platform, "ann", "").await, Stream::open(&platform, "bob", "").await);
    for stream in [&mut ann, &mut bob] {
        assert_eq!(stream.next().await.unwrap()["type"], "CONNECTED");
    }
    for _ in 0..50 {
        platform.core.post("c1", "ann", "x").await;
    }
    for stream in [&mut ann, &mut bob] {
        let seqs: Vec<u64> = stream.messages(50).await.into_iter().map(|(_, seq)| seq).collect();
        assert_eq!(seqs, (1..=50).collect::<Vec<_>>());
        assert_eq!(stream.last_id, "1;c1=50");
    }
}

#[tokio::test]
async fn strangers_and_other_pages_are_refused() {
    let options = Options { allowed_origins: vec!["https://app.example".into()], ..Options::default() };
    let platform = Platform::with(options).await;
    assert_eq!(events(&platform).send().await.unwrap().status(), 401);
    assert_eq!(events(&platform).bearer_auth("nonsense").send().await.unwrap().status(), 401);
    let token = platform.issuer.token("ann");
    let from = |origin| events(&platform).bearer_auth(&token).header(ORIGIN, origin);
    assert_eq!(from("https://evil.example").send().await.unwrap().status(), 403);
    let answer = from("https://app.example").send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN]),
        (200, &"https://app.example".parse().unwrap())
    );
    let bad = events(&platform).bearer_auth(&token).header("Last-Event-ID", "nonsense");
    assert_eq!(bad.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn it_ends_with_the_token_and_tells_that_it_is_alive_before() {
    let options = Options { heartbeat: Duration::from_millis(300), ..Options::default() };
    let platform = Platform::with(options).await;
    let response = events(&platform).bearer_auth(platform.issuer.token_for("ann", 3)).send().await.unwrap();
    let mut stream = Stream { response, text: String::new(), last_id: String::new() };
    let mut text = String::new();
    while let Ok(Some(chunk)) = stream.response.chunk().await {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(text.contains("CONNECTED") && text.contains("\n:\n"), "{text}");
}
