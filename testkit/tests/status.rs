//! What comes without a seq, over real Kafka, Redis and MariaDB: that a message is stored, delivered and read; who types;
//! notifications; who is online. On both dialects, and in Kafka exactly as documented.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chatcluster_testkit::{
    Deployment, WAIT, await_condition,
    client::{Client, Outside, Resume, User},
    redis::Reply,
};
use futures_util::{SinkExt, StreamExt};
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{Consumer, StreamConsumer},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{ClientRequestBuilder, Message},
};

async fn dm(deployment: &Deployment) -> Result<(User, User, String)> {
    let (ann, bob) = (deployment.user("ann").await?, deployment.user("bob").await?);
    let (status, room) = ann.api.create_conversation("dm", &[&bob.id]).await?;
    ensure!(status == 201, "{status} {room}");
    Ok((ann, bob, room["id"].as_str().context("no id")?.to_owned()))
}

/// The bodies of what a STOMP client gets from one queue.
async fn stomp(url: &str, user: &User, queue: &str) -> Result<mpsc::UnboundedReceiver<Value>> {
    let request = ClientRequestBuilder::new(url.parse()?).with_sub_protocol("v12.stomp");
    let (mut socket, _) = connect_async(request).await?;
    let connect = format!("CONNECT\naccept-version:1.2\nhost:chat\nheart-beat:0,0\npasscode:{}\n\n\0", user.token);
    socket.send(Message::text(connect)).await?;
    let subscribe = format!("SUBSCRIBE\nid:1\nreceipt:r1\ndestination:{queue}\n\n\0");
    socket.send(Message::text(subscribe)).await?;
    let (bodies, heard) = mpsc::unbounded_channel();
    let (ready, subscribed) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut ready = Some(ready);
        while let Some(Ok(message)) = socket.next().await {
            let Ok(text) = message.into_text() else { continue };
            for frame in text.split('\0') {
                let (lines, content) = frame.split_once("\n\n").unwrap_or_default();
                if lines.contains("RECEIPT") {
                    ready.take().map(|ready| ready.send(()));
                } else if lines.contains("MESSAGE\n") {
                    let _ = bodies.send(serde_json::from_str(content).unwrap_or_default());
                }
            }
        }
    });
    tokio::time::timeout(WAIT, subscribed).await??;
    Ok(heard)
}

async fn next(heard: &mut mpsc::UnboundedReceiver<Value>) -> Result<Value> {
    tokio::time::timeout(WAIT, heard.recv()).await?.context("the connection ended")
}

async fn status(client: &Client, status: &str) -> Result<Value> {
    client.wait_for(|frame| frame["type"] == "STATUS" && frame["status"] == status, WAIT).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_hears_that_it_is_stored_delivered_and_read() -> Result<()> {
    let deployment = Deployment::on_shared_servers(1, 1, 2).await?;
    let (ann, bob, room) = dm(&deployment).await?;
    let sender = deployment.connect(&ann, 0, Resume::None).await?;
    let reader = deployment.connect(&bob, 1, Resume::None).await?;
    let mut queue = stomp(&deployment.gateway_ws_urls()[1], &ann, "/user/queue/status-updates").await?;
    sender.send_message(&room, "m1", "hello").await?;
    let message = reader.wait_for(|frame| frame["type"] == "MESSAGE", WAIT).await?;
    let sent = status(&sender, "SENT").await?;
    assert_eq!((&sent["messageId"], &sent["userId"]), (&message["messageId"], &json!(ann.id)));

    for receipt in
        [json!({"deliveredSeq": 1}), json!({"deliveredSeq": 1}), json!({"readSeq": 1}), json!({"readSeq": 1})]
    {
        let mut frame = receipt;
        (frame["type"], frame["conversationId"]) = ("RECEIPT".into(), room.clone().into());
        reader.send_frame(frame).await?;
        // one after the other: what comes together is one move
        let known = || async {
            let (_, marks) = ann.api.receipts(&room).await?;
            let mark =
                marks["receipts"].as_array().context("none")?.iter().find(|mark| mark["userId"] == bob.id.as_str());
            ensure!(mark.is_some_and(|mark| mark["deliveredSeq"] == 1), "{marks}");
            Ok(())
        };
        await_condition("the receipt is stored", WAIT, known).await?;
    }
    let (delivered, read) = (status(&sender, "DELIVERED").await?, status(&sender, "READ").await?);
    for (told, status) in [(&delivered, "DELIVERED"), (&read, "READ")] {
        let expected = json!({"type": "STATUS", "messageId": message["messageId"], "conversationId": room,
            "status": status, "userId": bob.id, "seq": 1, "timestamp": told["timestamp"]});
        assert_eq!(*told, expected);
    }
    for told in [&sent, &delivered, &read] {
        assert_eq!(next(&mut queue).await?, *told, "STOMP clients hear the same");
    }

    // what is in Kafka: nothing more than that, in the documented form, with the sender as the key
    let on = deployment.namespace().context("no servers")?;
    let records: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", &on.kafka_bootstrap_servers)
        .set("group.id", "a-reader-of-tests")
        .set("auto.offset.reset", "earliest")
        .create()?;
    records.subscribe(&[&format!("{}message-status-events", on.kafka_prefix)])?;
    for expected in [&sent, &delivered, &read] {
        let record = tokio::time::timeout(WAIT, records.recv()).await??;
        assert_eq!(record.key(), Some(ann.id.as_bytes()));
        let mut value: Value = serde_json::from_slice(record.payload().context("no value")?)?;
        value["type"] = "STATUS".into();
        assert_eq!(value, *expected);
    }
    let statuses = sender.history().received().iter().filter(|frame| frame["type"] == "STATUS").count();
    assert_eq!(statuses, 3, "one a move");
    assert!(!reader.history().received().iter().any(|frame| frame["type"] == "STATUS"), "the reader is not told");
    deployment.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_stops_by_itself_and_old_typing_is_not_told() -> Result<()> {
    let deployment = Deployment::on_shared_servers(1, 1, 1).await?;
    let (ann, bob, room) = dm(&deployment).await?;
    let typist = deployment.connect(&ann, 0, Resume::None).await?;
    let watcher = deployment.connect(&bob, 0, Resume::None).await?;
    typist.send_message(&room, "m1", "live").await?;
    watcher.wait_for(|frame| frame["type"] == "MESSAGE", WAIT).await?;
    let typing = |is_typing: bool, user: &str| {
        let user = user.to_owned();
        move |frame: &Value| {
            frame["type"] == "TYPING" && frame["isTyping"] == is_typing && frame["userId"] == user.as_str()
        }
    };
    for _ in 0..20 {
        typist.send_frame(json!({"type": "TYPING", "conversationId": room, "isTyping": true})).await?;
    }
    watcher.wait_for(typing(true, &ann.id), WAIT).await?;
    // its client is gone, and never said that it stopped
    typist.abort().await;
    watcher.wait_for(typing(false, &ann.id), WAIT).await?;
    let frames = watcher.history().received().into_iter().filter(|frame| frame["type"] == "TYPING").count();
    assert!(frames <= 4, "twenty in a moment were passed on as {frames}");

    let outside = Outside::of(&deployment)?;
    let now = jiff::Timestamp::now().as_millisecond();
    for (user, at) in [("old", now - 60_000), ("new", now)] {
        let value = json!({"conversationId": room, "userId": user, "isTyping": true, "timestamp": at}).to_string();
        outside.produce_at(at, "typing-events", &room, &value).await?;
    }
    watcher.wait_for(typing(true, "new"), WAIT).await?;
    assert!(!watcher.history().received().iter().any(typing(true, "old")));
    deployment.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mention_is_told_at_once_and_kept_and_others_may_notify() -> Result<()> {
    let deployment = Deployment::on_shared_servers(1, 1, 1).await?;
    let (ann, bob, room) = dm(&deployment).await?;
    let client = deployment.connect(&bob, 0, Resume::None).await?;
    let mut queue = stomp(&deployment.gateway_ws_urls()[0], &bob, "/user/queue/notifications").await?;
    let (status, sent) = ann.api.send(&room, "m1", &format!("hello @{}!", bob.username)).await?;
    ensure!(status == 201, "{status} {sent}");
    let of = |kind: &str| {
        let kind = kind.to_owned();
        move |frame: &Value| frame["type"] == "NOTIFICATION" && frame["notification"]["type"] == kind.as_str()
    };
    let mention = client.wait_for(of("MENTION"), WAIT).await?["notification"].clone();
    assert_eq!((&mention["conversationId"], &mention["read"]), (&json!(room), &json!(false)));
    let mut heard = next(&mut queue).await?;
    while heard["notification"]["type"] != "MENTION" {
        // of the conversation itself
        heard = next(&mut queue).await?;
    }
    assert_eq!(heard["notification"], mention);

    let value = json!({"id": "notif-111", "userId": bob.id, "title": "New Message",
        "content": "You have a new message from John", "type": "NEW_MESSAGE", "relatedEntityId": "msg-789",
        "read": false, "createdAt": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S").to_string()})
    .to_string();
    Outside::of(&deployment)?.produce("notifications", &bob.id, &value).await?;
    client.wait_for(of("NEW_MESSAGE"), WAIT).await?;
    let kept = || async {
        let (_, list) = bob.api.get("/v1/notifications").await?;
        let kinds: Vec<_> = list["notifications"].as_array().context("no list")?.iter().map(|it| &it["type"]).collect();
        ensure!(kinds.len() == 3 && list["unread"] == 3, "{kinds:?} {}", list["unread"]);
        Ok(list)
    };
    let list: Value = await_condition("all three are kept", WAIT, kept).await?;
    assert!(list["notifications"].as_array().unwrap().contains(&mention), "as it was told");
    let (_, left) = bob.api.post("/v1/notifications/notif-111/read", Value::Null).await?;
    assert_eq!(left["unread"], 2);
    deployment.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_stays_online_after_their_gateway_was_killed() -> Result<()> {
    let deployment = Deployment::on_shared_servers(1, 1, 2).await?;
    let (ann, bob, _) = dm(&deployment).await?;
    let watcher = deployment.connect(&bob, 1, Resume::None).await?;
    let mut queue = stomp(&deployment.gateway_ws_urls()[1], &bob, "/user/queue/presence").await?;
    let _gone = deployment.connect(&ann, 0, Resume::None).await?;
    let of_ann = |online: bool| {
        let ann = ann.id.clone();
        move |frame: &Value| frame["type"] == "PRESENCE" && frame["userId"] == ann.as_str() && frame["online"] == online
    };
    let came = watcher.wait_for(of_ann(true), WAIT).await?;
    assert_eq!(next(&mut queue).await?, came);
    let online = async || {
        let (_, list) = bob.api.get("/v1/presence").await?;
        anyhow::Ok(list["presence"][0]["online"] == true)
    };
    assert!(online().await?);

    let killed = std::time::Instant::now();
    deployment.process("gateway-0")?.kill9().await?;
    watcher.wait_for(of_ann(false), 3 * WAIT).await?;
    println!("told {:.0} s after kill -9", killed.elapsed().as_secs_f64());
    assert!(!online().await?);
    assert!(of_ann(false)(&next(&mut queue).await?));
    // nothing is left in the map, either
    let on = deployment.namespace().context("no servers")?;
    let set = format!("{}connection-set:{}", on.redis_prefix, ann.id);
    let pruned = || async {
        let left = deployment.servers().context("no servers")?.redis.command(&["SMEMBERS", &set]).await?;
        ensure!(left == Reply::List(Vec::new()), "{left:?}");
        Ok(())
    };
    await_condition("the entry is pruned", 2 * WAIT, pruned).await?;
    deployment.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_somebody_removed_are_written_again_and_end_by_themselves() -> Result<()> {
    let deployment = Deployment::on_shared_servers(1, 1, 1).await?;
    let (ann, bob, room) = dm(&deployment).await?;
    let client = deployment.connect(&bob, 0, Resume::None).await?;
    let on = deployment.namespace().context("no servers")?;
    let redis = &deployment.servers().context("no servers")?.redis;
    let set = format!("{}connection-set:{}", on.redis_prefix, bob.id);
    let session = client.session()["sessionId"].as_str().context("no session")?.to_owned();
    let hash = format!("{}connection-active{session}", on.redis_prefix);
    for key in [&set, &hash] {
        let Reply::Number(seconds) = redis.command(&["TTL", key]).await? else { panic!("no number") };
        assert!((3_000..=3_600).contains(&seconds), "{key} ends by itself, in {seconds} s");
        redis.command(&["DEL", key]).await?;
        let again = || async {
            ensure!(redis.command(&["EXISTS", key]).await? == Reply::Number(1), "{key} is not there");
            Ok(())
        };
        await_condition("it is written again", WAIT, again).await?;
    }
    ann.api.send(&room, "m1", "hello").await?;
    client.wait_for(|frame| frame["type"] == "MESSAGE", Duration::from_secs(5)).await?;
    deployment.stop().await
}
