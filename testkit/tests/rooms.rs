//! Rooms on real servers: two gateways, two workers, and each socket of a room hears each record once, whoever is killed;
//! a conversation that changes its road loses and repeats nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use chatcluster_testkit::{
    Client, Deployment, Resume, User, WAIT,
    acceptance::participant::{Participant, check},
    await_condition,
    client::Outside,
    redis::Reply,
};
use serde_json::{Value, json};

/// Where a chat service that was there before puts its messages.
const CREATED: &str = "message.created";

async fn open_room(owner: &User) -> Result<String> {
    let body = json!({"kind": "channel", "name": "an open room", "open": true});
    let (status, room) = owner.api.post("/v1/conversations", body).await?;
    ensure!(status == 201 && room["open"] == true, "{status} {room}");
    Ok(room["id"].as_str().context("no id")?.to_owned())
}

async fn join(client: &Client, join: Value) -> Result<Value> {
    let (room, from) = (join["roomId"].clone(), client.history().len());
    let mut frame = join;
    frame["type"] = json!("JOIN");
    client.send_frame(frame).await?;
    let answer = |frame: &Value| frame["roomId"] == room && (frame["type"] == "JOINED" || frame["type"] == "ERROR");
    let joined = client.wait_from(from, answer, WAIT).await?;
    ensure!(joined["type"] == "JOINED", "{joined}");
    Ok(joined)
}

/// The ids of the records that a client got, in the order in which they came.
fn records(client: &Client) -> Vec<String> {
    let received = client.history().received();
    let ours = received.iter().filter(|frame| frame["type"] == "message");
    ours.map(|frame| frame["id"].as_str().unwrap_or("none").to_owned()).collect()
}

async fn heard(client: &Client, count: usize, within: Duration) -> Result<()> {
    await_condition(&format!("{count} records"), within, || async {
        let have = records(client).len();
        if have >= count { Ok(()) } else { Err(format!("{have}")) }
    })
    .await
}

/// Gateways that listen to the room.
async fn listeners(deployment: &Deployment, room: &str) -> Result<i64> {
    let prefix = &deployment.namespace().context("no servers")?.redis_prefix;
    let channel = format!("{prefix}room:{room}");
    let redis = &deployment.servers().context("no servers")?.redis;
    match redis.command(&["PUBSUB", "NUMSUB", &channel]).await? {
        Reply::List(list) => match list.get(1) {
            Some(Reply::Number(count)) => Ok(*count),
            other => anyhow::bail!("{other:?}"),
        },
        other => anyhow::bail!("{other:?}"),
    }
}

async fn until_listeners(deployment: &Deployment, room: &str, count: i64) -> Result<()> {
    await_condition(&format!("{count} gateways listen"), WAIT, || async {
        match listeners(deployment, room).await {
            Ok(have) if have == count => Ok(()),
            have => Err(format!("{have:?}")),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_in_an_open_room_hears_each_record_once() -> Result<()> {
    const COUNT: usize = 300;
    let deployment = Deployment::on_shared_servers(1, 2, 2).await?;
    let (ann, bob) = (deployment.user("ann").await?, deployment.user("bob").await?);
    let room = open_room(&ann).await?;
    let other = open_room(&ann).await?;
    ensure!(listeners(&deployment, &room).await? == 0, "nobody is there");
    let mut clients = Vec::new();
    for (index, user) in [(0, &ann), (0, &bob), (1, &bob), (1, &ann)] {
        clients.push(deployment.connect(user, index, Resume::None).await?);
    }
    // ann's gateways listen to what is hers, and goes by broadcast because it is open
    until_listeners(&deployment, &room, 2).await?;
    for client in &clients {
        join(client, json!({"roomId": room})).await?;
    }
    let elsewhere = deployment.connect(&bob, 0, Resume::None).await?;
    join(&elsewhere, json!({"roomId": other})).await?;
    let outside = Outside::of(&deployment)?;
    let mut produced = Vec::new();
    for n in 0..COUNT {
        // any key, or the room's: the partition does not matter
        let key = if n % 3 == 0 { room.clone() } else { format!("k{n}") };
        let data = json!({"roomId": room, "n": n, "nested": {"text": "ünïcode \u{1f600}"}});
        produced.push((outside.produce(CREATED, &key, &data.to_string()).await?, data));
    }
    for (client, value) in clients.iter().zip(["{", "[1]", r#"{"roomId":7.5}"#, r#"{"room":"x"}"#]) {
        outside.produce(CREATED, "bad", value).await?;
        heard(client, COUNT, WAIT * 2).await?;
    }
    outside.produce(CREATED, "last", &json!({"roomId": other, "n": "last"}).to_string()).await?;
    heard(&elsewhere, 1, WAIT).await?;
    for client in &clients {
        let received = client.history().received();
        let by_id: BTreeMap<String, Value> = received
            .into_iter()
            .filter(|frame| frame["type"] == "message")
            .map(|frame| (frame["id"].as_str().unwrap_or_default().to_owned(), frame["data"].clone()))
            .collect();
        assert_eq!(by_id, produced.iter().cloned().collect(), "each, unchanged");
        assert_eq!(records(client).len(), COUNT, "once");
        assert_eq!(records(client), records(&clients[0]), "in one order for all");
    }
    assert_eq!(records(&elsewhere).len(), 1, "and nobody else");
    // the log serves who comes late
    let late = deployment.connect(&bob, 1, Resume::None).await?;
    let all = records(&clients[0]);
    join(&late, json!({"roomId": room, "since": all[COUNT - 50]})).await?;
    heard(&late, 49, WAIT).await?;
    assert_eq!(records(&late), all[COUNT - 49..]);
    // the last to leave turns off the light; ann's gateways keep hers
    for client in [&clients[1], &clients[2], &late] {
        client.send_frame(json!({"type": "LEAVE", "roomId": room})).await?;
        client.wait_for(|frame| frame["type"] == "LEFT", WAIT).await?;
    }
    until_listeners(&deployment, &room, 2).await?;
    clients[0].close().await?;
    until_listeners(&deployment, &room, 1).await?;
    clients[3].close().await?;
    until_listeners(&deployment, &room, 0).await?;
    deployment.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_told_that_it_is_in_a_room_hears_what_comes_from_then_on() -> Result<()> {
    let deployment = Deployment::real(1, 1, 1).await?;
    let (ann, bob) = (deployment.user("ann").await?, deployment.user("bob").await?);
    let room = open_room(&ann).await?;
    let _member = deployment.connect(&ann, 0, Resume::None).await?;
    until_listeners(&deployment, &room, 1).await?;
    let guest = deployment.connect(&bob, 0, Resume::None).await?;
    // where the log of the room ends is not known now, and so the guest is not told yet
    let redis = deployment.servers().context("no servers")?.redis.process();
    redis.pause()?;
    guest.send_frame(json!({"type": "JOIN", "roomId": room})).await?;
    let early = guest.wait_for(|frame| frame["type"] == "JOINED", Duration::from_secs(1)).await;
    redis.resume()?;
    ensure!(early.is_err(), "it was told before: {early:?}");
    guest.wait_for(|frame| frame["type"] == "JOINED", WAIT).await?;
    let id = Outside::of(&deployment)?.produce(CREATED, &room, &json!({"roomId": room}).to_string()).await?;
    heard(&guest, 1, WAIT).await?;
    assert_eq!(records(&guest), [id]);
    deployment.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_changes_its_road_loses_and_repeats_nothing() -> Result<()> {
    const ROUNDS: usize = 12;
    const EACH: usize = 400;
    let deployment = Deployment::builder()
        .workers(2)
        .gateways(2)
        .servers(chatcluster_testkit::Servers::shared().await?)
        .env("CHATCLUSTER_FANOUT_BROADCAST_ABOVE", "3")
        .env("CHATCLUSTER_SWEEP", "10m")
        .start()
        .await?;
    let mut users = Vec::new();
    for name in ["ann", "bob", "cem", "dan", "eve"] {
        users.push(deployment.user(name).await?);
    }
    let (status, created) = users[0].api.create_conversation("channel", &[&users[1].id]).await?;
    ensure!(status == 201, "{status} {created}");
    let room = created["id"].as_str().context("no id")?.to_owned();
    let participants: Vec<_> =
        users[..2].iter().enumerate().map(|(i, user)| Participant::start(&deployment, user, &room, i)).collect();
    for participant in &participants {
        participant.send(&participant.user.username, EACH);
    }
    let mut was_broadcast = false;
    for _ in 0..ROUNDS {
        for user in &users[2..] {
            let (status, answer) = users[0].api.add_member(&room, &user.id).await?;
            ensure!(status < 300, "{status} {answer}");
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        was_broadcast |= listeners(&deployment, &room).await? == 2;
        for user in &users[2..] {
            let (status, answer) = users[0].api.remove_member(&room, &user.id).await?;
            ensure!(status < 300, "{status} {answer}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let events = 2 * EACH + ROUNDS * 6;
    for participant in &participants {
        participant.wait_acknowledged(EACH, WAIT * 3).await?;
        participant.wait_seen(events, WAIT * 3).await?;
    }
    check(&participants, events as u64)?;
    ensure!(was_broadcast, "the gateways listened while it was large");
    for participant in participants {
        participant.stop().await?;
    }
    deployment.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_heard_once_though_workers_and_redis_are_killed() -> Result<()> {
    let deployment = Deployment::real(1, 2, 2).await?;
    let (ann, bob) = (deployment.user("ann").await?, deployment.user("bob").await?);
    let room = open_room(&ann).await?;
    let mut clients = Vec::new();
    for index in 0..2 {
        let client = deployment.connect(&bob, index, Resume::None).await?;
        join(&client, json!({"roomId": room})).await?;
        clients.push(client);
    }
    let outside = Outside::of(&deployment)?;
    let mut produced = Vec::new();
    let produce = async |count: usize, produced: &mut Vec<String>| -> Result<()> {
        for _ in 0..count {
            let n = produced.len();
            produced
                .push(outside.produce(CREATED, &format!("k{n}"), &json!({"roomId": room, "n": n}).to_string()).await?);
        }
        Ok(())
    };
    produce(100, &mut produced).await?;
    // workers die in the middle: the next one goes on from what was committed, and repeats what was not
    for worker in ["worker-0", "worker-1"] {
        produce(50, &mut produced).await?;
        deployment.process(worker)?.kill9().await?;
        produce(50, &mut produced).await?;
        deployment.process(worker)?.start_again().await?;
    }
    for client in &clients {
        heard(client, produced.len(), WAIT * 4).await?;
        let (mut have, mut want) = (records(client), produced.clone());
        have.sort();
        want.sort();
        assert_eq!(have, want, "each once, and none was lost");
        assert!(client.history().received().iter().all(|frame| frame["type"] != "GAP"));
    }
    // Redis forgets everything, logs included: those who are there miss nothing
    let redis = deployment.servers().context("no servers")?.redis.process();
    for _ in 0..3 {
        produce(20, &mut produced).await?;
        deployment.servers().context("no servers")?.redis.flush().await?;
        produce(20, &mut produced).await?;
    }
    for client in &clients {
        heard(client, produced.len(), WAIT * 4).await?;
    }
    // and is killed: what was lost with it is said
    produce(20, &mut produced).await?;
    redis.kill9().await?;
    produce(20, &mut produced).await?;
    redis.start_again().await?;
    produce(20, &mut produced).await?;
    let last = produced.last().context("none")?.clone();
    for client in &clients {
        client.wait_for(|frame| frame["id"] == last.as_str(), WAIT * 4).await?;
        await_condition("all, or a word about it", WAIT, || async {
            let told = client.history().received().iter().any(|frame| frame["type"] == "GAP");
            let have = records(client).len();
            if told || have == produced.len() { Ok(()) } else { Err(format!("{have} of {}", produced.len())) }
        })
        .await?;
        let mut once = records(client);
        let count = once.len();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), count, "nothing twice");
    }
    deployment.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_goes_on_in_order_though_redis_forgets_and_dies() -> Result<()> {
    let deployment = Deployment::builder().workers(2).gateways(2).env("CHATCLUSTER_SWEEP", "10m").start().await?;
    let (ann, bob) = (deployment.user("ann").await?, deployment.user("bob").await?);
    let room = open_room(&ann).await?;
    let guests = [deployment.connect(&bob, 0, Resume::None).await?, deployment.connect(&bob, 1, Resume::None).await?];
    for guest in &guests {
        join(guest, json!({"roomId": room})).await?;
    }
    let member = deployment.connect(&ann, 1, Resume::None).await?;
    let redis = &deployment.servers().context("no servers")?.redis;
    let mut sent = 0;
    for round in 0..4 {
        for n in 0..10 {
            member.send_and_ack(&room, &format!("m{round}-{n}"), "x", WAIT).await?;
            sent += 1;
            match (round, n) {
                (1, 5) => redis.flush().await?,
                (2, 5) => redis.process().kill9().await?,
                // the last one of a round falls silent while Redis is away, and nothing comes behind it
                (2, 9) => redis.process().start_again().await?,
                _ => {}
            }
        }
        for client in guests.iter().chain([&member]) {
            client.wait_for(|frame| frame["seq"] == sent && frame["type"] == "MESSAGE", WAIT * 2).await?;
            let messages = client.frames_of(&room).into_iter().filter(|frame| frame["type"] == "MESSAGE");
            let seqs: Vec<u64> = messages.filter_map(|frame| frame["seq"].as_u64()).collect();
            assert_eq!(seqs, (1..=sent).collect::<Vec<_>>());
        }
    }
    deployment.stop().await
}
