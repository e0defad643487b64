//! The way of one message: signed up over REST, sent over gRPC, read from the event log.

use chatcluster_contracts::{
    event::Event,
    rpc::CreateMessageRequest,
    seq::Seq,
    topics::{Group, Topic},
};
use chatcluster_testkit::WAIT;
use chatcluster_transport::event_log::Consumed;

use crate::platform::Platform;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_sent_over_grpc_reaches_the_event_log() {
    let platform = Platform::ready().await;
    let (ann, bob) = (platform.api().user("ann").await.unwrap(), platform.api().user("bob").await.unwrap());
    let (status, room) = ann.api.create_conversation("group", &[&bob.id]).await.unwrap();
    assert_eq!((status, &room["lastSeq"]), (201, &0.into()), "{room}");
    let mut consumer = platform.log.subscribe(Group::Fanout, &[Topic::Messages]).await.unwrap();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = CreateMessageRequest {
        sender_id: ann.id.clone(),
        workspace_id: "default".into(),
        conversation_id: room["id"].as_str().unwrap().into(),
        client_msg_id: "m1".into(),
        content: "hello".into(),
        traceparent: trace.into(),
        ..CreateMessageRequest::default()
    };
    let created = platform.messages().create_message(request).await.unwrap().into_inner();
    assert_eq!((created.seq, created.repeated), (1, false));
    let record = tokio::time::timeout(WAIT, async {
        loop {
            if let Ok(Consumed::Record(record)) = consumer.next().await {
                return record;
            }
        }
    })
    .await
    .unwrap();
    let event: Event = serde_json::from_slice(&record.value).unwrap();
    assert_eq!(event.seq(), Seq::new(1));
    assert_eq!(record.key.as_deref(), room["id"].as_str().map(str::as_bytes));
    assert_eq!(record.header("eventType"), Some("MESSAGE"));
    assert_eq!(record.header("traceparent"), Some(trace));
    assert_eq!(record.header("id").map(str::len), Some(36));
    platform.core.stop().await;
}
