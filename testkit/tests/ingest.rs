//! Producing to Kafka instead of calling: the records become messages under the rules of a client's sends, once, in
//! order, also when core is killed; what cannot become one is found among the dead letters and can be replayed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::process::Command;

use anyhow::{Context, Result, ensure};
use chatcluster_testkit::{
    Deployment, WAIT, await_condition,
    client::{Outside, Resume, User},
    deployment::Binaries,
};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

/// What `chatcluster dlq` says.
fn dead_letters(deployment: &Deployment, arguments: &[&str]) -> Result<String> {
    let on = deployment.namespace().context("no servers")?;
    let output = Command::new(Binaries::locate()?.path("chatcluster")?)
        .arg("dlq")
        .args(arguments)
        .args(["--kafka-bootstrap-servers", &on.kafka_bootstrap_servers, "--kafka-prefix", &on.kafka_prefix])
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.success(), "{said}");
    Ok(said)
}

async fn contents(user: &User, conversation: &str) -> Result<Vec<String>> {
    let (status, events) = user.api.events(conversation, 0, 1000).await?;
    ensure!(status == 200, "{status} {events}");
    let events = events["events"].as_array().context("no events")?.clone();
    let text = |event: &Value| event["content"].as_str().map(str::to_owned);
    Ok(events.iter().filter_map(text).collect())
}

async fn group(deployment: &Deployment, names: &[&str]) -> Result<(Vec<User>, String)> {
    let users = try_join_all(names.iter().map(|name| deployment.user(name))).await?;
    let others: Vec<_> = users[1..].iter().map(|user| user.id.as_str()).collect();
    let (status, room) = users[0].api.create_conversation("group", &others).await?;
    ensure!(status == 201, "{status} {room}");
    Ok((users, room["id"].as_str().context("no id")?.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_stored_once_and_in_order_though_core_is_killed() -> Result<()> {
    const COUNT: usize = 400;
    let deployment = Deployment::on_shared_servers(2, 1, 1).await?;
    let (users, room) = group(&deployment, &["ann", "bob"]).await?;
    let reader = deployment.connect(&users[1], 0, Resume::None).await?;
    let outside = Outside::of(&deployment)?;
    let record = |n: usize| json!({"id": format!("r{n}"), "conversationId": room, "senderId": users[0].id, "content": format!("m{n}")});
    for n in 0..COUNT {
        outside.produce("message.ingest", &room, &record(n).to_string()).await?;
        if n.is_multiple_of(10) {
            // a producer that retries blindly
            outside.produce("message.ingest", &room, &record(n).to_string()).await?;
        }
        if n == COUNT / 2 {
            for core in ["core-0", "core-1"] {
                deployment.process(core)?.kill9().await?;
            }
            for core in ["core-0", "core-1"] {
                deployment.process(core)?.start_again().await?;
            }
        }
    }
    let last = format!("m{}", COUNT - 1);
    reader.wait_for(|frame| frame["content"] == last.as_str(), WAIT * 3).await?;
    let expected: Vec<_> = (0..COUNT).map(|n| format!("m{n}")).collect();
    assert_eq!(contents(&users[0], &room).await?, expected);
    assert_eq!(reader.seqs_of(&room), (1..=COUNT as u64).collect::<Vec<_>>());
    deployment.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_kept_with_the_reason_and_can_be_replayed() -> Result<()> {
    let deployment = Deployment::on_shared_servers(1, 1, 1).await?;
    let (users, room) = group(&deployment, &["ann", "bob"]).await?;
    let stranger = deployment.user("eve").await?;
    let outside = Outside::of(&deployment)?;
    let ingest =
        |sender: &str, text: &str| json!({"conversationId": room, "senderId": sender, "content": text}).to_string();
    let direct = |recipient: &str, sender: Option<&str>| {
        json!({"conversationId": room, "senderId": sender, "recipientId": recipient, "content": "direct"}).to_string()
    };
    for value in
        ["{", "[]", &ingest(&stranger.id, "not a member"), &ingest("nobody", "unknown"), &ingest(&users[0].id, "")]
    {
        outside.produce("message.ingest", &room, value).await?;
    }
    for value in [direct(&stranger.id, Some(&users[0].id)), direct(&users[1].id, None)] {
        outside.produce("chat-messages", &room, &value).await?;
    }
    outside.produce("message.ingest", &room, &ingest(&users[0].id, "fine")).await?;
    outside.produce("chat-messages", &room, &direct(&users[1].id, Some(&users[0].id))).await?;

    let stored = || async {
        let mut found = contents(&users[0], &room).await?;
        found.sort();
        ensure!(found == ["direct", "fine"], "{found:?}");
        Ok(())
    };
    await_condition("what is in order is stored", WAIT, stored).await?;
    let listed = dead_letters(&deployment, &["list"])?;
    for reason in ["invalid_json", "not_a_member", "unknown_user", "invalid_field: content must not be empty"] {
        assert!(listed.contains(reason), "{reason}:\n{listed}");
    }
    assert!(listed.contains("the recipient is not a member") && listed.contains("no senderId"), "{listed}");
    assert_eq!(listed.lines().count(), 7, "{listed}");

    let strangers = listed.lines().find(|line| line.contains("only members") || line.ends_with("not_a_member"));
    let strangers =
        strangers.or_else(|| listed.lines().find(|line| line.starts_with("ingest") && line.contains("not_a_member")));
    let offset = strangers.context("no line")?.split_whitespace().nth(1).context("no offset")?.to_owned();
    let shown = dead_letters(&deployment, &["show", "--topic", "ingest", "--offset", &offset])?;
    assert!(shown.contains("not a member") && shown.contains("dlq-reason") && shown.contains(&room), "{shown}");

    // what was wrong is mended; whoever replays twice, or everything, stores nothing twice
    users[0].api.add_member(&room, &stranger.id).await?;
    dead_letters(&deployment, &["replay", "--topic", "ingest", "--offset", &offset])?;
    let replayed = dead_letters(&deployment, &["replay", "--topic", "ingest", "--all"])?;
    assert!(replayed.contains("replayed 5"), "{replayed}");
    outside.produce("message.ingest", &room, &ingest(&users[0].id, "last")).await?;
    let twice = || async {
        let found = contents(&users[0], &room).await?;
        ensure!(found.iter().any(|text| text == "last"), "{found:?}");
        let times = found.iter().filter(|text| *text == "not a member").count();
        ensure!(times == 1, "{times} times");
        Ok(())
    };
    await_condition("the replayed record is a message, once", WAIT, twice).await?;
    let refused = dead_letters(&deployment, &["show", "--topic", "ingest", "--offset", "999"]).unwrap_err().to_string();
    assert!(refused.contains("kept are 0 to"), "{refused}");
    deployment.stop().await
}
