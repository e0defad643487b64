//! REST: every refusal is a problem document with its code, and the resources do what they say.

use chatcluster_testkit::{Api, User};
use reqwest::Method;
use serde_json::{Value, json};

use crate::platform::Platform;

async fn group() -> (Platform, User, User, String) {
    let platform = Platform::ready().await;
    let (ann, bob) = (platform.api().user("ann").await.unwrap(), platform.api().user("bob").await.unwrap());
    let (_, room) = ann.api.create_conversation("group", &[&bob.id]).await.unwrap();
    let room = room["id"].as_str().unwrap().to_owned();
    (platform, ann, bob, room)
}

async fn call(api: &Api, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    api.call(method.parse::<Method>().unwrap(), path, body).await.unwrap()
}

/// Who calls, method, path, body; status and code.
type Case<'a> = (&'a Api, &'static str, String, Option<Value>, u16, &'static str);

async fn refused(cases: Vec<Case<'_>>) {
    for (api, method, path, body, status, code) in cases {
        let shown = body.as_ref().map(|body| body.to_string().chars().take(60).collect::<String>());
        let (got, problem) = call(api, method, &path, body).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{method} {path} {shown:?}: {problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        if status == 422 {
            assert!(problem["field"].is_string(), "{method} {path} {shown:?}: {problem}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_a_problem_with_its_code() {
    let (platform, ann, bob, room) = group().await;
    let eve = platform.api().user("eve").await.unwrap();
    let messages = format!("/v1/conversations/{room}/messages");
    let members = format!("/v1/conversations/{room}/members");
    let nobody = platform.api();
    let cases: Vec<Case> = vec![
        (&ann.api, "GET", "/v1/nothing".into(), None, 404, "not_found"),
        (&ann.api, "DELETE", "/v1/me".into(), None, 405, "method_not_allowed"),
        (&nobody, "GET", "/v1/me".into(), None, 401, "unauthenticated"),
        (&ann.api, "GET", "/v1/users?username=ghost".into(), None, 404, "unknown_user"),
        (&ann.api, "GET", "/v1/users".into(), None, 422, "missing_field"),
        (&ann.api, "GET", "/v1/conversations/nowhere/messages".into(), None, 404, "unknown_conversation"),
        (&ann.api, "GET", "/v1/conversations/a%20b".into(), None, 404, "unknown_conversation"),
        (&eve.api, "GET", messages.clone(), None, 403, "not_a_member"),
        (&eve.api, "POST", messages.clone(), Some(json!({"clientMsgId": "a", "content": "x"})), 403, "not_a_member"),
        (&eve.api, "POST", members.clone(), Some(json!({"userId": eve.id})), 403, "not_a_member"),
        (&bob.api, "DELETE", format!("{members}/{}", ann.id), None, 403, "forbidden"),
        (&ann.api, "POST", members.clone(), Some(json!({"userId": "ghost"})), 422, "unknown_user"),
        (&ann.api, "POST", messages.clone(), Some(json!({"content": "x"})), 422, "missing_field"),
        (&ann.api, "POST", messages.clone(), Some(json!({"clientMsgId": "a b", "content": "x"})), 422, "invalid_field"),
        (&ann.api, "POST", messages.clone(), Some(json!({"clientMsgId": "a", "content": 7})), 422, "invalid_field"),
        (&ann.api, "POST", messages.clone(), Some(json!({"clientMsgId": "a", "content": " "})), 422, "invalid_field"),
        (
            &ann.api,
            "POST",
            messages.clone(),
            Some(json!({"clientMsgId": "a", "content": "x".repeat(70_000)})),
            413,
            "payload_too_large",
        ),
        (
            &ann.api,
            "POST",
            messages.clone(),
            Some(json!({"clientMsgId": "a", "content": "x".repeat(3_000_000)})),
            413,
            "payload_too_large",
        ),
        (
            &ann.api,
            "POST",
            messages.clone(),
            Some(json!({"clientMsgId": "a", "content": "x", "threadRootId": "m"})),
            404,
            "unknown_message",
        ),
        (&ann.api, "GET", format!("{messages}?limit=many"), None, 422, "invalid_field"),
        (&ann.api, "GET", format!("{messages}?before=3&after=1"), None, 422, "invalid_field"),
        (&ann.api, "GET", "/v1/sync?position=made-up".into(), None, 422, "invalid_field"),
        (&ann.api, "POST", "/v1/conversations".into(), Some(json!({"kind": "party"})), 422, "invalid_field"),
        (
            &ann.api,
            "POST",
            "/v1/conversations".into(),
            Some(json!({"kind": "group", "open": true})),
            422,
            "invalid_field",
        ),
        (
            &ann.api,
            "POST",
            "/v1/conversations".into(),
            Some(json!({"kind": "dm", "memberIds": []})),
            422,
            "invalid_field",
        ),
        (
            &ann.api,
            "POST",
            "/v1/conversations".into(),
            Some(json!({"kind": "group", "memberIds": ["ghost"]})),
            422,
            "unknown_user",
        ),
        (&ann.api, "POST", format!("/v1/conversations/{room}/receipts"), Some(json!({})), 422, "missing_field"),
    ];
    refused(cases).await;
    let (_, log) = ann.api.events(&room, 0, 10).await.unwrap();
    assert_eq!(log["events"], json!([]), "something was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_at_the_door_have_their_codes_too() {
    let platform = Platform::ready().await;
    platform.api().user("ann").await.unwrap();
    let nobody = platform.api();
    let cases: Vec<Case> = vec![
        (
            &nobody,
            "POST",
            "/v1/users".into(),
            Some(json!({"username": "ann", "password": "long enough", "displayName": "x"})),
            409,
            "username_taken",
        ),
        (
            &nobody,
            "POST",
            "/v1/users".into(),
            Some(json!({"username": "zoe", "password": "short"})),
            422,
            "invalid_field",
        ),
        (
            &nobody,
            "POST",
            "/v1/login".into(),
            Some(json!({"username": "ann", "password": "wrong password"})),
            401,
            "bad_credentials",
        ),
        (&nobody, "POST", "/v1/token/refresh".into(), Some(json!({"refreshToken": "made up"})), 401, "unauthenticated"),
    ];
    refused(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_json_is_told_apart() {
    let (platform, ann, _, room) = group().await;
    let url = format!("{}/v1/conversations/{room}/messages", platform.base);
    for (content_type, body, status, code) in [
        ("application/json", "{not json", 400, "invalid_json"),
        ("application/json", "[]", 400, "invalid_json"),
        ("text/plain", "{}", 415, "unsupported_media_type"),
    ] {
        let request = reqwest::Client::new().post(&url).bearer_auth(&ann.token).header("content-type", content_type);
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_is_repeated_and_listed() {
    let (_platform, ann, bob, room) = group().await;
    let (status, first) = ann.api.send(&room, "m1", "hello").await.unwrap();
    assert_eq!((status, &first["seq"], &first["senderId"]), (201, &json!(1), &json!(ann.id)));
    let (status, again) = ann.api.send(&room, "m1", "hello").await.unwrap();
    assert_eq!((status, &again["messageId"]), (200, &first["messageId"]));
    let (status, clash) = ann.api.send(&room, "m1", "other").await.unwrap();
    assert_eq!((status, &clash["code"]), (409, &json!("client_msg_id_reused")));
    for i in 2..=6 {
        bob.api.send(&room, &format!("m{i}"), "x").await.unwrap();
    }
    let seqs = async |query: &str| {
        let (_, page) = ann.api.get(&format!("/v1/conversations/{room}/messages{query}")).await.unwrap();
        let seqs: Vec<u64> = page["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()).collect();
        (seqs, page["more"].as_bool().unwrap())
    };
    assert_eq!(seqs("").await, ((1..=6).collect(), false));
    assert_eq!(seqs("?limit=2").await, (vec![5, 6], true));
    assert_eq!(seqs("?before=3&limit=2").await, (vec![1, 2], false));
    assert_eq!(seqs("?after=2&limit=3").await, (vec![3, 4, 5], true));
    let (_, list) = ann.api.conversations().await.unwrap();
    let mine = &list["conversations"][0];
    assert_eq!((&mine["lastSeq"], &mine["readSeq"], &mine["unread"]), (&json!(6), &json!(0), &json!(5)));
    let (_, receipt) = ann.api.set_receipts(&room, 6, 4).await.unwrap();
    assert_eq!((&receipt["deliveredSeq"], &receipt["readSeq"]), (&json!(6), &json!(4)));
    let (_, list) = ann.api.conversations().await.unwrap();
    assert_eq!(list["conversations"][0]["unread"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_begins_with_the_join_in_groups_and_with_the_channel_in_channels() {
    let (platform, ann, bob, room) = group().await;
    let cem = platform.api().user("cem").await.unwrap();
    let body = json!({"kind": "channel", "name": "all", "open": true});
    let (_, channel) = ann.api.post("/v1/conversations", body).await.unwrap();
    let channel = channel["id"].as_str().unwrap();
    ann.api.send(&room, "g1", "before").await.unwrap();
    ann.api.send(channel, "c1", "before").await.unwrap();
    assert_eq!(ann.api.add_member(&room, &cem.id).await.unwrap().0, 201);
    assert_eq!(ann.api.add_member(&room, &cem.id).await.unwrap().0, 200);
    assert_eq!(cem.api.add_member(channel, &cem.id).await.unwrap().0, 201, "an open channel is joined by oneself");
    ann.api.send(&room, "g3", "after").await.unwrap();
    let seqs = async |room: &str| {
        let (_, page) = cem.api.events(room, 0, 10).await.unwrap();
        page["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(seqs(&room).await, [2, 3]);
    assert_eq!(seqs(channel).await, [1, 2]);
    assert_eq!(ann.api.remove_member(&room, &cem.id).await.unwrap().0, 204);
    assert_eq!(ann.api.remove_member(&room, &cem.id).await.unwrap().0, 204);
    assert_eq!(cem.api.events(&room, 0, 10).await.unwrap().0, 403);
    let (_, members) = bob.api.get(&format!("/v1/conversations/{room}/members")).await.unwrap();
    assert_eq!(members["members"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_brings_everything_missed_in_pages() {
    let (_platform, ann, bob, room) = group().await;
    let (_, other) = ann.api.create_conversation("group", &[&bob.id]).await.unwrap();
    let other = other["id"].as_str().unwrap();
    for i in 0..7 {
        ann.api.send(&room, &format!("a{i}"), "x").await.unwrap();
        ann.api.send(other, &format!("b{i}"), "x").await.unwrap();
    }
    bob.api.set_receipts(&room, 2, 0).await.unwrap();
    ann.api.remove_member(other, &bob.id).await.unwrap();
    ann.api.send(other, "late", "not for bob").await.unwrap();
    let (mut position, mut events, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let query = if position.is_empty() { String::new() } else { format!("&position={position}") };
        let (status, page) = bob.api.get(&format!("/v1/sync?limit=4{query}")).await.unwrap();
        assert_eq!(status, 200, "{page}");
        events.extend(page["events"].as_array().unwrap().clone());
        position = page["position"].as_str().unwrap().to_owned();
        pages += 1;
        if page["more"] == false {
            break;
        }
    }
    let seqs = |room: &str| -> Vec<u64> {
        events.iter().filter(|e| e["conversationId"] == room).map(|e| e["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(seqs(&room), (3..=7).collect::<Vec<_>>(), "from the delivered watermark on");
    assert_eq!(seqs(other), (1..=8).collect::<Vec<_>>(), "up to leaving");
    assert!(pages >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_and_the_states_are_public() {
    let (platform, ..) = group().await;
    let api = platform.api();
    let (status, document) = api.get("/openapi.json").await.unwrap();
    assert_eq!(status, 200);
    for path in ["/v1/users", "/v1/conversations/{id}/messages", "/v1/sync", "/v1/token/refresh"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    assert_eq!(api.get("/.well-known/jwks.json").await.unwrap().1["keys"][0]["crv"], "Ed25519");
    let (status, ready) = api.get("/readyz").await.unwrap();
    assert_eq!((status, &ready["dependencies"]["database"]["up"]), (200, &json!(true)), "{ready}");
    let (_, metrics) = api.get("/metrics").await.unwrap();
    assert!(metrics.as_str().unwrap().contains("chatcluster_core_outbox_rows"), "{metrics}");
}
