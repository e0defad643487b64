//! Events through a real gateway: in order, once, to those entitled, whatever gets lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use chatcluster_contracts::{
    event::EventType,
    seq::Seq,
    stream_entry::{Recipients, StreamEntry},
};
use chatcluster_gateway::Options;
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
async fn stay_of_bob_in_silence(platform: &Platform) {
    platform.core.set_silent(true);
    platform.core.join("c1", "bob").await; // 1
    platform.core.post("c1", "ann", "2").await;
    platform.core.leave("c1", "bob").await; // 3
    platform.core.post("c1", "ann", "not for bob").await; // 4
}

#[tokio::test]
async fn a_stay_of_which_redis_lost_every_entry_is_found_with_the_heads() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut bob = platform.client("bob").await;
    stay_of_bob_in_silence(&platform).await;
    platform.streams.flush();
    platform.core.set_silent(false);
    bob.until_seq("c1", 3).await;
    platform.core.join("c1", "bob").await; // 5
    bob.until_seq("c1", 5).await;
    assert_eq!(bob.seqs("c1"), [1, 2, 3, 5]);
}

#[tokio::test]
async fn a_stay_that_was_over_before_anybody_here_followed_the_conversation_comes_before_the_next_one() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut bob = platform.client("bob").await;
    stay_of_bob_in_silence(&platform).await;
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
