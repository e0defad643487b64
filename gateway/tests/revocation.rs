//! A login that ends takes its sessions along, whether or not the gateway was told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use std::time::{Duration, Instant};

use chatcluster_contracts::revocation::Revocation;
use chatcluster_transport::gateway_streams::GatewayStreams;
use serde_json::json;
use support::{Platform, client::Client, eventually};

const PHONE: &str = "9b2e7c1c-5a30-4f0f-8a3c-0d8f3f1f4b6e";
const LAPTOP: &str = "0d8f3f1f-4b6e-4f0f-8a3c-9b2e7c1c5a30";

async fn connect(platform: &Platform, login: &str) -> Client {
    let mut client = Client::open(&platform.url()).await;
    let token = platform.issuer.token_with("ann", &json!({"sid": login}));
    client.send(json!({"type": "CONNECT", "token": token})).await;
    client
}

/// Says on the channel what core says there.
async fn tell(platform: &Platform, login: &str) {
    let revocation = Revocation { login: login.parse().unwrap(), until: jiff::Timestamp::now().as_second() + 60 };
    let channel = platform.streams.keys().auth_revoked();
    platform.streams.signals().publish(&channel, revocation.to_json().into()).await.unwrap();
}

#[tokio::test]
async fn an_ended_login_closes_its_sessions_at_once_and_opens_no_more() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let (mut phone, mut laptop) = (connect(&platform, PHONE).await, connect(&platform, LAPTOP).await);
    phone.until("CONNECTED").await;
    laptop.until("CONNECTED").await;
    let told = Instant::now();
    tell(&platform, PHONE).await;
    assert_eq!(phone.until_closed().await, Some(4411));
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
    platform.core.post("c1", "ann", "after the end").await;
    laptop.until_seq("c1", 1).await;
    assert!(phone.seqs("c1").is_empty(), "nothing came after the end: {:?}", phone.seen);

    let mut again = connect(&platform, PHONE).await;
    assert_eq!(again.until("ERROR").await["code"], "token_revoked");
    assert_eq!(again.until_closed().await, Some(4411));
    let token = platform.issuer.token_with("ann", &json!({"sid": PHONE}));
    let http = reqwest::Client::new();
    let answer = http.get(format!("http://{}/events", platform.address)).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    platform.registered("ann", 1).await;
}

#[tokio::test]
async fn an_end_that_was_not_told_is_found() {
    let platform = Platform::start().await;
    let mut phone = connect(&platform, PHONE).await;
    phone.until("CONNECTED").await;
    platform.core.set_away(true);
    platform.core.revoke(PHONE);
    platform.core.set_away(false);
    let started = Instant::now();
    assert_eq!(phone.until_closed().await, Some(4411));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    eventually("the registry forgets it", async || platform.core.connections() == 0).await;
}
