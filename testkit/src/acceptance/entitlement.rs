//! Nobody receives, reads or sends what is not theirs.

use crate::{Client, Deployment, Resume, WAIT};
use anyhow::{Result, ensure};
use serde_json::json;

use super::participant::group;

pub async fn a_stranger_can_neither_send_nor_read_nor_receive(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let eve = deployment.user("eve").await?;
    let at_eve = deployment.connect(&eve, 0, Resume::None).await?;
    let at_bob = deployment.connect(&users[1], 0, Resume::None).await?;
    let at_ann = deployment.connect(&users[0], 1, Resume::None).await?;

    at_eve.send_message(&conversation, "e1", "let me in").await?;
    let error = at_eve.wait_for(|frame| frame["type"] == "ERROR", WAIT).await?;
    ensure!(error["code"] == "not_a_member" && error["clientMsgId"] == "e1", "{error}");
    let (status, refusal) = eve.api.send(&conversation, "e2", "let me in").await?;
    ensure!(status == 403 && refusal["code"] == "not_a_member", "{status} {refusal}");
    for path in ["messages", "events", "receipts"] {
        let (status, refusal) = eve.api.get(&format!("/v1/conversations/{conversation}/{path}")).await?;
        ensure!(status == 403, "eve reads {path}: {status} {refusal}");
    }
    let (status, refusal) = eve.api.add_member(&conversation, &eve.id).await?;
    ensure!(status == 403, "eve adds herself: {status} {refusal}");
    let (status, refusal) = eve.api.set_receipts(&conversation, 1, 1).await?;
    ensure!(status == 403, "eve confirms: {status} {refusal}");
    at_eve.send_frame(json!({"type": "TYPING", "conversationId": conversation, "isTyping": true})).await?;
    at_eve.wait_for(|frame| frame["type"] == "ERROR" && frame["clientMsgId"].is_null(), WAIT).await?;

    at_ann.send_and_ack(&conversation, "m1", "secret", WAIT).await?;
    at_bob.wait_for(|frame| frame["type"] == "MESSAGE" && frame["seq"] == 1, WAIT).await?;
    // claiming a position in it changes nothing
    let resume = Resume::Seqs([(conversation.clone(), 0)].into());
    let resumed = deployment.connect(&eve, 0, resume).await?;
    let (_, own) = eve.api.create_conversation("dm", &[&users[0].id]).await?;
    let own = own["id"].as_str().unwrap_or_default().to_owned();
    at_ann.send_and_ack(&own, "m2", "fence", WAIT).await?;
    for client in [&at_eve, &resumed] {
        client.wait_for(|frame| frame["type"] == "MESSAGE" && frame["conversationId"] == own.as_str(), WAIT).await?;
        let leaked: Vec<_> =
            client.frames_of(&conversation).into_iter().filter(|frame| frame["type"] != "ERROR").collect();
        ensure!(leaked.is_empty(), "eve received {leaked:?}");
    }
    Ok(())
}

pub async fn a_forged_sender_has_no_effect(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let at_ann = deployment.connect(&users[0], 0, Resume::None).await?;
    let at_bob = deployment.connect(&users[1], 1, Resume::None).await?;
    let forged = json!({"type": "SEND", "clientMsgId": "f1", "conversationId": conversation, "content": "I am bob",
        "senderId": users[1].id, "userId": users[1].id});
    at_ann.send_frame(forged).await?;
    let message = at_bob.wait_for(|frame| frame["type"] == "MESSAGE", WAIT).await?;
    ensure!(message["senderId"] == users[0].id.as_str(), "{message}");
    let body = json!({"clientMsgId": "f2", "content": "I am bob", "senderId": users[1].id});
    let (status, stored) = users[0].api.post(&format!("/v1/conversations/{conversation}/messages"), body).await?;
    ensure!(status == 201 && stored["senderId"] == users[0].id.as_str(), "{status} {stored}");
    Ok(())
}

pub async fn workspaces_and_tokens_are_checked(deployment: &Deployment) -> Result<()> {
    let ann = deployment.user("ann").await?;
    let url = &deployment.gateway_ws_urls()[0];
    for token in ["", "nonsense", "a.b.c", &format!("{}x", ann.token)] {
        let client = Client::open(url).await?;
        client.send_frame(json!({"type": "CONNECT", "token": token})).await?;
        let error = client.wait_for(|frame| frame["type"] == "ERROR", WAIT).await?;
        ensure!(error["code"] == "unauthenticated", "{error}");
        let closed = client.closed(WAIT).await?;
        ensure!(closed.as_ref().is_some_and(|(code, _)| *code == 4401), "{closed:?}");
        let (status, problem) = ann.api.with_token(token).get("/v1/me").await?;
        ensure!(status == 401 && problem["code"] == "unauthenticated", "{status} {problem}");
    }
    let (status, problem) = deployment.api()?.get("/v1/conversations").await?;
    ensure!(status == 401 && problem["code"] == "unauthenticated", "{status} {problem}");
    Ok(())
}
