//! Coming back: exactly what was missed, then live events.

use std::collections::BTreeMap;

use crate::{Client, Deployment, Resume, WAIT};
use anyhow::{Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::participant::group;

async fn wait_message(client: &Client, seq: u64) -> Result<()> {
    client.wait_for(|frame| frame["type"] == "MESSAGE" && frame["seq"] == seq, WAIT).await.map(|_| ())
}

pub async fn a_client_that_resumes_gets_exactly_what_it_missed(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let at_ann = deployment.connect(&users[0], 0, Resume::None).await?;
    let at_bob = deployment.connect(&users[1], 1, Resume::None).await?;
    for i in 1..=10 {
        at_ann.send_and_ack(&conversation, &format!("m{i}"), "seen", WAIT).await?;
    }
    wait_message(&at_bob, 10).await?;
    at_bob.abort().await;
    for i in 11..=60 {
        at_ann.send_and_ack(&conversation, &format!("m{i}"), "missed", WAIT).await?;
    }
    // on the other gateway, while messages go on
    let resume = Resume::Seqs(BTreeMap::from([(conversation.clone(), 10)]));
    let again = deployment.connect(&users[1], 0, resume).await?;
    for i in 61..=70 {
        at_ann.send_and_ack(&conversation, &format!("m{i}"), "live", WAIT).await?;
    }
    wait_message(&again, 70).await?;
    ensure!(again.seqs_of(&conversation) == (11..=70).collect::<Vec<u64>>(), "{:?}", again.seqs_of(&conversation));
    Ok(())
}

pub async fn a_position_resumes_like_a_map(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let at_ann = deployment.connect(&users[0], 0, Resume::None).await?;
    let at_bob = deployment.connect(&users[1], 1, Resume::None).await?;
    // a position comes now and then: enough messages that one does
    let mut sent = 0;
    let position = loop {
        for _ in 0..50 {
            sent += 1;
            at_ann.send_and_ack(&conversation, &format!("m{sent}"), "hi", WAIT).await?;
        }
        wait_message(&at_bob, sent).await?;
        if let Some(frame) = at_bob.history().received().into_iter().rfind(|frame| frame["type"] == "POSITION") {
            break frame["position"].as_str().unwrap_or_default().to_owned();
        }
        ensure!(sent < 1000, "no POSITION after {sent} messages");
    };
    let frames = at_bob.history().received();
    let at = frames.iter().rposition(|frame| frame["type"] == "POSITION").unwrap_or(0);
    let before =
        frames[..at].iter().filter(|frame| frame["type"] == "MESSAGE").filter_map(|frame| frame["seq"].as_u64());
    let last = before.max().unwrap_or(0);
    at_bob.abort().await;
    let again = deployment.connect(&users[1], 0, Resume::Position(position)).await?;
    at_ann.send_and_ack(&conversation, "one-more", "hi", WAIT).await?;
    wait_message(&again, sent + 1).await?;
    let expected: Vec<u64> = (last + 1..=sent + 1).collect();
    ensure!(again.seqs_of(&conversation) == expected, "after {last}: {:?}", again.seqs_of(&conversation));
    Ok(())
}

pub async fn a_session_without_resume_goes_on_from_the_delivered_watermark(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let at_ann = deployment.connect(&users[0], 0, Resume::None).await?;
    for i in 1..=5 {
        at_ann.send_and_ack(&conversation, &format!("m{i}"), "hi", WAIT).await?;
    }
    let (status, answer) = users[1].api.set_receipts(&conversation, 3, 2).await?;
    ensure!(status < 300, "{status} {answer}");
    let at_bob = deployment.connect(&users[1], 0, Resume::None).await?;
    wait_message(&at_bob, 5).await?;
    ensure!(at_bob.seqs_of(&conversation) == [4, 5], "{:?}", at_bob.seqs_of(&conversation));
    Ok(())
}

pub async fn too_long_an_absence_is_said_explicitly(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let at_ann = deployment.connect(&users[0], 0, Resume::None).await?;
    let count = 1100;
    let sends = (1..=count).map(|i| {
        let (api, conversation) = (&users[0].api, &conversation);
        async move { api.send(conversation, &format!("m{i}"), "hi").await }
    });
    let answers: Vec<_> = stream::iter(sends).buffer_unordered(16).try_collect().await?;
    ensure!(answers.iter().all(|(status, _)| *status == 201), "a send was refused");
    let at_bob = deployment.connect(&users[1], 1, Resume::None).await?;
    let resync = at_bob.wait_for(|frame| frame["type"] == "RESYNC", WAIT).await?;
    ensure!(resync["conversationId"] == conversation.as_str(), "{resync}");
    ensure!(resync["from"] == 1 && resync["head"].as_u64() >= Some(count), "{resync}");
    let head = resync["head"].as_u64().unwrap_or_default();
    at_ann.send_and_ack(&conversation, "after", "hi", WAIT).await?;
    wait_message(&at_bob, head + 1).await?;
    ensure!(at_bob.seqs_of(&conversation) == [head + 1], "{:?}", at_bob.seqs_of(&conversation));
    Ok(())
}
