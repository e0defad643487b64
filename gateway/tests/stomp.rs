//! STOMP through a real gateway, as a stranger's client sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use std::time::Duration;

use chatcluster_contracts::stream_entry::{Recipients, StreamEntry};
use chatcluster_gateway::Options;
use serde_json::json;
use support::{
    Platform, eventually,
    stomp::{Frame, Stomp, frame},
};

const QUEUE: &str = "/user/queue/messages";

fn messages(conversation: &str) -> String {
    format!("/app/conversations/{conversation}/messages")
}

fn topic(conversation: &str) -> String {
    format!("/topic/conversations.{conversation}")
}

#[tokio::test]
async fn what_one_sends_the_others_receive() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann", "bob"]);
    let (mut ann, mut bob) = (platform.stomp("ann").await, platform.stomp("bob").await);
    let connected = &ann.seen[0];
    assert_eq!((connected.header("version"), connected.header("user-name")), ("1.2", "ann"));
    assert!(connected.header("server").starts_with("ChatCluster/") && connected.get("session").is_some());
    ann.subscribe("sub-0", QUEUE).await;
    bob.subscribe("sub-7", &topic("c1")).await;

    let body = json!({"content": "hello", "clientMsgId": "m1"}).to_string();
    let receipt = ann.done("SEND", &[("destination", &messages("c1"))], &body).await;
    assert_eq!((receipt.header("seq"), receipt.header("conversation-id")), ("1", "c1"));
    let message = bob.until("MESSAGE").await;
    assert_eq!(message.header("subscription"), "sub-7");
    assert_eq!(message.header("destination"), topic("c1"));
    assert_eq!(message.header("message-id"), "c1/1");
    assert_eq!((message.header("type"), message.header("position")), ("MESSAGE", "1;c1=1"));
    assert_eq!(message.header("content-type"), "application/json");
    assert_eq!((&message.json()["content"], &message.json()["senderId"]), (&json!("hello"), &json!("ann")));
    if ann.seqs("sub-0", "c1").is_empty() {
        ann.until_seq("c1", 1).await;
    }

    // text is the content itself, and the same send again is the same message
    let headers = [("destination", messages("c1")), ("client-msg-id", "m2".into())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    bob.done("SEND", &headers, "plain text").await;
    assert_eq!(bob.done("SEND", &headers, "plain text").await.header("seq"), "2");
    assert_eq!(ann.until_seq("c1", 2).await.json()["content"], "plain text");
}

#[tokio::test]
async fn the_preferred_version_offered_is_spoken() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    for (offered, expected) in [
        (&["v10.stomp", "v11.stomp", "v12.stomp"][..], "v12.stomp"),
        (&["v10.stomp", "v11.stomp"], "v11.stomp"),
        (&["other", "v10.stomp"], "v10.stomp"),
    ] {
        let (mut ann, chosen) = Stomp::open_as(&platform.url(), offered).await;
        assert_eq!(chosen.as_deref(), Some(expected));
        let token = platform.issuer.token("ann");
        // the token may also stand where HTTP has it, and 1.0 names nothing
        let headers = [("Authorization", format!("Bearer {token}"))];
        ann.send("CONNECT", &[(headers[0].0, &headers[0].1)], "").await;
        assert_eq!(ann.until("CONNECTED").await.header("version"), "1.0");
        ann.done("SUBSCRIBE", &[("destination", QUEUE)], "").await;
    }
}

#[tokio::test]
async fn a_position_resumes_over_all_conversations() {
    let platform = Platform::start().await;
    for conversation in ["c1", "c2"] {
        platform.core.create(conversation, &["ann"]);
    }
    let mut ann = platform.stomp("ann").await;
    ann.subscribe("s", QUEUE).await;
    for n in 1..=5 {
        platform.core.post("c1", "ann", &n.to_string()).await;
        platform.core.post("c2", "ann", &n.to_string()).await;
    }
    ann.until_seq("c2", 3).await;
    let (position, got) = (ann.position(), [ann.seqs("s", "c1").len(), ann.seqs("s", "c2").len()]);
    drop(ann);
    for n in 6..=250 {
        platform.core.post("c1", "ann", &n.to_string()).await;
    }
    let mut again = platform.stomp_from("ann", &position).await;
    again.subscribe("s", QUEUE).await;
    platform.core.post("c2", "ann", "live").await;
    while again.seqs("s", "c2").last() != Some(&6) || again.seqs("s", "c1").last() != Some(&250) {
        again.next().await.unwrap();
    }
    assert_eq!(again.seqs("s", "c1"), (got[0] as u64 + 1..=250).collect::<Vec<_>>());
    assert_eq!(again.seqs("s", "c2"), (got[1] as u64 + 1..=6).collect::<Vec<_>>());

    // positions of several messages may be handed back together
    let mut third = platform.stomp_from("ann", "1;c1=100;c2=5,1;c1=249;c2=1").await;
    third.subscribe("s", QUEUE).await;
    assert_eq!((third.seqs("s", "c1"), third.seqs("s", "c2")), (vec![250], vec![6]));
    assert_eq!(third.position(), "1;c1=250;c2=6");
}

#[tokio::test]
async fn a_topic_brings_its_conversation_alone() {
    let platform = Platform::start().await;
    for conversation in ["c1", "c2"] {
        platform.core.create(conversation, &["ann"]);
        platform.core.post(conversation, "ann", "1").await;
    }
    let mut ann = platform.stomp_from("ann", "1;c1=0;c2=0").await;
    ann.subscribe("one", &topic("c1")).await;
    platform.core.post("c2", "ann", "2").await;
    platform.core.post("c1", "ann", "2").await;
    ann.until_seq("c1", 2).await;
    assert_eq!((ann.seqs("one", "c1"), ann.seqs("one", "c2")), (vec![1, 2], vec![]));
    // what the client resumed with and has not subscribed to yet is not lost
    assert_eq!(ann.position(), "1;c1=2;c2=0");
    ann.subscribe("all", QUEUE).await;
    assert_eq!((ann.seqs("all", "c1"), ann.seqs("all", "c2")), (vec![], vec![1, 2]));
    platform.core.post("c1", "ann", "3").await;
    platform.core.post("c2", "ann", "3").await;
    while ann.seqs("all", "c1").is_empty() || ann.seqs("all", "c2").len() < 3 {
        ann.next().await.unwrap();
    }
    assert_eq!((ann.seqs("one", "c1"), ann.seqs("all", "c1")), (vec![1, 2, 3], vec![3]), "each subscription its own");
}

#[tokio::test]
async fn after_an_unsubscribe_nothing_comes_and_nothing_is_lost() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.stomp("ann").await;
    ann.subscribe("a", &topic("c1")).await;
    platform.core.post("c1", "ann", "1").await;
    ann.until_seq("c1", 1).await;
    ann.done("UNSUBSCRIBE", &[("id", "a")], "").await;
    for n in 2..=4 {
        platform.core.post("c1", "ann", &n.to_string()).await;
    }
    // an unknown one is as good as ended
    ann.done("UNSUBSCRIBE", &[("id", "a")], "").await;
    ann.for_a_while(Duration::from_millis(200)).await;
    assert_eq!(ann.seqs("a", "c1"), [1]);
    ann.subscribe("b", QUEUE).await;
    platform.core.post("c1", "ann", "5").await;
    ann.until_seq("c1", 5).await;
    assert_eq!((ann.seqs("a", "c1"), ann.seqs("b", "c1")), (vec![1], vec![2, 3, 4, 5]));
}

#[tokio::test]
async fn many_subscriptions_at_once_are_all_live_with_their_receipts() {
    let platform = Platform::start().await;
    let conversations: Vec<String> = (0..40).map(|n| format!("c{n}")).collect();
    for conversation in &conversations {
        platform.core.create(conversation, &["ann"]);
        platform.core.post(conversation, "ann", "before").await;
    }
    let mut ann = platform.stomp_from("ann", "1;c0=0").await;
    let lists = platform.core.lists_read();
    let frames: String = conversations
        .iter()
        .map(|c| frame("SUBSCRIBE", &[("id", c), ("destination", &topic(c)), ("receipt", c)], ""))
        .collect();
    // all in one message
    ann.send_bytes(frames.as_bytes()).await;
    for conversation in &conversations {
        if !ann.seen.iter().any(|frame| frame.get("receipt-id") == Some(conversation)) {
            ann.receipt(conversation).await;
        }
        platform.core.post(conversation, "ann", "after").await;
    }
    while ann.seqs("c39", "c39").is_empty() {
        ann.next().await.unwrap();
    }
    assert_eq!(ann.seqs("c0", "c0"), [1, 2]);
    assert_eq!(ann.seqs("c7", "c7"), [2]);
    assert!(platform.core.lists_read() - lists <= 2, "one reading does for those that came together");
}

#[tokio::test]
async fn what_is_not_the_users_ends_the_session() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["bob"]);
    for (destination, code) in [
        (topic("c1"), "not_a_member"),
        (topic("nowhere"), "not_a_member"),
        ("/user/bob/queue/messages".into(), "forbidden"),
        ("/queue/x".into(), "not_found"),
        ("/topic/rooms.r1".into(), "unknown_conversation"),
    ] {
        let mut ann = platform.stomp("ann").await;
        ann.send("SUBSCRIBE", &[("id", "s"), ("destination", &destination), ("receipt", "r")], "").await;
        let error = ann.until_closed().await.unwrap();
        assert_eq!((error.header("code"), error.header("receipt-id")), (code, "r"), "{destination}");
        assert_eq!(ann.closed, Some(1002));
    }
    for (destination, code) in [
        (messages("c1"), "not_a_member"),
        (messages("nowhere"), "unknown_conversation"),
        ("/app/elsewhere".into(), "not_found"),
        ("/topic/conversations.c1".into(), "not_found"),
    ] {
        let mut ann = platform.stomp("ann").await;
        ann.subscribe("e", "/user/queue/errors").await;
        ann.send("SEND", &[("destination", &destination), ("receipt", "r")], "x").await;
        let error = ann.until_closed().await.unwrap();
        assert_eq!((error.header("code"), error.header("receipt-id")), (code, "r"), "{destination}");
    }
    // the own queues by the own name
    platform.stomp("ann").await.subscribe("s", "/user/ann/queue/messages").await;
}

#[tokio::test]
async fn a_bad_frame_ends_the_session_with_an_error() {
    let platform = Platform::with(Options { max_frame: 4096, ..Options::default() }).await;
    platform.core.create("c1", &["ann"]);
    let long = "x".repeat(5000);
    let split = frame("SEND", &[("destination", &messages("c1"))], &long);
    let (first, second) = split.split_at(3000);
    for (pieces, code, close) in [
        (&["NONSENSE\n\n\0"][..], "bad_request", 1002),
        (&["SEND\n\n\0"], "missing_field", 1002),
        (&["SUBSCRIBE\nid:1\ndestination:/user/queue/messages\nack:maybe\n\n\0"], "invalid_field", 1002),
        (&["SEND\ndestination:a\\tb\n\n\0"], "bad_request", 1002),
        (&["CONNECT\naccept-version:1.2\nhost:x\n\n\0"], "already_connected", 1002),
        (&["COMMIT\ntransaction:t\n\n\0"], "not_found", 1002),
        (&["ACK\nid:1\ntransaction:t\n\n\0"], "not_found", 1002),
        (&[first, second], "payload_too_large", 1009),
    ] {
        let mut ann = platform.stomp("ann").await;
        for piece in pieces {
            ann.send_bytes(piece.as_bytes()).await;
        }
        let error = ann.until_closed().await.unwrap();
        assert_eq!(error.header("code"), code, "{pieces:?}");
        assert_eq!(ann.closed, Some(close), "{pieces:?}");
    }
}

#[tokio::test]
async fn who_may_not_connect_is_told_why() {
    let platform = Platform::start().await;
    let expired = platform.issuer.token_for("ann", -10);
    for (headers, code, close) in [
        (vec![("accept-version", "1.2")], "unauthenticated", 4401),
        (vec![("accept-version", "1.2"), ("passcode", "nonsense")], "unauthenticated", 4401),
        (vec![("accept-version", "1.2"), ("passcode", &expired)], "token_expired", 4401),
        (vec![("accept-version", "2.1")], "bad_request", 1002),
        (vec![("accept-version", "1.2"), ("position", "x")], "invalid_field", 1002),
    ] {
        let mut ann = Stomp::open(&platform.url()).await;
        ann.send("CONNECT", &headers, "").await;
        let error = ann.until_closed().await.unwrap();
        assert_eq!((error.header("code"), ann.closed), (code, Some(close)), "{headers:?}");
    }
    let mut hasty = Stomp::open(&platform.url()).await;
    hasty.send("SEND", &[("destination", &messages("c1"))], "x").await;
    assert_eq!(hasty.until_closed().await.unwrap().header("code"), "not_connected");
}

#[tokio::test]
async fn a_receipt_says_that_a_message_is_stored() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.stomp("ann").await;
    // so that there is a stream to lose
    ann.done("SEND", &[("destination", &messages("c1"))], "1").await;
    platform.core.set_away(true);
    ann.send("SEND", &[("destination", &messages("c1")), ("receipt", "stored")], "2").await;
    ann.done("SUBSCRIBE", &[("id", "t"), ("destination", "/user/queue/typing")], "").await;
    ann.for_a_while(Duration::from_millis(300)).await;
    assert!(ann.seen.iter().all(|frame| frame.get("receipt-id") != Some("stored")));
    platform.core.set_away(false);
    assert_eq!(ann.receipt("stored").await.header("seq"), "2");
}

#[tokio::test]
async fn a_transaction_is_done_when_all_of_it_is_stored() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.stomp("ann").await;
    ann.subscribe("s", QUEUE).await;
    for transaction in ["kept", "dropped"] {
        ann.done("BEGIN", &[("transaction", transaction)], "").await;
        for n in 1..=3 {
            let headers = [("destination", messages("c1")), ("transaction", transaction.into())];
            let mut headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            if n == 2 {
                headers.push(("receipt", "second"));
            }
            ann.send("SEND", &headers, &format!("{transaction} {n}")).await;
        }
    }
    ann.for_a_while(Duration::from_millis(200)).await;
    assert!(ann.seen.iter().all(|frame| frame.command != "MESSAGE" && frame.get("receipt-id") != Some("second")));
    ann.done("ABORT", &[("transaction", "dropped")], "").await;
    let commit = ann.done("COMMIT", &[("transaction", "kept")], "").await;
    assert_eq!(commit.get("seq"), None);
    assert!(ann.seen.iter().any(|frame| frame.get("receipt-id") == Some("second")), "before that of the COMMIT");
    if ann.seqs("s", "c1").len() < 3 {
        ann.until_seq("c1", 3).await;
    }
    let contents = ann.seen.iter().filter(|frame| frame.command == "MESSAGE").map(Frame::json);
    let contents: Vec<String> = contents.map(|json| json["content"].as_str().unwrap().to_owned()).collect();
    assert_eq!(contents, ["kept 1", "kept 2", "kept 3"]);

    // one that cannot be complete ends the session, even if the client listens for errors
    ann.subscribe("e", "/user/queue/errors").await;
    ann.done("BEGIN", &[("transaction", "t")], "").await;
    ann.send("SEND", &[("destination", &messages("nowhere")), ("transaction", "t")], "x").await;
    ann.send("COMMIT", &[("transaction", "t"), ("receipt", "never")], "").await;
    assert_eq!(ann.until_closed().await.unwrap().header("code"), "unknown_conversation");
}

#[tokio::test]
async fn acknowledgements_raise_the_delivered_watermark() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.stomp("ann").await;
    let subscribe = |id, ack| [("id", id), ("destination", QUEUE), ("ack", ack)];
    ann.done("SUBSCRIBE", &subscribe("s", "client-individual"), "").await;
    for n in 1..=6 {
        platform.core.post("c1", "ann", &n.to_string()).await;
    }
    ann.until_seq("c1", 6).await;
    let acks: Vec<String> = ann.seen.iter().filter_map(|frame| frame.get("ack").map(str::to_owned)).collect();
    let delivered = || platform.core.receipts().iter().filter_map(|receipt| receipt.delivered_seq).max();
    ann.done("ACK", &[("id", &acks[1])], "").await;
    ann.done("ACK", &[("id", "unknown")], "").await;
    ann.done("ACK", &[("id", &acks[0])], "").await;
    eventually("1 and 2 are acknowledged", async || delivered() == Some(2)).await;
    ann.done("ACK", &[("id", &acks[2])], "").await;
    ann.done("NACK", &[("id", &acks[3])], "").await;
    ann.done("ACK", &[("id", &acks[4])], "").await;
    ann.done("ACK", &[("id", &acks[5])], "").await;
    eventually("3 is, and what follows the refused is not", async || delivered() == Some(3)).await;
    assert!(platform.core.receipts().iter().all(|receipt| receipt.read_seq.is_none()));

    // the other mode covers what came before; older versions name the message
    let (mut old, _) = Stomp::open_as(&platform.url(), &["v11.stomp"]).await;
    let token = platform.issuer.token("ann");
    old.send("CONNECT", &[("accept-version", "1.1"), ("passcode", &token), ("position", "1;c1=3")], "").await;
    old.until("CONNECTED").await;
    old.done("SUBSCRIBE", &subscribe("all", "client"), "").await;
    assert_eq!(old.seqs("all", "c1"), [4, 5, 6]);
    assert!(old.seen.iter().all(|frame| frame.get("ack").is_none()));
    old.done("ACK", &[("subscription", "all"), ("message-id", "c1/6")], "").await;
    eventually("all is", async || delivered() == Some(6)).await;
}

#[tokio::test]
async fn a_receipt_says_that_an_acknowledgement_is_stored() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let subscribe = [("id", "s"), ("destination", QUEUE), ("ack", "client")];
    let receipts = |ann: &Stomp| ann.seen.iter().filter(|frame| frame.command == "RECEIPT").count();
    let mut seq = 0;
    for way in ["ACK", "COMMIT", "DISCONNECT"] {
        let mut ann = platform.stomp("ann").await;
        ann.done("SUBSCRIBE", &subscribe, "").await;
        seq = platform.core.post("c1", "ann", way).await;
        let ack = ann.until_seq("c1", seq).await.header("ack").to_owned();
        platform.core.hold_receipts(true);
        let (ack, receipt) = (("id", ack.as_str()), ("receipt", "stored"));
        match way {
            "ACK" => ann.send("ACK", &[ack, receipt], "").await,
            "COMMIT" => {
                ann.send("BEGIN", &[("transaction", "t")], "").await;
                ann.send("ACK", &[ack, ("transaction", "t"), ("receipt", "its own")], "").await;
                ann.send("COMMIT", &[("transaction", "t"), receipt], "").await;
            }
            _ => {
                ann.send("ACK", &[ack], "").await;
                ann.send("DISCONNECT", &[receipt], "").await;
            }
        }
        ann.for_a_while(Duration::from_millis(200)).await;
        assert_eq!(receipts(&ann), 1, "{way}: only that of the SUBSCRIBE");
        platform.core.hold_receipts(false);
        ann.receipt("stored").await;
        assert_eq!(receipts(&ann), if way == "COMMIT" { 3 } else { 2 });
        assert_eq!(platform.core.receipts().last().and_then(|receipt| receipt.delivered_seq), Some(seq), "{way}");
        if way == "DISCONNECT" {
            assert_eq!((ann.until_closed().await, ann.closed), (None, Some(1000)));
        }
    }
    assert_eq!(seq, 3);
}

#[tokio::test]
async fn who_acknowledges_nothing_is_cut_and_loses_nothing() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    for n in 1..=900 {
        platform.core.post("c1", "ann", &n.to_string()).await;
    }
    let mut ann = platform.stomp_from("ann", "1;c1=0").await;
    ann.send("SUBSCRIBE", &[("id", "s"), ("destination", QUEUE), ("ack", "client"), ("receipt", "live")], "").await;
    // what was missed waits for acknowledgements
    let half = ann.until_seq("c1", 501).await;
    ann.for_a_while(Duration::from_millis(200)).await;
    assert_eq!(ann.seqs("s", "c1").last(), Some(&501));
    ann.send("ACK", &[("id", half.header("ack"))], "").await;
    ann.receipt("live").await;
    assert_eq!(ann.seqs("s", "c1"), (1..=900).collect::<Vec<_>>());
    // what is new cannot
    for n in 901..=1600 {
        platform.core.post("c1", "ann", &n.to_string()).await;
    }
    let error = ann.until_closed().await.unwrap();
    assert_eq!((error.header("code"), ann.closed), ("slow_consumer", Some(4429)));
    let position = ann.position();
    let mut again = platform.stomp_from("ann", &position).await;
    again.subscribe("s", QUEUE).await;
    let all: Vec<u64> = ann.seqs("s", "c1").into_iter().chain(again.seqs("s", "c1")).collect();
    assert_eq!(all, (1..=1600).collect::<Vec<_>>());
}

#[tokio::test]
async fn each_kind_of_notice_comes_on_its_queue() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.stomp("ann").await;
    ann.subscribe("messages", QUEUE).await;
    for queue in ["status-updates", "typing", "notifications", "errors"] {
        ann.subscribe(queue, &format!("/user/queue/{queue}")).await;
    }
    let recipients = || Recipients::new([&"ann".parse().unwrap()]);
    for (kind, queue) in
        [("STATUS", "status-updates"), ("NOTIFICATION", "notifications"), ("CONVERSATION_CREATED", "notifications")]
    {
        let payload = json!({"type": kind}).to_string().into();
        platform.core.write("gateway-1", StreamEntry::Direct { recipients: recipients(), payload }).await;
        let message = ann.until("MESSAGE").await;
        assert_eq!((message.header("subscription"), message.header("type")), (queue, kind));
        assert_eq!(message.header("destination"), format!("/user/queue/{queue}"));
        assert_eq!(message.json()["type"], kind);
    }
    let payload = json!({"type": "TYPING", "conversationId": "c1", "userId": "bob"}).to_string().into();
    let conversation_id = "c1".parse().unwrap();
    let typing = StreamEntry::Ephemeral { conversation_id: Some(conversation_id), recipients: recipients(), payload };
    platform.core.write("gateway-1", typing).await;
    assert_eq!(ann.until("MESSAGE").await.header("subscription"), "typing");
    // a receipt that core refuses
    ann.done("SEND", &[("destination", "/app/conversations/nowhere/receipts")], r#"{"readSeq":1}"#).await;
    let error = ann.until("MESSAGE").await;
    assert_eq!((error.header("subscription"), error.header("code")), ("errors", "unknown_conversation"));
    assert_eq!(error.json()["type"], "ERROR");
    // without that queue it is the end
    ann.done("UNSUBSCRIBE", &[("id", "errors")], "").await;
    ann.send("SEND", &[("destination", "/app/chat.read")], r#"{"conversationId":"nowhere","seq":1}"#).await;
    assert_eq!(ann.until_closed().await.unwrap().header("code"), "unknown_conversation");
}

#[tokio::test]
async fn typing_goes_out_with_or_without_a_subscription() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.stomp("ann").await;
    ann.done("SEND", &[("destination", "/app/conversations/c1/typing")], "").await;
    eventually("typing is on the log", async || !platform.log.typing().is_empty()).await;
    assert!(platform.log.typing()[0].is_typing);
    ann.subscribe("s", QUEUE).await;
    let body = r#"{"conversationId":"c1","userId":"bob","isTyping":false,"timestamp":1}"#;
    ann.done("SEND", &[("destination", "/app/chat.typing")], body).await;
    eventually("typing has ended", async || platform.log.typing().len() == 2).await;
    let last = &platform.log.typing()[1];
    assert_eq!((last.user_id.as_str(), last.is_typing), ("ann", false), "whoever the body says it is");
    ann.send("SEND", &[("destination", "/app/conversations/other/typing")], "").await;
    assert_eq!(ann.until_closed().await.unwrap().header("code"), "not_a_member");
}

#[tokio::test]
async fn too_much_missed_is_said_and_joining_and_leaving_count() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    for n in 0..1200 {
        platform.core.post("c1", "ann", &n.to_string()).await;
    }
    let mut ann = platform.stomp_from("ann", "1;c1=1").await;
    ann.subscribe("s", &topic("c1")).await;
    let resync = ann.seen.iter().find(|frame| frame.get("type") == Some("RESYNC")).unwrap().json();
    assert_eq!((&resync["from"], &resync["head"]), (&json!(2), &json!(1200)));
    platform.core.create("c2", &["ann"]);
    ann.subscribe("t", &topic("c2")).await;
    let mut bob = platform.stomp("bob").await;
    bob.subscribe("s", QUEUE).await;
    platform.core.post("c2", "ann", "1").await;
    platform.core.join("c2", "bob").await;
    platform.core.post("c2", "ann", "3").await;
    platform.core.leave("c2", "bob").await;
    platform.core.post("c2", "ann", "5").await;
    platform.core.join("c2", "bob").await;
    bob.until_seq("c2", 6).await;
    assert_eq!(bob.seqs("s", "c2"), [2, 3, 4, 6]);
    platform.core.post("c1", "ann", "live").await;
    ann.until_seq("c1", 1201).await;
    assert_eq!((ann.seqs("s", "c1"), ann.seqs("s", "c2")), (vec![1201], vec![]));
}

#[tokio::test]
async fn who_disconnects_gets_a_receipt_after_its_last_answers() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.stomp("ann").await;
    ann.send("SEND", &[("destination", &messages("c1")), ("receipt", "sent")], "x").await;
    ann.done("DISCONNECT", &[], "").await;
    assert!(ann.seen.iter().any(|frame| frame.get("receipt-id") == Some("sent")));
    assert_eq!(ann.until_closed().await, None);
    assert_eq!(ann.closed, Some(1000));
    eventually("it is gone", async || platform.core.connections() == 0).await;
}

#[tokio::test]
async fn heart_beats_are_given_and_expected() {
    let platform = Platform::with(Options { stomp_listen: "127.0.0.1:0".parse().ok(), ..Options::default() }).await;
    let token = platform.issuer.token("ann");
    let mut ann = Stomp::open(&platform.url()).await;
    let connected = ann.connect(&token, &[("heart-beat", "0,1000")]).await;
    assert_eq!(connected.header("heart-beat"), "1000,10000");
    let mut silent = Stomp::tcp(platform.stomp.unwrap()).await;
    silent.connect(&token, &[("heart-beat", "1000,1000")]).await;
    let mut lively = Stomp::tcp(platform.stomp.unwrap()).await;
    lively.connect(&token, &[("heart-beat", "1000,0")]).await;
    let begun = tokio::time::Instant::now();
    let living = async {
        for _ in 0..7 {
            lively.send_bytes(b"\n").await;
            lively.for_a_while(Duration::from_millis(500)).await;
        }
        lively
    };
    let (mut lively, error, ()) =
        tokio::join!(living, silent.until_closed(), ann.for_a_while(Duration::from_millis(3500)));
    assert!(begun.elapsed() >= Duration::from_secs(3));
    assert_eq!(error.unwrap().header("code"), "timeout");
    assert!(silent.beats >= 1, "{}", silent.beats);
    assert!((3..=5).contains(&ann.beats), "{}", ann.beats);
    assert_eq!(lively.beats, 0, "it asked for none");
    lively.done("SUBSCRIBE", &[("id", "s"), ("destination", "/user/queue/typing")], "").await;
}

#[tokio::test]
async fn plain_tcp_carries_the_same() {
    let options = Options { stomp_listen: "127.0.0.1:0".parse().ok(), max_user_connections: 1, ..Options::default() };
    let platform = Platform::with(options).await;
    platform.core.create("c1", &["ann"]);
    let token = platform.issuer.token("ann");
    let mut ann = Stomp::tcp(platform.stomp.unwrap()).await;
    // CONNECT and what follows in one go, and then byte by byte
    let connect = frame("CONNECT", &[("accept-version", "1.2"), ("passcode", &token), ("position", "1;c1=0")], "");
    let subscribe = frame("SUBSCRIBE", &[("id", "s"), ("destination", QUEUE), ("receipt", "live")], "");
    ann.send_bytes((connect + &subscribe).as_bytes()).await;
    ann.receipt("live").await;
    for byte in frame("SEND", &[("destination", &messages("c1"))], "a:b\\n").bytes() {
        ann.send_bytes(&[byte]).await;
    }
    assert_eq!(ann.until_seq("c1", 1).await.json()["content"], "a:b\\n");
    let mut other = Stomp::tcp(platform.stomp.unwrap()).await;
    other.send("CONNECT", &[("accept-version", "1.2"), ("passcode", &token)], "").await;
    assert_eq!(other.until_closed().await.unwrap().header("code"), "too_many_connections");
}

#[tokio::test]
async fn a_slow_reader_is_cut_and_resumes() {
    let platform = Platform::with(Options { session_queue: 64 << 10, ..Options::default() }).await;
    platform.core.create("c1", &["ann"]);
    let mut ann = platform.stomp("ann").await;
    ann.subscribe("s", QUEUE).await;
    let content = "x".repeat(60_000);
    // more than kernel buffers and the queue hold
    eventually("it is cut", async || {
        platform.core.post("c1", "ann", &content).await;
        platform.metric("connections_closed").await > 0.0
    })
    .await;
    let head = platform.core.post("c1", "ann", "last").await;
    let error = ann.until_closed().await.unwrap();
    assert_eq!(error.header("code"), "slow_consumer");
    let (got, position) = (ann.seqs("s", "c1"), ann.position());
    let mut again = platform.stomp_from("ann", &position).await;
    again.subscribe("s", QUEUE).await;
    let all: Vec<u64> = got.into_iter().chain(again.seqs("s", "c1")).collect();
    assert_eq!(all, (1..=head).collect::<Vec<_>>());
}

#[tokio::test]
async fn whatever_happens_while_a_subscription_is_brought_in_reaches_it_once() {
    let platform = Platform::start().await;
    platform.core.create("old", &["ann", "bob"]);
    platform.core.post("old", "bob", "before").await;
    let mut bob = platform.stomp("bob").await;
    bob.subscribe("s", QUEUE).await;
    let mut ann = platform.stomp_from("ann", "1;old=0").await;
    platform.core.hold_lists(true);
    let read = platform.core.lists_read();
    ann.send("SUBSCRIBE", &[("id", "s"), ("destination", QUEUE), ("receipt", "live")], "").await;
    eventually("ann's list is read", async || platform.core.lists_read() > read).await;
    platform.core.post("old", "bob", "2").await;
    platform.core.create("made", &["bob"]);
    platform.core.join("made", "ann").await;
    platform.core.post("made", "bob", "2").await;
    bob.until_seq("made", 2).await;
    // another subscription comes meanwhile
    ann.send("SUBSCRIBE", &[("id", "t"), ("destination", &topic("old")), ("receipt", "too")], "").await;
    platform.core.post("old", "bob", "3").await;
    platform.core.hold_lists(false);
    ann.receipt("too").await;
    if !ann.seen.iter().any(|frame| frame.get("receipt-id") == Some("live")) {
        ann.receipt("live").await;
    }
    platform.core.post("old", "bob", "4").await;
    platform.core.post("made", "bob", "3").await;
    while ann.seqs("s", "old").last() != Some(&4)
        || ann.seqs("s", "made").last() != Some(&3)
        || ann.seqs("t", "old").last() != Some(&4)
    {
        ann.next().await.unwrap();
    }
    assert_eq!((ann.seqs("s", "old"), ann.seqs("s", "made")), (vec![1, 2, 3, 4], vec![1, 2, 3]));
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_with_the_gateway() {
    let platform = Platform::start().await;
    let mut ann = Stomp::open(&platform.url()).await;
    ann.connect(&platform.issuer.token_for("ann", 2), &[]).await;
    let mut bob = platform.stomp("bob").await;
    assert_eq!(ann.until_closed().await.unwrap().header("code"), "token_expired");
    assert_eq!(ann.closed, Some(4410));
    platform.shutdown.request();
    assert_eq!(bob.until_closed().await, None, "there is nothing wrong with it");
    assert_eq!(bob.closed, Some(1012));
}

#[tokio::test]
async fn after_an_error_or_a_goodbye_nothing_is_heard() {
    let platform = Platform::start().await;
    platform.core.create("c1", &["ann"]);
    let send = |text: &str| frame("SEND", &[("destination", &messages("c1"))], text);
    let mut ann = platform.stomp("ann").await;
    let bad = frame("SEND", &[("destination", "/nowhere")], "");
    ann.send_bytes((send("1") + &bad + &send("never")).as_bytes()).await;
    assert!(ann.until_closed().await.is_some());
    let mut ann = platform.stomp("ann").await;
    let bye = frame("DISCONNECT", &[("receipt", "bye")], "");
    ann.send_bytes((send("2") + &bye + &send("never")).as_bytes()).await;
    ann.receipt("bye").await;
    assert_eq!(ann.until_closed().await, None);
    let mut ann = platform.stomp_from("ann", "1;c1=0").await;
    ann.subscribe("s", QUEUE).await;
    let contents = ann.seen.iter().filter(|frame| frame.command == "MESSAGE").map(Frame::json);
    assert_eq!(contents.map(|json| json["content"].clone()).collect::<Vec<_>>(), ["1", "2"]);
}

#[tokio::test]
async fn who_changes_its_mind_during_a_backfill_gets_the_rest_later() {
    let platform = Platform::with(Options { session_queue: 64 << 10, ..Options::default() }).await;
    platform.core.create("c1", &["ann"]);
    let content = "x".repeat(10_000);
    for _ in 1..=900 {
        platform.core.post("c1", "ann", &content).await;
    }
    let mut ann = platform.stomp_from("ann", "1;c1=0").await;
    // more than kernel buffers and the queue hold: the backfill waits for the client
    ann.send("SUBSCRIBE", &[("id", "a"), ("destination", QUEUE), ("receipt", "live")], "").await;
    ann.until_seq("c1", 100).await;
    ann.done("UNSUBSCRIBE", &[("id", "a")], "").await;
    ann.subscribe("b", QUEUE).await;
    let all: Vec<u64> = ann.seqs("a", "c1").into_iter().chain(ann.seqs("b", "c1")).collect();
    assert_eq!(all, (1..=900).collect::<Vec<_>>());
    assert!(ann.seen.iter().any(|frame| frame.get("receipt-id") == Some("live")));
}
