//! Whatever comes in, the answer is clear and nothing is lost.

use crate::{Client, Deployment, Resume, WAIT};
use anyhow::{Result, ensure};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::participant::group;

pub async fn frames_are_refused_and_the_connection_survives(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let at_ann = deployment.connect(&users[0], 0, Resume::None).await?;
    let long = "x".repeat(65_537);
    let cases = [
        ("this is not JSON", "invalid_json", None),
        ("{\"type\":", "invalid_json", None),
        ("[1,2,3]", "invalid_json", None),
        ("{}", "missing_field", None),
        (r#"{"type":"DANCE"}"#, "unknown_type", None),
        (r#"{"type":"SEND","clientMsgId":"b1","conversationId":"nowhere"}"#, "missing_field", Some("b1")),
        (
            r#"{"type":"SEND","clientMsgId":"b2","conversationId":"nowhere","content":"x"}"#,
            "unknown_conversation",
            Some("b2"),
        ),
        (r#"{"type":"TYPING","conversationId":"nowhere","isTyping":1}"#, "invalid_field", None),
        (r#"{"type":"CONNECT"}"#, "already_connected", None),
    ];
    for (text, code, client_msg_id) in cases {
        let from = at_ann.history().len();
        at_ann.send_raw(Message::text(text)).await?;
        let error = at_ann.wait_from(from, |frame| frame["type"] == "ERROR", WAIT).await?;
        ensure!(code.is_empty() || error["code"] == code, "{text} was answered by {error}");
        ensure!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
        ensure!(error["clientMsgId"].as_str() == client_msg_id, "{text}: {error}");
    }
    for (id, content, code) in [("b3", "", "invalid_field"), ("b4", long.as_str(), "payload_too_large")] {
        let from = at_ann.history().len();
        at_ann.send_message(&conversation, id, content).await?;
        let error = at_ann.wait_from(from, |frame| frame["type"] == "ERROR", WAIT).await?;
        ensure!(error["code"] == code && error["clientMsgId"] == id, "{error}");
    }
    let ack = at_ann.send_and_ack(&conversation, "good", "still here", WAIT).await?;
    ensure!(ack["seq"] == 1, "a refused message took a seq: {ack}");
    Ok(())
}

pub async fn what_cannot_be_survived_closes_with_its_reason(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let url = &deployment.gateway_ws_urls()[0];

    let huge = deployment.connect(&users[0], 0, Resume::None).await?;
    huge.send_message(&conversation, "huge", &"x".repeat(1024 * 1024)).await.ok();
    let closed = huge.closed(WAIT).await?;
    ensure!(closed.as_ref().is_some_and(|(code, _)| *code == 1009), "1 MiB: {closed:?}");
    ensure!(
        huge.history().received().iter().any(|frame| frame["code"] == "payload_too_large"),
        "no ERROR before the close"
    );

    let binary = deployment.connect(&users[0], 0, Resume::None).await?;
    binary.send_raw(Message::binary(vec![1, 2, 3])).await?;
    let closed = binary.closed(WAIT).await?;
    ensure!(closed.as_ref().is_some_and(|(code, _)| *code == 1003), "binary: {closed:?}");

    let early = Client::open(url).await?;
    early.send_message(&conversation, "early", "no CONNECT yet").await?;
    let error = early.wait_for(|frame| frame["type"] == "ERROR", WAIT).await?;
    ensure!(error["code"] == "not_connected" && error["clientMsgId"] == "early", "{error}");

    let (_, log) = users[0].api.events(&conversation, 0, 10).await?;
    ensure!(log["events"] == json!([]), "something was stored: {log}");
    Ok(())
}

pub async fn rest_answers_problem_documents(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let api = &users[0].api;
    let messages = format!("/v1/conversations/{conversation}/messages");
    let cases = [
        ("GET", "/v1/nothing".to_owned(), None, 404, "not_found"),
        ("DELETE", "/v1/me".to_owned(), None, 405, "method_not_allowed"),
        ("GET", "/v1/conversations/nowhere/messages".to_owned(), None, 404, "unknown_conversation"),
        ("POST", messages.clone(), Some(json!({"content": "x"})), 422, "missing_field"),
        ("POST", messages.clone(), Some(json!({"clientMsgId": "a b", "content": "x"})), 422, "invalid_field"),
        ("POST", messages.clone(), Some(json!({"clientMsgId": "a", "content": 7})), 422, "invalid_field"),
        (
            "POST",
            messages.clone(),
            Some(json!({"clientMsgId": "a", "content": "x".repeat(70_000)})),
            413,
            "payload_too_large",
        ),
        (
            "POST",
            messages.clone(),
            Some(json!({"clientMsgId": "a", "content": "x".repeat(3_000_000)})),
            413,
            "payload_too_large",
        ),
        ("GET", format!("{messages}?limit=many"), None, 422, "invalid_field"),
        (
            "POST",
            "/v1/users".to_owned(),
            Some(json!({"username": users[0].username, "password": "long enough 1", "displayName": "x"})),
            409,
            "username_taken",
        ),
        (
            "POST",
            "/v1/users".to_owned(),
            Some(json!({"username": format!("zoe-{}", users[0].username), "password": "short", "displayName": "x"})),
            422,
            "invalid_field",
        ),
        (
            "POST",
            "/v1/login".to_owned(),
            Some(json!({"username": users[0].username, "password": "wrong password"})),
            401,
            "bad_credentials",
        ),
        (
            "POST",
            "/v1/conversations".to_owned(),
            Some(json!({"kind": "group", "memberIds": ["nobody"]})),
            422,
            "unknown_user",
        ),
    ];
    for (method, path, body, status, code) in cases {
        let shown = body.as_ref().map(|body| body.to_string().chars().take(60).collect::<String>());
        let (got, problem) = api.call(method.parse()?, &path, body).await?;
        ensure!(got == status && problem["code"] == code, "{method} {path} {shown:?}: {got} {problem}");
        ensure!(problem["status"] == status && problem["title"].is_string(), "{method} {path}: {problem}");
    }
    let http = reqwest::Client::new();
    let answer = http
        .post(format!("{}{messages}", deployment.api_bases()[0]))
        .bearer_auth(&users[0].token)
        .header("content-type", "application/json")
        .body("{not json")
        .send()
        .await?;
    ensure!(answer.status() == 400, "{}", answer.status());
    ensure!(answer.headers()["content-type"] == "application/problem+json", "{:?}", answer.headers());
    let answer = http.get(deployment.gateway_ws_urls()[0].replace("ws://", "http://")).send().await?;
    ensure!(answer.status() == 426 || answer.status() == 400, "GET /ws without upgrade: {}", answer.status());
    Ok(())
}
