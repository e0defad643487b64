//! The worker between an embedded log, streams in memory and a core that answers one question: who was a member when.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{
    any::Any,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chatcluster_contracts::{
    ids::{BootId, ConnectionId, Node, UserId},
    redis_keys::Keys,
    rpc::{
        AckOffsetRequest, AckOffsetResponse, CreateMessageRequest, CreateMessageResponse, GetEventsRequest,
        GetEventsResponse, GetHeadsRequest, GetHeadsResponse, GetMembersAtRequest, GetMembersAtResponse,
        GetMembershipsRequest, GetMembershipsResponse, GetUserConversationsRequest, GetUserConversationsResponse,
        StreamCreateMessagesRequest, StreamCreateMessagesResponse,
        message_service_server::{MessageService, MessageServiceServer},
    },
    stream_entry::StreamEntry,
    topics::Topic,
};
use chatcluster_service::{config::Secret, shutdown::Shutdown};
use chatcluster_testkit::{Kafka, Redis, install};
use chatcluster_transport::{
    channels::{ChannelLogs, Channels, rooms::RoomChannels},
    event_log::{
        EventLog, NewRecord,
        embedded::EmbeddedLog,
        kafka::{KafkaLog, KafkaOptions, provision},
    },
    gateway_streams::{
        Added, GatewayStreams, Registration, Registry, Signals, StreamError, StreamReader, StreamWriter,
        memory::MemoryStreams,
        redis::{RedisOptions, RedisStreams},
    },
};
use chatcluster_worker::{Options, Parts, Worker};
use tokio::{task::JoinHandle, time::timeout};
use tonic::{Request, Response, Status, Streaming, codegen::BoxStream, transport::server::TcpIncoming};

const WAIT: Duration = Duration::from_secs(20);
const LEASE: Duration = Duration::from_mins(1);

/// Knows the members of some conversations, and can be away.
#[derive(Clone, Default)]
struct FakeCore {
    members: Arc<HashMap<&'static str, Vec<&'static str>>>,
    away: Arc<AtomicBool>,
}

type Answer<T> = Result<Response<T>, Status>;

fn not_asked<T>() -> Answer<T> {
    Err(Status::unimplemented("the worker does not ask this"))
}

#[tonic::async_trait]
impl MessageService for FakeCore {
    type StreamCreateMessagesStream = BoxStream<StreamCreateMessagesResponse>;
    type StreamAckOffsetsStream = BoxStream<AckOffsetResponse>;

    async fn get_members_at(&self, request: Request<GetMembersAtRequest>) -> Answer<GetMembersAtResponse> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Status::unavailable("away"));
        }
        let request = request.into_inner();
        match self.members.get(request.conversation_id.as_str()) {
            Some(users) if request.max > 0 && users.len() as u64 > request.max => {
                Ok(Response::new(GetMembersAtResponse { user_ids: Vec::new(), many: true, facts: None }))
            }
            Some(users) => {
                let user_ids = users.iter().map(|user| (*user).to_owned()).collect();
                Ok(Response::new(GetMembersAtResponse { user_ids, many: false, facts: None }))
            }
            None => Err(Status::not_found("unknown conversation")),
        }
    }

    async fn get_heads(&self, _: Request<GetHeadsRequest>) -> Answer<GetHeadsResponse> {
        Ok(Response::new(GetHeadsResponse::default()))
    }

    async fn create_message(&self, _: Request<CreateMessageRequest>) -> Answer<CreateMessageResponse> {
        not_asked()
    }

    async fn stream_create_messages(
        &self,
        _: Request<Streaming<StreamCreateMessagesRequest>>,
    ) -> Answer<Self::StreamCreateMessagesStream> {
        not_asked()
    }

    async fn stream_ack_offsets(
        &self,
        _: Request<Streaming<AckOffsetRequest>>,
    ) -> Answer<Self::StreamAckOffsetsStream> {
        not_asked()
    }

    async fn get_user_conversations(
        &self,
        _: Request<GetUserConversationsRequest>,
    ) -> Answer<GetUserConversationsResponse> {
        not_asked()
    }

    async fn get_events(&self, _: Request<GetEventsRequest>) -> Answer<GetEventsResponse> {
        not_asked()
    }

    async fn get_memberships(&self, _: Request<GetMembershipsRequest>) -> Answer<GetMembershipsResponse> {
        not_asked()
    }
}

/// Streams whose writes can be made to fail.
#[derive(Clone)]
struct Breakable {
    inner: Arc<dyn GatewayStreams>,
    broken: Arc<AtomicBool>,
}

#[async_trait]
impl StreamWriter for Breakable {
    async fn add(&self, entries: Vec<(Node, Arc<StreamEntry>)>) -> Result<Vec<Added>, StreamError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StreamError::Unavailable("broken".to_owned()));
        }
        self.inner.writer().add(entries).await
    }
}

#[async_trait]
impl GatewayStreams for Breakable {
    fn writer(&self) -> Arc<dyn StreamWriter> {
        Arc::new(self.clone())
    }
    fn registry(&self) -> Arc<dyn Registry> {
        self.inner.registry()
    }
    fn signals(&self) -> Arc<dyn Signals> {
        self.inner.signals()
    }
    fn channels(&self) -> Arc<dyn Channels> {
        self.inner.channels()
    }
    fn logs(&self) -> Arc<dyn ChannelLogs> {
        self.inner.logs()
    }
    fn rooms(&self) -> Arc<dyn RoomChannels> {
        self.inner.rooms()
    }
    async fn open_reader(&self, node: &Node, boot: &BootId) -> Result<Box<dyn StreamReader>, StreamError> {
        self.inner.open_reader(node, boot).await
    }
    fn keys(&self) -> &Keys {
        self.inner.keys()
    }
    async fn check(&self) -> Result<(), StreamError> {
        Ok(())
    }
}

/// Everything around the worker.
struct World {
    log: Arc<dyn EventLog>,
    streams: Breakable,
    core: FakeCore,
    core_url: String,
    /// What lives as long as the test: a folder, or servers.
    _around: Box<dyn Any>,
}

/// A worker that runs, until it is stopped.
struct Running {
    shutdown: Shutdown,
    metrics: chatcluster_service::metrics::Metrics,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.shutdown.request();
        timeout(WAIT, self.task).await.expect("the worker does not stop").unwrap();
    }

    async fn until_metric(&self, line: &str) {
        let seen = async {
            while !self.metrics.encode().contains(line) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(WAIT, seen).await.unwrap_or_else(|_| panic!("no {line:?} in {}", self.metrics.encode()));
    }
}

impl World {
    async fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(EmbeddedLog::open(&folder.path().join("log.db")).await.unwrap());
        Self::with(log, Arc::new(MemoryStreams::new()), Box::new(folder)).await
    }

    async fn real() -> Self {
        let installed = install::ready(install::quiet).await.unwrap();
        let (kafka, redis) = tokio::join!(Kafka::start(&installed), Redis::start(&installed));
        let (kafka, redis) = (kafka.unwrap(), redis.unwrap());
        let options = KafkaOptions { kafka_bootstrap_servers: kafka.bootstrap_servers(), ..KafkaOptions::default() };
        provision::apply(&options, None).await.unwrap();
        let streams = RedisStreams::new(&RedisOptions::at(&redis.url())).unwrap();
        Self::with(Arc::new(KafkaLog::new(&options).unwrap()), Arc::new(streams), Box::new((kafka, redis))).await
    }

    async fn with(log: Arc<dyn EventLog>, inner: Arc<dyn GatewayStreams>, around: Box<dyn Any>) -> Self {
        let core = FakeCore {
            members: Arc::new(HashMap::from([
                ("c1", vec!["ann", "bob"]),
                ("c2", vec!["ann"]),
                ("big", vec!["bob"; 1_001]),
            ])),
            ..FakeCore::default()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let core_url = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().add_service(MessageServiceServer::new(core.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        let streams = Breakable { inner, broken: Arc::default() };
        Self { log, streams, core, core_url, _around: around }
    }

    fn worker(&self) -> Running {
        let options = Options {
            fanout_batch: 64,
            fanout_queue: 100,
            member_cache: 1000,
            digest_interval: Duration::from_millis(300),
            registry_sync_interval: Duration::from_mins(5),
            user_event_log_length: 0,
            user_event_log_idle: Duration::from_mins(5),
            fanout_broadcast_above: 1000,
            room_log_length: 100,
            room_log_idle: Duration::from_mins(1),
        };
        let shutdown = Shutdown::manual();
        let parts = Parts {
            log: self.log.clone(),
            streams: Arc::new(self.streams.clone()),
            core: chatcluster_service::rpc::channel(&self.core_url.parse().unwrap()).unwrap(),
            service_token: Secret::new("token"),
        };
        let worker = Worker::start(options, parts, shutdown.clone()).unwrap();
        let metrics = worker.metrics().clone();
        Running { shutdown, metrics, task: tokio::spawn(worker.run()) }
    }

    /// A living gateway with one connection for each user.
    async fn gateway(&self, node: &str, boot: &str, users: &[&str]) -> Box<dyn StreamReader> {
        let (node, boot) = (Node::parse(node).unwrap(), BootId::parse(boot).unwrap());
        let reader = self.streams.open_reader(&node, &boot).await.unwrap();
        let registry = self.streams.registry();
        registry.renew_lease(&node, &boot, LEASE).await.unwrap();
        let connection = |user: &&str| Registration {
            connection_id: ConnectionId::new(&node, &format!("{boot}-{user}")).unwrap(),
            user_id: UserId::parse(user).unwrap(),
            boot_id: boot.clone(),
            connected_at_ms: 0,
        };
        registry.register(&users.iter().map(connection).collect::<Vec<_>>()).await.unwrap();
        reader
    }

    async fn append(&self, topic: Topic, key: &str, values: &[String]) {
        let record = |value: &String| NewRecord {
            topic,
            dead_letter: false,
            key: key.to_owned(),
            value: Bytes::from(value.clone()),
            headers: Vec::new(),
        };
        let results = self.log.producer().append(values.iter().map(record).collect()).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
}

fn message(conversation: &str, seq: u64) -> String {
    format!(r#"{{"type":"MESSAGE","conversationId":"{conversation}","seq":{seq},"content":"hi"}}"#)
}

fn change(kind: &str, conversation: &str, seq: u64, user: &str) -> String {
    format!(r#"{{"type":"{kind}","conversationId":"{conversation}","seq":{seq},"userId":"{user}","actorId":"{user}"}}"#)
}

/// The next `count` events as `seq recipients`.
async fn events(reader: &mut Box<dyn StreamReader>, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    let reading = async {
        while found.len() < count {
            for (_, entry) in reader.read(100, WAIT).await.unwrap().entries {
                if let StreamEntry::Event { seq, recipients, .. } = entry {
                    found.push(format!("{seq} {}", recipients.iter().collect::<Vec<_>>().join("+")));
                }
            }
        }
    };
    let ended = timeout(WAIT, reading).await;
    assert!(ended.is_ok(), "{count} events were expected, these came: {found:?}");
    found
}

#[tokio::test]
async fn each_gateway_gets_one_entry_an_event_for_those_entitled_at_that_seq() {
    everybody_entitled_is_reached(World::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_gateway_gets_one_entry_an_event_over_kafka_and_redis() {
    everybody_entitled_is_reached(World::real().await).await;
}

async fn everybody_entitled_is_reached(world: World) {
    let mut first = world.gateway("g1", "b1", &["ann", "cem"]).await;
    let mut second = world.gateway("g2", "b2", &["bob", "ann", "stranger"]).await;
    let worker = world.worker();
    let log = [
        message("c1", 1),
        change("USER_JOINED", "c1", 2, "cem"),
        change("USER_LEFT", "c1", 3, "bob"),
        message("c1", 4),
    ];
    world.append(Topic::Messages, "c1", &log).await;
    assert_eq!(events(&mut first, 4).await, ["1 ann", "2 ann+cem", "3 ann+cem", "4 ann+cem"]);
    assert_eq!(events(&mut second, 4).await, ["1 ann+bob", "2 ann+bob", "3 ann+bob", "4 ann"]);
    worker.stop().await;
}

#[tokio::test]
async fn a_lost_last_event_is_told_by_a_digest() {
    let world = World::embedded().await;
    let mut gateway = world.gateway("g1", "b1", &["ann"]).await;
    let worker = world.worker();
    world.append(Topic::Messages, "c2", &[message("c2", 1), message("c2", 2)]).await;
    let told = async {
        loop {
            for (_, entry) in gateway.read(100, WAIT).await.unwrap().entries {
                if let StreamEntry::Digest { heads } = entry {
                    return heads;
                }
            }
        }
    };
    let heads = timeout(WAIT, told).await.expect("no digest");
    assert_eq!((heads[0].0.as_str(), heads[0].1.get()), ("c2", 2));
    worker.stop().await;
}

#[tokio::test]
async fn records_nobody_can_process_go_to_the_dead_letters_and_the_partition_moves_on() {
    let world = World::embedded().await;
    let mut gateway = world.gateway("g1", "b1", &["ann"]).await;
    let worker = world.worker();
    // One key, so one partition: what follows waits for what is before it.
    let log = ["not json".to_owned(), message("nobody-knows-it", 1), message("c2", 1)];
    world.append(Topic::Messages, "c2", &log).await;
    assert_eq!(events(&mut gateway, 1).await, ["1 ann"]);
    worker.until_metric("dead_letters_total{topic=\"message.all\"} 2").await;
    worker.stop().await;
}

#[tokio::test]
async fn while_core_is_away_events_wait_and_then_come_in_order() {
    let world = World::embedded().await;
    world.core.away.store(true, Ordering::SeqCst);
    let mut gateway = world.gateway("g1", "b1", &["ann"]).await;
    let worker = world.worker();
    world.append(Topic::Messages, "c2", &(1..=150).map(|seq| message("c2", seq)).collect::<Vec<_>>()).await;
    worker.until_metric("retries_total{stage=\"members\"}").await;
    world.core.away.store(false, Ordering::SeqCst);
    let expected: Vec<String> = (1..=150).map(|seq| format!("{seq} ann")).collect();
    assert_eq!(events(&mut gateway, 150).await, expected, "more than the queue holds");
    worker.stop().await;
}

#[tokio::test]
async fn what_was_not_written_is_not_finished() {
    the_next_worker_writes_what_this_one_could_not(World::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_written_is_not_committed_to_kafka() {
    the_next_worker_writes_what_this_one_could_not(World::real().await).await;
}

async fn the_next_worker_writes_what_this_one_could_not(world: World) {
    let mut gateway = world.gateway("g1", "b1", &["ann"]).await;
    world.streams.broken.store(true, Ordering::SeqCst);
    let worker = world.worker();
    world.append(Topic::Messages, "c2", &[message("c2", 1), message("c2", 2)]).await;
    worker.until_metric("retries_total{stage=\"publish\"}").await;
    worker.stop().await;

    world.streams.broken.store(false, Ordering::SeqCst);
    let worker = world.worker();
    assert_eq!(events(&mut gateway, 2).await, ["1 ann", "2 ann"]);
    worker.stop().await;
}

/// A gateway that dies and comes back under its name is served from its first session on.
#[tokio::test]
async fn a_gateway_that_was_dead_a_moment_ago_is_not_passed_over() {
    let world = World::embedded().await;
    let mut other = world.gateway("g2", "b2", &["bob"]).await;
    drop(world.gateway("g1", "b1", &["ann"]).await);
    let (node, boot) = (Node::parse("g1").unwrap(), BootId::parse("b1").unwrap());
    world.streams.registry().release_lease(&node, &boot).await.unwrap();
    let worker = world.worker();
    world.append(Topic::Messages, "c1", &[message("c1", 1)]).await;
    assert_eq!(events(&mut other, 1).await, ["1 bob"], "g1 was found dead");

    let mut again = world.gateway("g1", "b3", &["ann"]).await;
    world.append(Topic::Messages, "c1", &[message("c1", 2)]).await;
    assert_eq!(events(&mut again, 1).await, ["2 ann"]);
    worker.stop().await;
}

#[tokio::test]
async fn status_notification_and_typing_reach_whom_they_concern() {
    let world = World::embedded().await;
    let mut gateway = world.gateway("g1", "b1", &["ann", "bob"]).await;
    let worker = world.worker();
    worker.until_metric("partitions 33").await;
    let status =
        r#"{"messageId":"m1","conversationId":"c1","status":"READ","userId":"bob","timestamp":"2025-11-11T22:30:00"}"#;
    let note = r#"{"id":"n1","userId":"bob","title":"t","content":"c","type":"NEW","createdAt":"2025-11-11T22:30:00"}"#;
    let typing = |room: &str| format!(r#"{{"conversationId":"{room}","userId":"ann","isTyping":true,"timestamp":1}}"#);
    world.append(Topic::Status, "ann", &[status.to_owned()]).await;
    world.append(Topic::Notifications, "bob", &[note.to_owned()]).await;
    // in one partition, the one that is told to nobody first: its members are too many
    world.append(Topic::Typing, "c1", &[typing("big"), typing("c1")]).await;
    let mut found = Vec::new();
    let reading = async {
        while found.len() < 3 {
            for (_, entry) in gateway.read(10, WAIT).await.unwrap().entries {
                let (kind, recipients, payload) = match entry {
                    StreamEntry::Direct { recipients, payload } => ("direct", recipients, payload),
                    StreamEntry::Ephemeral { recipients, payload, .. } => ("ephemeral", recipients, payload),
                    other => panic!("{other:?}"),
                };
                let frame: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                let to = recipients.iter().collect::<Vec<_>>().join("+");
                found.push(format!("{kind} {} to {to}", frame["type"].as_str().unwrap()));
            }
        }
    };
    timeout(WAIT, reading).await.expect("not all came");
    found.sort();
    assert_eq!(found, ["direct NOTIFICATION to bob", "direct STATUS to ann", "ephemeral TYPING to bob"]);
    worker.stop().await;
}
