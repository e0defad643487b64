//! Clients that the network lets have nothing but short requests.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{Deployment, WAIT};

use super::participant::group;

/// One `SockJS` session over xhr polling, each request on a connection of its own: wherever these end up, it must be
/// where the session is.
struct Polling {
    http: reqwest::Client,
    session: String,
    /// Messages that came and were not asked for yet.
    received: Vec<String>,
}

impl Polling {
    async fn open(websocket: &str) -> Result<Self> {
        let base = websocket.replacen("ws", "http", 1);
        let base = base.strip_suffix("/ws").context("no address of a gateway")?;
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).timeout(Duration::from_mins(1)).build()?;
        let session = format!("{base}/sockjs/000/{}", crate::servers::random_name(12));
        let opened = http.post(format!("{session}/xhr")).send().await?.text().await?;
        ensure!(opened == "o\n", "{opened:?} for a new session");
        Ok(Self { http, session, received: Vec::new() })
    }

    async fn send(&self, frame: &str) -> Result<()> {
        let sent = self.http.post(format!("{}/xhr_send", self.session)).body(json!([frame]).to_string()).send().await?;
        ensure!(sent.status() == 204, "{} for a frame", sent.status());
        Ok(())
    }

    /// The first frame with `text` in it; those before it are passed over.
    async fn until(&mut self, text: &str) -> Result<String> {
        let deadline = Instant::now() + WAIT;
        loop {
            if let Some(at) = self.received.iter().position(|frame| frame.contains(text)) {
                return Ok(self.received.drain(..=at).next_back().unwrap_or_default());
            }
            ensure!(Instant::now() < deadline, "{text:?} does not come");
            let polled = self.http.post(format!("{}/xhr", self.session)).send().await?.text().await?;
            match polled.split_at_checked(1) {
                Some(("a", messages)) => self.received.extend(serde_json::from_str::<Vec<String>>(messages.trim())?),
                Some(("h", _)) => {}
                _ => bail!("{polled:?} for a poll"),
            }
        }
    }
}

pub async fn a_polling_session_is_found_by_every_request(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let mut ann = Polling::open(&deployment.gateway_ws_urls()[0]).await?;
    ann.send(&format!("CONNECT\naccept-version:1.2\nhost:chat\npasscode:{}\n\n\0", users[0].token)).await?;
    ann.until("CONNECTED\n").await?;
    ann.send("SUBSCRIBE\nid:0\ndestination:/user/queue/messages\nreceipt:ready\n\n\0").await?;
    ann.until("receipt-id:ready").await?;
    for n in 0..10 {
        let body = json!({"clientMsgId": format!("polled-{n}"), "content": format!("polled {n}")});
        let destination = format!("/app/conversations/{conversation}/messages");
        ann.send(&format!("SEND\ndestination:{destination}\ncontent-type:application/json\n\n{body}\0")).await?;
        let message = ann.until(&format!("polled {n}")).await?;
        let seen: Value = message
            .split_once("\n\n")
            .and_then(|(_, body)| serde_json::from_str(body.trim_end_matches(['\0', '\n'])).ok())
            .context("a message has a body")?;
        ensure!(seen["seq"] == n + 1, "{seen}");
    }
    Ok(())
}
