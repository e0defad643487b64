//! gRPC: the service token, streams that survive bad items, reads for backfill, the connection table.

use std::time::Duration;

use chatcluster_contracts::{
    problem::Code,
    rpc::{
        AckOffsetRequest, Connection, CreateMessageRequest, GetAllConnectionsRequest, GetConnectionsByUserRequest,
        GetEventsRequest, GetHeadsRequest, GetMembersAtRequest, GetMembershipsRequest, GetOnlineUsersRequest,
        GetUserConversationsRequest, HelloRequest, RegisterConnectionRequest, StreamCreateMessagesRequest,
        UnregisterConnectionRequest, UpdateLastPingRequest, auth_service_client::AuthServiceClient,
        connection_manager_client::ConnectionManagerClient, stream_create_messages_response::Result as Answer,
    },
    topics::{Group, Topic},
};
use chatcluster_testkit::{User, WAIT};
use chatcluster_transport::event_log::Consumed;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code as Grpc;

use crate::platform::Platform;

async fn group() -> (Platform, User, User, String) {
    let platform = Platform::ready().await;
    let (ann, bob) = (platform.api().user("ann").await.unwrap(), platform.api().user("bob").await.unwrap());
    let (_, room) = ann.api.create_conversation("group", &[&bob.id]).await.unwrap();
    let room = room["id"].as_str().unwrap().to_owned();
    (platform, ann, bob, room)
}

fn send(sender: &str, room: &str, name: &str, content: &str) -> CreateMessageRequest {
    CreateMessageRequest {
        sender_id: sender.into(),
        workspace_id: "default".into(),
        conversation_id: room.into(),
        client_msg_id: name.into(),
        content: content.into(),
        ..CreateMessageRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_without_the_service_token() {
    let platform = Platform::ready().await;
    let hello = || HelloRequest { name: "gateway-1".into() };
    let refused = AuthServiceClient::new(platform.channel()).hello(hello()).await.unwrap_err();
    assert_eq!(refused.code(), Grpc::Unauthenticated);
    let answer = AuthServiceClient::new(platform.service()).hello(hello()).await.unwrap();
    assert_eq!(answer.into_inner().message, "gateway-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_item_is_answered_and_the_stream_goes_on() {
    let (platform, ann, _, room) = group().await;
    let (requests, stream) = tokio::sync::mpsc::channel(64);
    let item = |correlation, message| StreamCreateMessagesRequest { correlation, message };
    let mut answers =
        platform.messages().stream_create_messages(ReceiverStream::new(stream)).await.unwrap().into_inner();
    let items = [
        item(1, Some(send(&ann.id, &room, "m1", "hello"))),
        item(2, None),
        item(3, Some(send(&ann.id, "nowhere", "m3", "hello"))),
        item(4, Some(send("ghost", &room, "m4", "hello"))),
        item(5, Some(send(&ann.id, &room, "", "hello"))),
        item(6, Some(send(&ann.id, &room, "m6", ""))),
        item(7, Some(send(&ann.id, &room, "m1", "hello"))),
        item(8, Some(send(&ann.id, &room, "m8", "last"))),
    ];
    for item in items {
        requests.send(item).await.unwrap();
    }
    drop(requests);
    let mut outcomes = std::collections::BTreeMap::new();
    while let Some(answer) = answers.message().await.unwrap() {
        let outcome = match answer.result.unwrap() {
            Answer::Created(created) => Ok((created.seq, created.repeated)),
            Answer::Problem(problem) => Err(Code::parse(&problem.code).unwrap()),
        };
        outcomes.insert(answer.correlation, outcome);
    }
    let expected = [
        Ok((1, false)),
        Err(Code::MissingField),
        Err(Code::UnknownConversation),
        Err(Code::NotAMember),
        Err(Code::InvalidField),
        Err(Code::InvalidField),
        Ok((1, true)),
        Ok((2, false)),
    ];
    assert_eq!(outcomes.into_values().collect::<Vec<_>>(), expected);
    let refused = platform.messages().create_message(send("ghost", &room, "m", "x")).await.unwrap_err();
    assert_eq!(refused.code(), Grpc::PermissionDenied);
    assert_eq!(refused.metadata().get("problem-code").unwrap(), "not_a_member");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_streams_sends_keep_their_order() {
    let (platform, ann, _, room) = group().await;
    let (requests, stream) = tokio::sync::mpsc::channel(500);
    for i in 1..=400_u64 {
        let message = Some(send(&ann.id, &room, &format!("m{i}"), "x"));
        requests.send(StreamCreateMessagesRequest { correlation: i, message }).await.unwrap();
    }
    drop(requests);
    let mut answers =
        platform.messages().stream_create_messages(ReceiverStream::new(stream)).await.unwrap().into_inner();
    let mut count = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        let Some(Answer::Created(created)) = answer.result else { panic!("{answer:?}") };
        assert_eq!(created.seq, answer.correlation);
        count += 1;
    }
    assert_eq!(count, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_read_heads_events_and_members() {
    let (platform, ann, bob, room) = group().await;
    let mut messages = platform.messages();
    for i in 1..=5 {
        messages.create_message(send(&ann.id, &room, &format!("m{i}"), "x")).await.unwrap();
    }
    bob.api.set_receipts(&room, 3, 0).await.unwrap();
    let user_ids = vec![bob.id.clone(), "ghost".into(), ann.id.clone()];
    let request = GetUserConversationsRequest { user_ids, workspace_id: "default".into(), begun_since_ms: 0 };
    let listed = messages.get_user_conversations(request).await.unwrap().into_inner();
    assert_eq!((listed.conversations.len(), listed.users), (2, 3));
    for (user, delivered) in [(&ann.id, 0), (&bob.id, 3)] {
        let place = listed.conversations.iter().find(|place| place.user_id == *user).unwrap();
        assert_eq!((place.head, place.joined_seq, place.delivered_seq), (5, 0, delivered));
    }
    let conversation_ids = vec![room.clone(), "nowhere".into(), "not an id".into()];
    let heads = messages.get_heads(GetHeadsRequest { conversation_ids }).await.unwrap().into_inner().heads;
    assert_eq!((heads.len(), heads[0].head), (1, 5));
    let request = GetEventsRequest { conversation_id: room.clone(), after: 1, until: 4, limit: 2 };
    let page = messages.get_events(request).await.unwrap().into_inner();
    assert_eq!(page.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [2, 3]);
    assert_eq!((page.head, page.oldest, page.events[0].event_type.as_str()), (5, 1, "MESSAGE"));
    let request = GetMembersAtRequest { conversation_id: room.clone(), seq: 2, max: 0 };
    assert_eq!(messages.get_members_at(request.clone()).await.unwrap().into_inner().user_ids.len(), 2);
    for (max, many) in [(1, true), (2, false)] {
        let request = GetMembersAtRequest { max, ..request.clone() };
        let answer = messages.get_members_at(request).await.unwrap().into_inner();
        assert_eq!((answer.many, answer.user_ids.len()), (many, if many { 0 } else { 2 }), "at most {max}");
        assert_eq!(answer.facts.unwrap().member_count, 2);
    }
    let user_ids = vec![ann.id, "ghost".into()];
    let request = GetMembershipsRequest { conversation_id: room, user_ids, ..GetMembershipsRequest::default() };
    let found = messages.get_memberships(request).await.unwrap().into_inner();
    assert_eq!((found.memberships.len(), found.head), (1, 5));
    let request = GetEventsRequest { conversation_id: "nowhere".into(), ..GetEventsRequest::default() };
    assert_eq!(messages.get_events(request).await.unwrap_err().code(), Grpc::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_come_by_stream_and_senders_hear_of_them() {
    let (platform, ann, bob, room) = group().await;
    let mut messages = platform.messages();
    for i in 1..=3 {
        messages.create_message(send(&ann.id, &room, &format!("m{i}"), "x")).await.unwrap();
    }
    let mut consumer = platform.log.subscribe(Group::Fanout, &[Topic::Status]).await.unwrap();
    let ack = |correlation, user: &str, delivered| AckOffsetRequest {
        correlation,
        user_id: user.into(),
        workspace_id: "default".into(),
        conversation_id: room.clone(),
        delivered_seq: Some(delivered),
        read_seq: None,
    };
    let requests = tokio_stream::iter(vec![ack(1, &bob.id, 1), ack(2, "ghost", 1), ack(3, &bob.id, 99)]);
    let mut answers = messages.stream_ack_offsets(requests).await.unwrap().into_inner();
    let mut outcomes = std::collections::BTreeMap::new();
    while let Some(answer) = answers.message().await.unwrap() {
        outcomes.insert(answer.correlation, (answer.delivered_seq, answer.problem.map(|problem| problem.code)));
    }
    assert_eq!(outcomes[&2], (0, Some("not_a_member".into())));
    assert_eq!(outcomes[&3], (3, None));
    let told = tokio::time::timeout(WAIT, async {
        loop {
            if let Ok(Consumed::Record(record)) = consumer.next().await {
                let status: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
                if status["seq"] == 3 && status["status"] != "SENT" {
                    return (record, status);
                }
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(told.0.key.as_deref(), Some(ann.id.as_bytes()));
    assert_eq!((&told.1["status"], &told.1["userId"]), (&"DELIVERED".into(), &bob.id.clone().into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_live_as_long_as_their_gateway() {
    let (platform, ann, bob, _) = group().await;
    let mut manager = ConnectionManagerClient::new(platform.service());
    let connection = |id: &str, user: &str, boot: &str| Connection {
        connection_id: format!("gw-1~{id}"),
        user_id: user.into(),
        workspace_id: "default".into(),
        node: "gw-1".into(),
        boot_id: boot.into(),
        connected_at_ms: 1,
        last_ping_ms: 0,
    };
    let ping = |boot: &str| UpdateLastPingRequest { boot_id: boot.into(), node: "gw-1".into(), connection_ids: vec![] };
    assert!(manager.update_last_ping(ping("b1")).await.unwrap().into_inner().register_again, "an unknown boot");
    let connections =
        vec![connection("1", &ann.id, "b1"), connection("2", &ann.id, "b1"), connection("3", &bob.id, "b1")];
    manager.register_connection(RegisterConnectionRequest { connections: connections.clone() }).await.unwrap();
    manager.register_connection(RegisterConnectionRequest { connections }).await.unwrap();
    assert!(!manager.update_last_ping(ping("b1")).await.unwrap().into_inner().register_again);
    let of = GetConnectionsByUserRequest { user_id: ann.id.clone() };
    assert_eq!(manager.get_connections_by_user(of.clone()).await.unwrap().into_inner().connections.len(), 2);
    let online = GetOnlineUsersRequest { workspace_id: "default".into() };
    assert_eq!(manager.get_online_users(online).await.unwrap().into_inner().user_ids.len(), 2);
    let unregister = |boot: &str| UnregisterConnectionRequest {
        node: "gw-1".into(),
        boot_id: boot.into(),
        connection_ids: vec!["gw-1~1".into(), "gw-1~unknown".into()],
    };
    manager.unregister_connection(unregister("b0")).await.unwrap();
    assert_eq!(
        manager.get_connections_by_user(of.clone()).await.unwrap().into_inner().connections.len(),
        2,
        "another boot's"
    );
    manager.unregister_connection(unregister("b1")).await.unwrap();
    assert_eq!(manager.get_connections_by_user(of).await.unwrap().into_inner().connections.len(), 1);
    let mut all = manager.get_all_connections(GetAllConnectionsRequest {}).await.unwrap().into_inner();
    let mut ids = Vec::new();
    while let Some(page) = all.message().await.unwrap() {
        ids.extend(page.connections.into_iter().map(|connection| connection.connection_id));
    }
    assert_eq!(ids, ["gw-1~2", "gw-1~3"]);
    let mut bad = connection("9", &ann.id, "b1");
    bad.node = "gw-2".into();
    let refused = manager.register_connection(RegisterConnectionRequest { connections: vec![bad] }).await.unwrap_err();
    assert_eq!(refused.code(), Grpc::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_answers_what_was_taken_and_ends_the_streams() {
    let (platform, ann, _, room) = group().await;
    let (requests, stream) = tokio::sync::mpsc::channel(64);
    let mut answers =
        platform.messages().stream_create_messages(ReceiverStream::new(stream)).await.unwrap().into_inner();
    let message = Some(send(&ann.id, &room, "m1", "hello"));
    requests.send(StreamCreateMessagesRequest { correlation: 1, message }).await.unwrap();
    assert!(answers.message().await.unwrap().is_some());
    tokio::time::timeout(Duration::from_secs(10), platform.core.stop()).await.unwrap();
    assert!(answers.message().await.unwrap().is_none(), "the stream outlived core");
}
