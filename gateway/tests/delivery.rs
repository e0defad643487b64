//! Events through a real gateway: in order, once, to those entitled, whatever gets lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use chatcluster_contracts::{
    event::EventType,
    seq::Seq,
    stream_entry::{Recipients, StreamEntry},
};
use chatcluster_transport::gateway_streams::GatewayStreams;
use serde_json::json;
use support::{Platform, client::Client, eventually};

#[tokio::test]
async fn what_one_sends_both_receive() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann", "bob"]);
    let (mut ann, mut bob) = (platform.client("ann").await, platform.client("bob").await);
    ann.send_message("c1", "m1", "hello").await;
    let ack = ann.until("ACK").await;
    assert_eq!((&ack["clientMsgId"], &ack["seq"]), (&json!("m1"), &json!(1)));
    let message = bob.until("MESSAGE").await;
    assert_eq!((&message["content"], &message["senderId"]), (&json!("hello"), &json!("ann")));
    if ann.seqs("c1").is_empty() {
        ann.until_seq("c1", 1).await;
    }
    // the same again is the same message
    ann.send_message("c1", "m1", "hello").await;
    assert_eq!(ann.until("ACK").await["seq"], 1);
}

#[tokio::test]
async fn sends_of_one_session_keep_their_order() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.client("ann").await;
    for n in 1..=150 {
        ann.send_message("c1", &format!("m{n}"), "x").await;
    }
    ann.until_seq("c1", 150).await;
    assert_eq!(ann.seqs("c1"), (1..=150).collect::<Vec<_>>());
    let order: Vec<_> = ann.seen.iter().filter(|frame| frame["type"] == "MESSAGE").map(|f| &f["clientMsgId"]).collect();
    assert_eq!(order, (1..=150).map(|n| json!(format!("m{n}"))).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    assert!(ann.seen.iter().any(|frame| frame["type"] == "POSITION"), "a position after a hundred events");
}

#[tokio::test]
async fn a_client_that_resumes_gets_what_it_missed_then_live_events() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    for n in 0..500 {
        platform.core.post("c1", "ann", &n.to_string()).await;
    }
    let mut ann = platform.resuming("ann", json!({"c1": 3})).await;
    platform.core.post("c1", "ann", "live").await;
    ann.until_seq("c1", 501).await;
    assert_eq!(ann.seqs("c1"), (4..=501).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_position_resumes_as_well_as_a_map() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.client("ann").await;
    for n in 0..100 {
        platform.core.post("c1", "ann", &n.to_string()).await;
    }
    // the first one comes when the session is up to date, the next one after a hundred events
    ann.until("POSITION").await;
    let position = ann.until("POSITION").await["position"].clone();
    let reached = ann.seqs("c1").last().copied().unwrap();
    drop(ann);
    platform.core.post("c1", "ann", "missed").await;
    let mut again = Client::open(&platform.url()).await;
    again.send(json!({"type": "CONNECT", "token": platform.issuer.token("ann"), "position": position})).await;
    again.until_seq("c1", 101).await;
    let first = again.seqs("c1")[0];
    assert!(first <= reached + 1, "nothing is skipped");
    assert_eq!(again.seqs("c1"), (first..=101).collect::<Vec<_>>());
}

#[tokio::test]
async fn too_much_missed_is_said() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    for n in 0..1200 {
        platform.core.post("c1", "ann", &n.to_string()).await;
    }
    let mut ann = platform.resuming("ann", json!({"c1": 1})).await;
    let resync = ann.until("RESYNC").await;
    assert_eq!((&resync["from"], &resync["head"]), (&json!(2), &json!(1200)));
    platform.core.post("c1", "ann", "live").await;
    ann.until_seq("c1", 1201).await;
    assert_eq!(ann.seqs("c1"), [1201]);
}

#[tokio::test]
async fn pruned_history_is_said() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    for n in 0..20 {
        platform.core.post("c1", "ann", &n.to_string()).await;
    }
    platform.core.prune("c1", 11);
    let mut ann = platform.resuming("ann", json!({"c1": 3})).await;
    let resync = ann.until("RESYNC").await;
    assert_eq!((&resync["from"], &resync["head"]), (&json!(4), &json!(10)));
    ann.until_seq("c1", 20).await;
    assert_eq!(ann.seqs("c1"), (11..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn lost_repeated_and_late_entries_change_nothing() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann", "bob"]);
    let (mut ann, mut bob) = (platform.client("ann").await, platform.client("bob").await);
    platform.core.post("c1", "ann", "1").await;
    platform.core.set_silent(true);
    for n in 2..=6 {
        platform.core.post("c1", "ann", &n.to_string()).await;
    }
    platform.core.route_again("c1", 4).await;
    platform.core.route_again("c1", 1).await;
    platform.core.set_silent(false);
    platform.core.post("c1", "bob", "7").await;
    platform.core.route_again("c1", 3).await;
    for client in [&mut ann, &mut bob] {
        client.until_seq("c1", 7).await;
        assert_eq!(client.seqs("c1"), (1..=7).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_lost_last_event_is_found_by_its_digest() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.client("ann").await;
    platform.core.post("c1", "ann", "1").await;
    ann.until_seq("c1", 1).await;
    platform.core.set_silent(true);
    platform.core.post("c1", "ann", "2").await;
    let heads = vec![("c1".parse().unwrap(), Seq::new(2))];
    platform.core.write("gateway-1", StreamEntry::Digest { heads }).await;
    ann.until_seq("c1", 2).await;
}

#[tokio::test]
async fn a_flushed_registry_is_written_again_and_the_last_event_found() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.client("ann").await;
    platform.core.post("c1", "ann", "1").await;
    ann.until_seq("c1", 1).await;
    platform.core.set_silent(true);
    platform.core.post("c1", "ann", "lost").await;
    platform.streams.flush();
    platform.core.set_silent(false);
    ann.until_seq("c1", 2).await;
    platform.registered("ann", 1).await;
    platform.core.post("c1", "ann", "3").await;
    ann.until_seq("c1", 3).await;
    assert_eq!(ann.seqs("c1"), [1, 2, 3]);
}

#[tokio::test]
async fn members_come_and_go_while_connected() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let (mut ann, mut bob) = (platform.client("ann").await, platform.client("bob").await);
    platform.core.post("c1", "ann", "before").await;
    platform.core.join("c1", "bob").await;
    platform.core.post("c1", "ann", "3").await;
    platform.core.leave("c1", "bob").await;
    platform.core.post("c1", "ann", "5").await;
    platform.core.join("c1", "bob").await;
    platform.core.post("c1", "bob", "7").await;
    ann.until_seq("c1", 7).await;
    bob.until_seq("c1", 7).await;
    assert_eq!(ann.seqs("c1"), (1..=7).collect::<Vec<_>>());
    assert_eq!(bob.seqs("c1"), [2, 3, 4, 6, 7]);
}

#[tokio::test]
async fn a_stay_that_was_over_before_it_was_heard_of_is_told_in_full_and_once() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut bob = platform.client("bob").await;
    platform.core.post("c1", "ann", "before").await;
    platform.core.set_silent(true);
    platform.core.join("c1", "bob").await; // 2
    platform.core.post("c1", "ann", "3").await;
    platform.core.leave("c1", "bob").await; // 4
    platform.core.post("c1", "ann", "not for bob").await; // 5
    platform.core.set_silent(false);
    for seq in [3, 4, 2, 3] {
        platform.core.route_again("c1", seq).await;
    }
    bob.until_seq("c1", 4).await;
    platform.core.join("c1", "bob").await; // 6
    bob.until_seq("c1", 6).await;
    platform.core.leave("c1", "bob").await; // 7
    bob.until_seq("c1", 7).await;

    // who comes back as no member does not hear again what it says it has, whatever is repeated
    let mut again = platform.resuming("bob", json!({"c1": 7})).await;
    for seq in [2, 6, 7] {
        platform.core.route_again("c1", seq).await;
    }
    platform.core.join("c1", "bob").await; // 8
    platform.core.post("c1", "ann", "9").await;
    again.until_seq("c1", 9).await;
    bob.until_seq("c1", 9).await;
    assert_eq!(again.seqs("c1"), [8, 9]);
    assert_eq!(bob.seqs("c1"), [2, 3, 4, 6, 7, 8, 9]);
}

/// bob is a member up to the third event of four, and no gateway hears of it yet.
async fn stay_of_bob_in_silence() -> (Platform, Client) {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let bob = platform.client("bob").await;
    platform.core.set_silent(true);
    platform.core.join("c1", "bob").await; // 1
    platform.core.post("c1", "ann", "2").await;
    platform.core.leave("c1", "bob").await; // 3
    platform.core.post("c1", "ann", "not for bob").await; // 4
    (platform, bob)
}

#[tokio::test]
async fn a_stay_of_which_redis_lost_every_entry_is_found_with_the_heads() {
    let (platform, mut bob) = stay_of_bob_in_silence().await;
    platform.streams.flush();
    platform.core.set_silent(false);
    bob.until_seq("c1", 3).await;
    platform.core.join("c1", "bob").await; // 5
    bob.until_seq("c1", 5).await;
    assert_eq!(bob.seqs("c1"), [1, 2, 3, 5]);
}

#[tokio::test]
async fn a_stay_that_comes_together_with_repeats_of_the_one_before_is_told() {
    let (platform, mut bob) = stay_of_bob_in_silence().await;
    platform.core.route_again("c1", 3).await;
    bob.until_seq("c1", 3).await;
    platform.core.join("c1", "bob").await; // 5
    platform.core.post("c1", "ann", "6").await;
    platform.core.leave("c1", "bob").await; // 7
    // whoever comes now is past all of it
    let _ann = platform.client("ann").await;
    platform.core.route_together("c1", &[3, 5, 7]).await;
    bob.until_seq("c1", 7).await;
    assert_eq!(bob.seqs("c1"), [1, 2, 3, 5, 6, 7]);
}

#[tokio::test]
async fn a_stay_is_found_of_somebody_whose_entry_was_taken_out_of_the_registry() {
    let (platform, mut bob) = stay_of_bob_in_silence().await;
    platform.core.set_silent(false);
    let registry = platform.streams.registry();
    let entries = registry.connections(&["bob".parse().unwrap()]).await.unwrap().remove(0);
    let entries: Vec<_> = registry.lookup(&entries).await.unwrap().into_iter().flatten().collect();
    registry.unregister(&entries).await.unwrap();
    bob.until_seq("c1", 3).await;
    platform.registered("bob", 1).await;
    assert_eq!(bob.seqs("c1"), [1, 2, 3]);
}

#[tokio::test]
async fn a_stay_that_was_over_before_anybody_here_followed_the_conversation_comes_before_the_next_one() {
    let (platform, mut bob) = stay_of_bob_in_silence().await;
    platform.core.set_silent(false);
    // the conversation is followed from here on
    let mut ann = platform.client("ann").await;
    platform.core.post("c1", "ann", "nor this").await; // 5
    ann.until_seq("c1", 5).await;
    platform.core.join("c1", "bob").await; // 6
    bob.until_seq("c1", 6).await;
    for seq in 1..=3 {
        platform.core.route_again("c1", seq).await;
    }
    platform.core.post("c1", "ann", "7").await;
    bob.until_seq("c1", 7).await;
    assert_eq!(bob.seqs("c1"), [1, 2, 3, 6, 7]);
}

#[tokio::test]
async fn who_joins_while_core_answers_gets_nothing_of_what_came_before() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let (mut ann, mut bob) = (platform.client("ann").await, platform.client("bob").await);
    platform.core.post("c1", "ann", "1").await;
    platform.core.post("c1", "ann", "2").await;
    ann.until_seq("c1", 2).await;
    // core reads the head, and then who is a member: in between bob becomes one
    platform.core.read_head_early("c1");
    platform.core.set_silent(true);
    platform.core.post("c1", "ann", "not for bob").await;
    platform.core.join("c1", "bob").await; // 4
    platform.core.set_silent(false);
    // a worker that is mistaken makes the gateway ask
    let event = StreamEntry::Event {
        conversation_id: "c1".parse().unwrap(),
        seq: Seq::new(2),
        event_type: EventType::Message,
        subject: None,
        recipients: Recipients::new([&"bob".parse().unwrap()]),
        payload: bytes::Bytes::from_static(b"{}"),
        traceparent: None,
        broadcast: false,
    };
    platform.core.write("gateway-1", event).await;
    eventually("bob's membership is read", async || platform.core.memberships_read() > 0).await;
    platform.core.post("c1", "ann", "5").await;
    ann.until_seq("c1", 5).await;
    bob.until_seq("c1", 5).await;
    assert_eq!((ann.seqs("c1"), bob.seqs("c1")), (vec![1, 2, 3, 4, 5], vec![4, 5]));
}

#[tokio::test]
async fn the_first_event_of_a_new_conversation_arrives() {
    let platform = Platform::start().await;
    let mut ann = platform.client("ann").await;
    platform.core.create("new", &["ann"]);
    platform.core.post("new", "ann", "1").await;
    platform.core.post("new", "ann", "2").await;
    ann.until_seq("new", 2).await;
    assert_eq!(ann.seqs("new"), [1, 2]);
}

#[tokio::test]
async fn typing_and_receipts_go_out_and_ephemera_come_in() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    platform.core.post("c1", "ann", "1").await;
    let mut ann = platform.client("ann").await;
    eventually("typing is on the log", async || {
        // before the session is live in the conversation typing is passed over
        ann.send(json!({"type": "TYPING", "conversationId": "c1", "isTyping": true})).await;
        !platform.log.typing().is_empty()
    })
    .await;
    assert_eq!(platform.log.typing()[0].user_id.as_str(), "ann");
    ann.send(json!({"type": "TYPING", "conversationId": "other", "isTyping": true})).await;
    assert_eq!(ann.until("ERROR").await["code"], "not_a_member");
    ann.send(json!({"type": "RECEIPT", "conversationId": "c1", "deliveredSeq": 1})).await;
    eventually("the receipt is with core", async || {
        platform.core.receipts().iter().any(|r| r.delivered_seq == Some(1))
    })
    .await;
    ann.send(json!({"type": "RECEIPT", "conversationId": "nowhere", "readSeq": 1})).await;
    assert_eq!(ann.until("ERROR").await["code"], "unknown_conversation");
    let ann_alone = chatcluster_contracts::stream_entry::Recipients::new([&"ann".parse().unwrap()]);
    let payload = bytes::Bytes::from_static(br#"{"type":"STATUS"}"#);
    platform.core.write("gateway-1", StreamEntry::Direct { recipients: ann_alone, payload }).await;
    ann.until("STATUS").await;
    ann.send(json!({"type": "PING"})).await;
    ann.until("PONG").await;
}

#[tokio::test]
async fn sends_survive_a_core_that_goes_and_comes_back() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.client("ann").await;
    ann.send_message("c1", "m1", "1").await;
    ann.until("ACK").await;
    platform.core.set_away(true);
    for n in 2..=20 {
        ann.send_message("c1", &format!("m{n}"), "x").await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    platform.core.set_away(false);
    ann.until_seq("c1", 20).await;
    assert_eq!(ann.seqs("c1"), (1..=20).collect::<Vec<_>>());
    while ann.seen.iter().filter(|frame| frame["type"] == "ACK").count() < 20 {
        ann.until("ACK").await;
    }
}

#[tokio::test]
async fn whatever_happens_while_a_session_attaches_reaches_it_once() {
    let platform = Platform::start().await;
    platform.core.create("old", &["ann", "bob"]);
    platform.core.create("left", &["ann", "bob"]);
    platform.core.post("old", "bob", "before").await;
    // bob is live, so that there are cursors already; ann has read her list and waits for its answer
    let mut bob = platform.client("bob").await;
    platform.core.hold_lists(true);
    let read = platform.core.lists_read();
    let mut ann = Client::open(&platform.url()).await;
    ann.send(json!({"type": "CONNECT", "token": platform.issuer.token("ann")})).await;
    eventually("ann's list is read", async || platform.core.lists_read() > read).await;
    platform.core.post("old", "bob", "2").await;
    platform.core.post("left", "bob", "1").await;
    platform.core.leave("left", "ann").await;
    platform.core.post("left", "bob", "not for ann").await;
    platform.core.create("made", &["bob"]);
    platform.core.join("made", "ann").await;
    platform.core.post("made", "bob", "2").await;
    bob.until_seq("made", 2).await;
    platform.core.hold_lists(false);
    ann.until_seq("made", 2).await;
    platform.core.post("old", "bob", "3").await;
    ann.until_seq("old", 3).await;
    platform.core.post("made", "bob", "last").await;
    ann.until_seq("made", 3).await;
    assert_eq!(ann.seen[0]["type"], "CONNECTED", "before everything else");
    assert_eq!((ann.seqs("old"), ann.seqs("left"), ann.seqs("made")), (vec![2, 3], vec![1, 2], vec![1, 2, 3]));
}
