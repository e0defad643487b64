//! Many come at once: they wait for each other, and those who are here for nobody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use chatcluster_gateway::Options;
use serde_json::json;
use support::{Platform, client::Client, eventually};

/// Takes the one turn there is to read what was missed, until pages of `busy` are answered.
async fn take_the_turn(platform: &Platform) -> Client {
    platform.core.create("busy", &["cat"]);
    platform.core.post("busy", "cat", "missed").await;
    platform.core.hold_pages(Some("busy"));
    let cat = platform.resuming("cat", json!({"busy": 0})).await;
    eventually("cat reads", async || platform.core.pages_read("busy") == 1).await;
    cat
}

fn one_turn() -> Options {
    Options { attach_concurrency: 1, attach_turn: std::time::Duration::from_hours(1), ..Options::default() }
}

#[tokio::test]
async fn those_who_come_wait_for_each_other_and_those_who_are_here_for_nobody() {
    let platform = Platform::with(one_turn()).await;
    platform.core.create("c1", &["ann", "bob"]);
    let mut ann = platform.client("ann").await;
    let mut cat = take_the_turn(&platform).await;
    let lists = platform.core.lists_read();
    let mut bob = Client::open(&platform.url()).await;
    bob.send(json!({"type": "CONNECT", "token": platform.issuer.token("bob"), "resume": {"c1": 0}})).await;
    // what gets lost is found all the same
    platform.core.set_silent(true);
    platform.core.post("c1", "ann", "1").await;
    platform.core.set_silent(false);
    platform.core.post("c1", "ann", "2").await;
    ann.until_seq("c1", 2).await;
    platform.registered("bob", 1).await;
    assert_eq!(platform.core.lists_read(), lists, "bob waits");
    platform.core.hold_pages(None);
    cat.until_seq("busy", 1).await;
    bob.until_seq("c1", 2).await;
    assert_eq!((ann.seqs("c1"), bob.seqs("c1")), (vec![1, 2], vec![1, 2]));
}

#[tokio::test]
async fn who_waited_for_its_turn_reads_up_to_the_present() {
    let platform = Platform::with(one_turn()).await;
    platform.core.create("c1", &["ann"]);
    let (mut ann, mut bob) = (platform.client("ann").await, platform.client("bob").await);
    let mut cat = take_the_turn(&platform).await;
    // the gateway hears late that bob has joined, so he has something to catch up with
    platform.core.set_silent(true);
    platform.core.join("c1", "bob").await; // 1
    platform.core.post("c1", "ann", "2").await;
    platform.core.set_silent(false);
    platform.core.route_again("c1", 2).await;
    eventually("bob's membership is read", async || platform.core.memberships_read() > 0).await;
    for seq in 3..=5 {
        platform.core.post("c1", "ann", "while he waits").await;
        ann.until_seq("c1", seq).await;
    }
    let pages = platform.core.pages_read("c1");
    platform.core.hold_pages(None);
    bob.until_seq("c1", 5).await;
    cat.until_seq("busy", 1).await;
    assert_eq!(bob.seqs("c1"), [1, 2, 3, 4, 5]);
    assert_eq!(platform.core.pages_read("c1"), pages + 1, "who reads the past only is behind again");
}

#[tokio::test]
async fn those_who_missed_the_same_read_it_once() {
    let platform = Platform::with(one_turn()).await;
    let members: Vec<String> = (0..20).map(|n| format!("user-{n}")).collect();
    platform.core.create("c1", &members.iter().map(String::as_str).collect::<Vec<_>>());
    for n in 1..=3 {
        platform.core.post("c1", "user-0", &n.to_string()).await;
    }
    platform.core.hold_pages(Some("c1"));
    let mut clients = Vec::new();
    for member in &members {
        // the first one has the turn; the others wait for it with their lists read
        let mut client = Client::open(&platform.url()).await;
        let token = platform.issuer.token(member);
        client.send(json!({"type": "CONNECT", "token": token, "resume": {"c1": 1}})).await;
        clients.push(client);
    }
    for client in &members {
        platform.registered(client, 1).await;
    }
    platform.core.hold_pages(None);
    for client in &mut clients {
        client.until_seq("c1", 3).await;
        assert_eq!(client.seqs("c1"), [2, 3]);
    }
    let pages = platform.core.pages_read("c1");
    assert!(pages < 5, "{pages} pages");
}

/// Ten who come while somebody else has the turn, each with a conversation alone with cat; how often lists are read for them.
async fn lists_of_ten(platform: &Platform) -> usize {
    let users: Vec<String> = (0..10).map(|n| format!("user-{n}")).collect();
    for user in &users {
        platform.core.create(&format!("of-{user}"), &[user, "cat"]);
        platform.core.post(&format!("of-{user}"), "cat", "missed").await;
    }
    let mut cat = take_the_turn(platform).await;
    let before = platform.core.lists_read();
    let mut clients = Vec::new();
    for user in &users {
        let mut client = Client::open(&platform.url()).await;
        let resume = json!({format!("of-{user}"): 0});
        client.send(json!({"type": "CONNECT", "token": platform.issuer.token(user), "resume": resume})).await;
        platform.registered(user, 1).await;
        clients.push(client);
    }
    platform.core.hold_pages(None);
    for (user, client) in users.iter().zip(&mut clients) {
        let id = format!("of-{user}");
        client.until_seq(&id, 1).await;
        assert!(client.seen.iter().all(|frame| frame["type"] != "MESSAGE" || frame["conversationId"] == id.as_str()));
    }
    cat.until_seq("busy", 1).await;
    platform.core.lists_read() - before
}

#[tokio::test]
async fn lists_of_those_who_come_together_are_read_together() {
    let platform = Platform::with(one_turn()).await;
    let lists = lists_of_ten(&platform).await;
    assert!(lists < 5, "{lists} questions");
}

#[tokio::test]
async fn an_older_core_is_asked_for_one_list_at_a_time() {
    let platform = Platform::with(one_turn()).await;
    platform.core.list_one_at_a_time();
    let lists = lists_of_ten(&platform).await;
    assert!(lists >= 10, "{lists} questions");
}

#[tokio::test]
async fn who_goes_while_it_reads_for_others_leaves_them_their_lists() {
    let platform = Platform::with(one_turn()).await;
    platform.core.create("c1", &["ann", "bob"]);
    platform.core.post("c1", "ann", "missed").await;
    let mut cat = take_the_turn(&platform).await;
    let before = platform.core.lists_read();
    platform.core.hold_lists(true);
    let mut clients = Vec::new();
    for user in ["ann", "bob"] {
        let mut client = Client::open(&platform.url()).await;
        client.send(json!({"type": "CONNECT", "token": platform.issuer.token(user), "resume": {"c1": 0}})).await;
        platform.registered(user, 1).await;
        clients.push(client);
    }
    platform.core.hold_pages(None);
    cat.until_seq("busy", 1).await;
    eventually("ann reads for both", async || platform.core.lists_read() == before + 1).await;
    drop(clients.remove(0));
    platform.registered("ann", 0).await;
    platform.core.hold_lists(false);
    clients[0].until_seq("c1", 1).await;
    assert_eq!(platform.core.lists_read(), before + 1);
}
