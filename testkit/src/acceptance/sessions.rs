//! What a session may do besides messages, and when it must end.

use crate::{Client, Deployment, Resume, WAIT, await_condition};
use anyhow::{Result, ensure};
use serde_json::json;

use super::participant::group;

/// Needs tokens that live for seconds, so it starts a deployment of its own beside the one it is given.
pub async fn an_open_socket_is_closed_at_expiry(deployment: &Deployment) -> Result<()> {
    let mut builder = Deployment::builder().env("CHATCLUSTER_ACCESS_TOKEN_TTL", "4s");
    builder =
        if deployment.is_embedded() { builder.embedded() } else { builder.servers(crate::Servers::shared().await?) };
    let short = builder.start().await?;
    let ann = short.user("ann").await?;
    let client = short.connect(&ann, 0, Resume::None).await?;
    let closed = client.closed(WAIT).await?;
    ensure!(closed.as_ref().is_some_and(|(code, _)| *code == 4410), "{closed:?}");
    let refused = Client::connect(&short.gateway_ws_urls()[0], &ann.token, Resume::None).await;
    ensure!(refused.as_ref().is_err_and(|error| format!("{error:#}").contains("token_expired")), "{refused:?}");
    // REST allows for clocks that differ by a few seconds
    await_condition("REST to refuse the token", WAIT, || async {
        let (status, problem) = ann.api.get("/v1/me").await?;
        ensure!(status == 401 && problem["code"] == "token_expired", "{status} {problem}");
        Ok(())
    })
    .await?;
    short.stop().await
}

pub async fn a_ticket_opens_one_session(deployment: &Deployment) -> Result<()> {
    let ann = deployment.user("ann").await?;
    let (status, answer) = ann.api.post("/v1/tickets", json!({})).await?;
    ensure!(status == 201, "{status} {answer}");
    let url = format!("{}?ticket={}", deployment.gateway_ws_urls()[0], answer["ticket"].as_str().unwrap_or_default());
    let client = Client::open(&url).await?;
    client.send_frame(json!({"type": "CONNECT"})).await?;
    let connected = client.wait_for(|frame| frame["type"] == "CONNECTED", WAIT).await?;
    ensure!(connected["userId"] == ann.id.as_str(), "{connected}");
    let again = Client::open(&url).await;
    ensure!(again.is_err(), "a ticket was good twice");
    Ok(())
}

pub async fn receipts_reach_the_sender_as_status(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let at_ann = deployment.connect(&users[0], 0, Resume::None).await?;
    let at_bob = deployment.connect(&users[1], 1, Resume::None).await?;
    let ack = at_ann.send_and_ack(&conversation, "m1", "hello", WAIT).await?;
    at_bob.wait_for(|frame| frame["type"] == "MESSAGE", WAIT).await?;
    at_bob.send_frame(json!({"type": "RECEIPT", "conversationId": conversation, "deliveredSeq": 1})).await?;
    let delivered = at_ann.wait_for(|frame| frame["type"] == "STATUS" && frame["status"] == "DELIVERED", WAIT).await?;
    ensure!(delivered["messageId"] == ack["messageId"] && delivered["userId"] == users[1].id.as_str(), "{delivered}");
    at_bob.send_frame(json!({"type": "RECEIPT", "conversationId": conversation, "readSeq": 1})).await?;
    at_ann.wait_for(|frame| frame["type"] == "STATUS" && frame["status"] == "READ", WAIT).await?;
    let (_, receipts) = users[0].api.receipts(&conversation).await?;
    ensure!(receipts.to_string().contains("\"readSeq\":1"), "{receipts}");
    // unread counts what others wrote and the reader has not read
    at_ann.send_and_ack(&conversation, "m2", "unread", WAIT).await?;
    let (_, list) = users[1].api.conversations().await?;
    let mine = &list["conversations"][0];
    ensure!(mine["lastSeq"] == 2 && mine["readSeq"] == 1 && mine["unread"] == 1, "{list}");
    Ok(())
}

pub async fn typing_reaches_the_others(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let at_ann = deployment.connect(&users[0], 0, Resume::None).await?;
    let at_bob = deployment.connect(&users[1], 1, Resume::None).await?;
    at_ann.send_and_ack(&conversation, "m1", "hello", WAIT).await?;
    at_bob.wait_for(|frame| frame["type"] == "MESSAGE", WAIT).await?;
    // typing is worth little: it may be dropped while consumers are still joining, so a typist says it again
    await_condition("TYPING at bob", WAIT, || async {
        at_ann.send_frame(json!({"type": "TYPING", "conversationId": conversation, "isTyping": true})).await?;
        at_bob.wait_for(|frame| frame["type"] == "TYPING", std::time::Duration::from_secs(1)).await
    })
    .await
    .and_then(|typing| {
        ensure!(typing["userId"] == users[0].id.as_str() && typing["isTyping"] == true, "{typing}");
        Ok(())
    })?;
    ensure!(!at_ann.history().received().iter().any(|frame| frame["type"] == "TYPING"), "the typist was told");
    at_ann.send_frame(json!({"type": "PING"})).await?;
    at_ann.wait_for(|frame| frame["type"] == "PONG", WAIT).await?;
    Ok(())
}
