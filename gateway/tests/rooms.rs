//! Rooms through a real gateway: who may listen, what they hear, in which order, and what a lost message leads to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]
#![allow(clippy::float_cmp, reason = "figures that count are whole")]

mod support;

use chatcluster_gateway::Options;
use serde_json::{Value, json};
use support::{Platform, client::Client, eventually, stomp::Stomp};

/// Joins and reads up to JOINED.
async fn join(client: &mut Client, frame: Value) -> Value {
    let mut join = json!({"type": "JOIN"});
    join.as_object_mut().unwrap().extend(frame.as_object().unwrap().clone());
    client.send(join).await;
    client.until("JOINED").await
}

async fn refused(client: &mut Client, room: &str) -> Value {
    client.send(json!({"type": "JOIN", "roomId": room})).await;
    let error = client.until("ERROR").await;
    assert_eq!(error["roomId"], room);
    error["code"].clone()
}

fn records(client: &Client) -> Vec<String> {
    let ours = client.seen.iter().filter(|frame| frame["type"] == "message");
    ours.map(|frame| frame["id"].as_str().unwrap_or("none").to_owned()).collect()
}

/// Until this many sessions hear the rooms' records.
async fn listening(platform: &Platform, count: u32) {
    eventually("listening", async || platform.metric("room_listeners").await == f64::from(count)).await;
}

#[tokio::test]
async fn a_guest_hears_an_open_room_from_the_join_to_the_leave() {
    let platform = Platform::start().await;
    platform.core.create_room("r1", &["ann"], true);
    platform.core.post("r1", "ann", "before").await;
    let mut guest = platform.client("guest").await;
    assert_eq!(join(&mut guest, json!({"roomId": "r1"})).await["seq"], 1);
    listening(&platform, 1).await;
    let data = r#"{"roomId":"r1", "any":[1, {"b":null}]}"#;
    platform.core.record("r1", 5, data).await;
    let record = guest.until("message").await;
    assert_eq!((&record["id"], &record["roomId"]), (&json!("3-5"), &json!("r1")));
    assert_eq!(record["data"], serde_json::from_str::<Value>(data).unwrap());
    for n in 2..=4 {
        platform.core.post("r1", "ann", &n.to_string()).await;
    }
    guest.until_seq("r1", 4).await;
    assert_eq!(guest.seqs("r1"), [2, 3, 4]);
    assert_eq!(refused(&mut guest, "r1").await, "conflict");
    // listening is not speaking
    guest.send_message("r1", "m1", "x").await;
    assert_eq!(guest.until("ERROR").await["code"], "not_a_member");
    assert_eq!(platform.metric("rooms ").await, 1.0);
    guest.send(json!({"type": "LEAVE", "roomId": "r1"})).await;
    guest.until("LEFT").await;
    eventually("given up", async || platform.metric("rooms ").await == 0.0).await;
    platform.core.post("r1", "ann", "after").await;
    platform.core.record("r1", 6, "{}").await;
    guest.send(json!({"type": "LEAVE", "roomId": "r1"})).await;
    assert_eq!(guest.until("ERROR").await["code"], "not_found");
    assert_eq!((guest.seqs("r1"), records(&guest)), (vec![2, 3, 4], vec!["3-5".to_owned()]));
}

#[tokio::test]
async fn what_was_on_its_way_for_a_visit_that_is_over_is_not_told_any_more() {
    let platform = Platform::start().await;
    platform.core.create_room("r1", &["ann"], true);
    for n in 1..=3 {
        platform.core.post("r1", "ann", &n.to_string()).await;
    }
    let mut guest = platform.client("guest").await;
    platform.core.hold_pages(Some("r1"));
    join(&mut guest, json!({"roomId": "r1", "after": 0})).await;
    eventually("the past is asked for", async || platform.core.pages_read("r1") == 1).await;
    guest.send(json!({"type": "LEAVE", "roomId": "r1"})).await;
    guest.until("LEFT").await;
    // it is back, and asks for nothing of the past
    assert_eq!(join(&mut guest, json!({"roomId": "r1"})).await["seq"], 3);
    platform.core.hold_pages(None);
    // who comes later has the past, and so has whatever was asked for before
    let mut other = platform.client("other").await;
    join(&mut other, json!({"roomId": "r1", "after": 0})).await;
    other.until_seq("r1", 3).await;
    platform.core.post("r1", "ann", "4").await;
    guest.until_seq("r1", 4).await;
    assert_eq!(guest.seqs("r1"), [4]);
}

#[tokio::test]
async fn who_may_not_listen_is_refused() {
    let options = Options { open_rooms: vec!["lobby".into(), "game-*".into()], ..Options::default() };
    let platform = Platform::with(options).await;
    platform.core.create("closed", &["ann"]);
    platform.core.create("game-closed", &["ann"]);
    platform.core.create_room("elsewhere", &["ann"], true);
    platform.core.move_to_workspace("elsewhere", "other");
    let mut eve = platform.client("eve").await;
    for (room, code) in [
        ("closed", "forbidden"),
        ("game-closed", "forbidden"),
        ("elsewhere", "unknown_conversation"),
        ("nowhere", "unknown_conversation"),
        ("lobby2", "unknown_conversation"),
    ] {
        assert_eq!(refused(&mut eve, room).await, code, "{room}");
    }
    for room in ["lobby", "game-7"] {
        assert_eq!(join(&mut eve, json!({"roomId": room})).await["seq"], 0);
    }
    listening(&platform, 2).await;
    platform.core.record("game-7", 1, "{}").await;
    assert_eq!(eve.until("message").await["roomId"], "game-7");
    eve.send(json!({"type": "JOIN", "roomId": "lobby", "history": 5000})).await;
    assert_eq!(eve.until("ERROR").await["code"], "invalid_field");
    platform.core.set_away(true);
    assert_eq!(refused(&mut eve, "closed").await, "unavailable");
    let mut early = Client::open(&platform.url()).await;
    early.send(json!({"type": "JOIN", "roomId": "lobby"})).await;
    assert_eq!(early.until("ERROR").await["code"], "not_connected");
}

#[tokio::test]
async fn a_member_of_a_closed_room_hears_records_until_its_membership_ends() {
    let platform = Platform::start().await;
    platform.core.create("g1", &["ann", "bob"]);
    platform.core.post("g1", "ann", "1").await;
    let (mut ann, mut bob) = (platform.client("ann").await, platform.client("bob").await);
    assert_eq!(join(&mut bob, json!({"roomId": "g1"})).await["seq"], 1);
    join(&mut ann, json!({"roomId": "g1"})).await;
    listening(&platform, 2).await;
    platform.core.record("g1", 1, "{}").await;
    bob.until("message").await;
    platform.core.post("g1", "ann", "2").await;
    platform.core.leave("g1", "bob").await;
    bob.until("LEFT").await;
    listening(&platform, 1).await;
    platform.core.record("g1", 2, "{}").await;
    platform.core.post("g1", "ann", "4").await;
    ann.until_seq("g1", 4).await;
    while records(&ann).len() < 2 {
        ann.next().await.unwrap();
    }
    assert_eq!(refused(&mut bob, "g1").await, "forbidden");
    assert_eq!((bob.seqs("g1"), records(&bob)), (vec![2, 3], vec!["3-1".to_owned()]));
    assert_eq!(ann.seqs("g1"), [2, 3, 4], "each once, member and visitor in one");
}

#[tokio::test]
async fn a_guest_that_becomes_a_member_and_leaves_again_misses_and_repeats_nothing() {
    let platform = Platform::start().await;
    platform.core.create_room("r1", &["ann"], true);
    platform.core.post("r1", "ann", "1").await;
    let mut bob = platform.client("bob").await;
    join(&mut bob, json!({"roomId": "r1"})).await;
    listening(&platform, 1).await;
    platform.core.post("r1", "ann", "2").await;
    for _ in 0..3 {
        platform.core.join("r1", "bob").await;
        platform.core.post("r1", "bob", "as a member").await;
        platform.core.leave("r1", "bob").await;
        platform.core.post("r1", "ann", "as a guest").await;
    }
    let member_since = platform.core.join("r1", "bob").await;
    bob.until_seq("r1", member_since).await;
    bob.send(json!({"type": "LEAVE", "roomId": "r1"})).await;
    bob.until("LEFT").await;
    let last = platform.core.post("r1", "ann", "still a member").await;
    bob.until_seq("r1", last).await;
    assert_eq!(bob.seqs("r1"), (2..=last).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_past_comes_first_to_those_who_ask() {
    let platform = Platform::start().await;
    platform.core.create_room("r1", &["ann"], true);
    for n in 1..=5 {
        platform.core.post("r1", "ann", &n.to_string()).await;
        platform.core.record("r1", n, "{}").await;
    }
    let mut guest = platform.client("guest").await;
    assert_eq!(join(&mut guest, json!({"roomId": "r1", "after": 2, "history": 2})).await["seq"], 2);
    guest.until_seq("r1", 5).await;
    assert_eq!((guest.seqs("r1"), records(&guest)), (vec![3, 4, 5], vec!["3-4".into(), "3-5".to_owned()]));
    let mut back = platform.client("guest").await;
    join(&mut back, json!({"roomId": "r1", "since": "3-3"})).await;
    platform.core.record("r1", 6, "{}").await;
    while records(&back).len() < 3 {
        back.next().await.unwrap();
    }
    assert_eq!(records(&back), ["3-4", "3-5", "3-6"]);
    let mut long_gone = platform.client("guest").await;
    join(&mut long_gone, json!({"roomId": "r1", "since": "9-9"})).await;
    assert_eq!(long_gone.until("GAP").await["since"], "9-9");
    while records(&long_gone).len() < 6 {
        long_gone.next().await.unwrap();
    }
}

#[tokio::test]
async fn a_closed_room_shows_nothing_from_before_the_membership() {
    let platform = Platform::start().await;
    platform.core.create_room("g1", &["ann"], false);
    for n in 1..=3 {
        platform.core.post("g1", "ann", &n.to_string()).await;
    }
    platform.core.join("g1", "bob").await;
    platform.core.post("g1", "ann", "5").await;
    let mut bob = platform.stomp("bob").await;
    let headers = [("id", "r"), ("destination", "/topic/rooms.g1"), ("after", "1")];
    bob.done("SUBSCRIBE", &headers, "").await;
    platform.core.post("g1", "ann", "6").await;
    bob.until_seq("g1", 6).await;
    assert_eq!(bob.seqs("r", "g1"), [4, 5, 6]);
}

#[tokio::test]
async fn stomp_hears_a_room_on_its_topic() {
    let platform = Platform::start().await;
    platform.core.create_room("r1", &["ann"], true);
    platform.core.create("g1", &["guest", "ann"]);
    let mut guest = platform.stomp("guest").await;
    guest.subscribe("all", "/user/queue/messages").await;
    guest.subscribe("room", "/topic/rooms.r1").await;
    platform.core.post("r1", "ann", "1").await;
    platform.core.record("r1", 7, r#"{"roomId":"r1"}"#).await;
    let message = guest.until_seq("r1", 1).await;
    assert_eq!((message.header("subscription"), message.header("destination")), ("room", "/topic/rooms.r1"));
    let record = guest.until("MESSAGE").await;
    assert_eq!((record.header("subscription"), record.header("room-id")), ("room", "r1"));
    let same = json!({"type": "message", "roomId": "r1", "id": "3-7", "data": {"roomId": "r1"}});
    assert_eq!(record.json(), same);
    platform.core.post("g1", "ann", "for members").await;
    guest.until_seq("g1", 1).await;
    assert_eq!((guest.seqs("all", "r1"), guest.seqs("all", "g1"), guest.seqs("room", "g1")), (vec![], vec![1], vec![]));
    guest.done("UNSUBSCRIBE", &[("id", "room")], "").await;
    eventually("given up", async || platform.metric("rooms ").await == 0.0).await;
    platform.core.post("r1", "ann", "2").await;
    platform.core.post("g1", "ann", "again").await;
    guest.until_seq("g1", 2).await;
    assert_eq!(guest.seqs("room", "r1"), [1]);
    for (room, code) in [("g2", "unknown_conversation"), ("closed", "forbidden")] {
        platform.core.create("closed", &["ann"]);
        let mut stranger = platform.stomp("eve").await;
        stranger.send("SUBSCRIBE", &[("id", "r"), ("destination", &format!("/topic/rooms.{room}"))], "").await;
        assert_eq!(stranger.until_closed().await.unwrap().header("code"), code);
    }
}

#[tokio::test]
async fn members_hear_a_broadcast_conversation_and_lost_messages_are_found() {
    let platform = Platform::start().await;
    platform.core.create_room("big", &["ann", "bob"], false);
    let mut bob = platform.client("bob").await;
    let mut stomp: Stomp = platform.stomp("bob").await;
    stomp.subscribe("s", "/user/queue/messages").await;
    eventually("listening", async || platform.metric("rooms ").await == 1.0).await;
    platform.core.post("big", "ann", "1").await;
    bob.until_seq("big", 1).await;
    // what is published is lost, and the next one tells
    platform.core.set_silent(true);
    for n in 2..=4 {
        platform.core.post("big", "ann", &n.to_string()).await;
    }
    platform.core.set_silent(false);
    platform.core.post("big", "ann", "5").await;
    bob.until_seq("big", 5).await;
    // repeats and latecomers change nothing, and a digest tells of a lost last one
    platform.core.publish_again("big", 3).await;
    platform.core.publish_again("big", 5).await;
    platform.core.set_silent(true);
    platform.core.post("big", "ann", "6").await;
    platform.core.digest("big", 6).await;
    bob.until_seq("big", 6).await;
    stomp.until_seq("big", 6).await;
    assert_eq!(bob.seqs("big"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(stomp.seqs("s", "big"), [1, 2, 3, 4, 5, 6]);
    drop((bob, stomp));
    eventually("given up", async || platform.metric("rooms ").await == 0.0).await;
}

#[tokio::test]
async fn what_a_lost_connection_lost_is_found_though_nothing_comes_behind_it() {
    use chatcluster_transport::gateway_streams::GatewayStreams;
    let platform = Platform::start().await;
    platform.core.create_room("big", &["ann"], true);
    let mut guest = platform.client("guest").await;
    join(&mut guest, json!({"roomId": "big"})).await;
    listening(&platform, 1).await;
    platform.core.record("big", 1, "{}").await;
    guest.until("message").await;
    // one of each is published to nobody: so much comes with it that the gateway cannot hear it all, and is told so
    let signals = platform.streams.signals();
    platform.core.set_silent(true);
    platform.core.post("big", "ann", "1").await;
    platform.core.record("big", 2, "{}").await;
    for _ in 0..2_000 {
        signals.publish("nobody", "x".into()).await.unwrap();
    }
    guest.until_seq("big", 1).await;
    while records(&guest).len() < 2 {
        guest.next().await.unwrap();
    }
    assert_eq!((guest.seqs("big"), records(&guest)), (vec![1], vec!["3-1".to_owned(), "3-2".into()]));
    assert!(platform.metric("room_gaps").await >= 1.0);
}

#[tokio::test]
async fn a_conversation_that_turns_to_broadcast_is_listened_to_by_the_event_that_says_so() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann", "bob"]);
    let mut bob = platform.client("bob").await;
    platform.registered("bob", 1).await;
    platform.core.post("c1", "ann", "1").await;
    bob.until_seq("c1", 1).await;
    assert_eq!(platform.metric("rooms ").await, 0.0);
    platform.core.turn_to_broadcast("c1");
    platform.core.join("c1", "cem").await;
    // published right behind it, when nobody may be listening yet
    for n in 3..=5 {
        platform.core.post("c1", "ann", &n.to_string()).await;
    }
    bob.until_seq("c1", 5).await;
    assert_eq!(bob.seqs("c1"), [1, 2, 3, 4, 5]);
    assert_eq!(platform.metric("rooms ").await, 1.0);
}

#[tokio::test]
async fn what_is_published_by_hand_reaches_those_who_are_there() {
    use chatcluster_transport::gateway_streams::GatewayStreams;
    let platform = Platform::start().await;
    platform.core.create_room("123", &["ann"], true);
    let mut guest = platform.client("guest").await;
    join(&mut guest, json!({"roomId": "123"})).await;
    listening(&platform, 1).await;
    for payload in ["not json", "{broken", r#"{"roomId":"123","text":"hello"}"#] {
        platform.streams.signals().publish("room:123", payload.into()).await.unwrap();
    }
    let message = guest.until("message").await;
    assert_eq!(message, json!({"type": "message", "roomId": "123", "data": {"roomId": "123", "text": "hello"}}));
    assert_eq!(records(&guest), ["none"]);
    eventually("counted", async || platform.metric("room_undecodable").await == 1.0).await;
}
