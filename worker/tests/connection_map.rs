//! The map of connections held against what core knows, and who is told that somebody came: the worker between an
//! embedded log, real Redis and a core that answers for connections and contacts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chatcluster_contracts::{
    ids::{BootId, ConnectionId, Node, UserId},
    rpc::{
        Connection, Contacts, GetAllConnectionsRequest, GetConnectionsByUserRequest, GetConnectionsResponse,
        GetContactsRequest, GetContactsResponse, GetOnlineUsersRequest, GetOnlineUsersResponse,
        RegisterConnectionRequest, RegisterConnectionResponse, UnregisterConnectionRequest,
        UnregisterConnectionResponse, UpdateLastPingRequest, UpdateLastPingResponse,
        connection_manager_server::{ConnectionManager, ConnectionManagerServer},
    },
    stream_entry::StreamEntry,
    topics::Topic,
};
use chatcluster_service::{config::Secret, metrics::Metrics, shutdown::Shutdown};
use chatcluster_testkit::{Redis, RedisCluster, WAIT, await_condition, install, redis::RedisOptions as ServerOptions};
use chatcluster_transport::{
    event_log::{EventLog, NewRecord, embedded::EmbeddedLog},
    gateway_streams::{
        GatewayStreams, Place, Registration, Registry,
        redis::{RedisMode, RedisOptions, RedisStreams},
    },
};
use chatcluster_worker::{Parts, Worker, config::Process};
use clap::Parser;
use parking_lot::Mutex;
use tempfile::TempDir;
use tonic::{Request, Response, Status, codegen::BoxStream, transport::server::TcpIncoming};

type Answer<T> = Result<Response<T>, Status>;

/// Knows connections and contacts.
#[derive(Clone, Default)]
struct FakeCore {
    connections: Arc<Mutex<Vec<Connection>>>,
}

fn not_asked<T>() -> Answer<T> {
    Err(Status::unimplemented("the worker does not ask this"))
}

#[tonic::async_trait]
impl ConnectionManager for FakeCore {
    type GetAllConnectionsStream = BoxStream<GetConnectionsResponse>;

    async fn get_all_connections(&self, _: Request<GetAllConnectionsRequest>) -> Answer<Self::GetAllConnectionsStream> {
        // one in an answer: the merge must not depend on how they come
        let all = self.connections.lock().clone().into_iter();
        let pages = all.map(|connection| Ok(GetConnectionsResponse { connections: vec![connection] }));
        Ok(Response::new(Box::pin(tokio_stream::iter(pages.collect::<Vec<_>>()))))
    }

    /// ann knows dan, everybody else bob and cem.
    async fn get_contacts(&self, request: Request<GetContactsRequest>) -> Answer<GetContactsResponse> {
        let of = |user_id: String| {
            let known: &[&str] = if user_id == "ann" { &["dan"] } else { &["bob", "cem"] };
            Contacts { user_id, contact_ids: known.iter().copied().map(str::to_owned).collect() }
        };
        let contacts = request.into_inner().user_ids.into_iter().map(of).collect();
        Ok(Response::new(GetContactsResponse { contacts }))
    }

    async fn register_connection(&self, _: Request<RegisterConnectionRequest>) -> Answer<RegisterConnectionResponse> {
        not_asked()
    }

    async fn unregister_connection(
        &self,
        _: Request<UnregisterConnectionRequest>,
    ) -> Answer<UnregisterConnectionResponse> {
        not_asked()
    }

    async fn update_last_ping(&self, _: Request<UpdateLastPingRequest>) -> Answer<UpdateLastPingResponse> {
        not_asked()
    }

    async fn get_connections_by_user(&self, _: Request<GetConnectionsByUserRequest>) -> Answer<GetConnectionsResponse> {
        not_asked()
    }

    async fn get_online_users(&self, _: Request<GetOnlineUsersRequest>) -> Answer<GetOnlineUsersResponse> {
        not_asked()
    }
}

struct World {
    core: FakeCore,
    core_url: String,
    log: Arc<dyn EventLog>,
    options: RedisOptions,
    streams: RedisStreams,
    servers: Servers,
    _folder: TempDir,
}

enum Servers {
    One(Box<Redis>),
    Cluster(RedisCluster),
}

fn node(name: &str) -> Node {
    Node::parse(name).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn entry(node: &str, name: &str, boot: &str) -> Registration {
    Registration {
        connection_id: ConnectionId::parse(&format!("{node}~{boot}-{name}")).unwrap(),
        user_id: user(name),
        boot_id: BootId::parse(boot).unwrap(),
        connected_at_ms: 1,
    }
}

fn claimed(entry: &Registration) -> Connection {
    Connection {
        connection_id: entry.connection_id.to_string(),
        user_id: entry.user_id.to_string(),
        workspace_id: "default".into(),
        node: entry.connection_id.node().into(),
        boot_id: entry.boot_id.to_string(),
        connected_at_ms: entry.connected_at_ms,
        last_ping_ms: 1,
    }
}

impl World {
    async fn new() -> Self {
        let redis = Redis::start(&install::ready(install::quiet).await.unwrap()).await.unwrap();
        Self::on(RedisOptions::at(&redis.url()), Servers::One(Box::new(redis))).await
    }

    async fn on_cluster() -> Self {
        let installed = install::ready(install::quiet).await.unwrap();
        let servers = RedisCluster::start(&installed, ServerOptions::default()).await.unwrap();
        let at = RedisOptions::at(&servers.urls()[0]);
        Self::on(RedisOptions { redis_mode: RedisMode::Cluster, ..at }, Servers::Cluster(servers)).await
    }

    async fn on(options: RedisOptions, servers: Servers) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let core = FakeCore::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let core_url = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().add_service(ConnectionManagerServer::new(core.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Self {
            core,
            core_url,
            log: Arc::new(EmbeddedLog::open(&folder.path().join("log.db")).await.unwrap()),
            streams: RedisStreams::new(&options).unwrap(),
            options,
            servers,
            _folder: folder,
        }
    }

    fn worker(&self, shutdown: &Shutdown) -> Metrics {
        let settings = ["worker", "--service-token", "a-token-of-this-test", "--registry-sync-interval", "200ms"];
        let parts = Parts {
            log: self.log.clone(),
            streams: Arc::new(RedisStreams::new(&self.options).unwrap()),
            core: chatcluster_service::rpc::channel(&self.core_url.parse().unwrap()).unwrap(),
            service_token: Secret::new("a-token-of-this-test"),
        };
        let worker = Worker::start(Process::parse_from(settings).options, parts, shutdown.clone()).unwrap();
        let metrics = worker.metrics().clone();
        tokio::spawn(worker.run());
        metrics
    }

    /// `user: connection …` of all that are in Redis, and how many hashes there are.
    async fn map(&self) -> (String, usize) {
        let users: Vec<UserId> = ["ann", "bob", "cem", "dan"].map(user).into();
        let found = self.streams.registry().connections(&users).await.unwrap();
        let shown = users.iter().zip(found).filter(|(_, ids)| !ids.is_empty()).map(|(user, ids)| {
            let ids: Vec<&str> = ids.iter().map(ConnectionId::as_str).collect();
            format!("{user}: {}", ids.join("+"))
        });
        let (mut hashes, mut at) = (0, Some(Place::default()));
        while let Some(here) = at {
            let (ids, next) = self.streams.registry().walk(here).await.unwrap();
            hashes += ids.len();
            at = next;
        }
        (shown.collect::<Vec<_>>().join(" "), hashes)
    }

    async fn lose(&self, key: &str) {
        match &self.servers {
            Servers::One(redis) => drop(redis.command(&["DEL", key]).await.unwrap()),
            // those that do not have the key refuse
            Servers::Cluster(servers) => {
                for server in servers.nodes() {
                    let _ = server.command(&["DEL", key]).await;
                }
            }
        }
    }

    async fn until(&self, expected: &str, hashes: usize) {
        let reached = || async {
            let map = self.map().await;
            anyhow::ensure!(map == (expected.to_owned(), hashes), "{map:?}");
            Ok(())
        };
        await_condition("the map is right", WAIT, reached).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_repaired_at_the_start_and_after_it_and_the_map_is_never_empty() {
    drift_is_repaired(World::new().await).await;
}

/// Keys of one connection are on different servers there, and the walk has to pass all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_repaired_on_a_cluster_too() {
    drift_is_repaired(World::on_cluster().await).await;
}

async fn drift_is_repaired(world: World) {
    let registry: Arc<dyn Registry> = world.streams.registry();
    let lease = async |node_name: &str, boot: &str| {
        registry.renew_lease(&node(node_name), &BootId::parse(boot).unwrap(), WAIT * 2).await.unwrap();
    };
    lease("g1", "b1").await;
    let (ann, bob) = (entry("g1", "ann", "b1"), entry("g1", "bob", "b1"));
    // of a gateway that is gone, of which core knows nothing; of an earlier boot of one that lives
    let (ghost, earlier) = (entry("g9", "cem", "b9"), entry("g1", "dan", "b0"));
    *world.core.connections.lock() = vec![claimed(&ann), claimed(&bob), claimed(&entry("g7", "dan", "b7"))];
    // and of another one that is gone, whose hash went first
    let half = entry("g8", "bob", "b8");
    registry.register(&[ann.clone(), ghost.clone(), earlier, half.clone()]).await.unwrap();
    world.lose(&world.streams.keys().connection(half.connection_id.as_str())).await;

    // whoever looks at any time finds ann
    let (watching, stop) = (registry.clone(), Arc::new(AtomicBool::new(false)));
    let stopped = stop.clone();
    let watcher = tokio::spawn(async move {
        let mut looks = 0_u32;
        while !stopped.load(Ordering::Relaxed) {
            assert_eq!(watching.connections(&[user("ann")]).await.unwrap()[0].len(), 1, "the map was emptied");
            looks += 1;
        }
        looks
    });

    let shutdown = Shutdown::manual();
    let metrics = world.worker(&shutdown);
    let right = "ann: g1~b1-ann bob: g1~b1-bob";
    world.until(right, 2).await;

    // later: the set of a user is lost, and there is another ghost
    world.lose("connection-set:bob").await;
    registry.register(&[ghost]).await.unwrap();
    world.until(right, 2).await;
    let figures = metrics.encode();
    for figure in ["chatcluster_worker_registry_pruned_total 4", "chatcluster_worker_registry_repaired_total 2"] {
        assert!(figures.contains(figure), "{figure} in\n{figures}");
    }
    stop.store(true, Ordering::Relaxed);
    assert!(watcher.await.unwrap() > 10);
    shutdown.request();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_are_told_who_comes_and_goes_and_nobody_else_is() {
    let world = World::new().await;
    let boot = BootId::parse("b1").unwrap();
    let mut gateway = world.streams.open_reader(&node("g1"), &boot).await.unwrap();
    let registry = world.streams.registry();
    registry.renew_lease(&node("g1"), &boot, WAIT * 2).await.unwrap();
    registry.register(&["ann", "bob", "dan"].map(|name| entry("g1", name, "b1"))).await.unwrap();
    let shutdown = Shutdown::manual();
    world.worker(&shutdown);
    let record = |kind: &str, name: &str, second: u32| NewRecord {
        topic: Topic::Users,
        dead_letter: false,
        key: name.to_owned(),
        value: Bytes::from(format!(
            r#"{{"type":"{kind}","userId":"{name}","timestamp":"2026-01-01T00:00:{second:02}.000Z"}}"#
        )),
        headers: Vec::new(),
    };
    let records =
        vec![record("USER_JOINED", "ann", 1), record("USER_ONLINE", "ann", 2), record("USER_OFFLINE", "dan", 3)];
    assert!(world.log.producer().append(records).await.iter().all(Result::is_ok));
    let mut told = Vec::new();
    let reading = async {
        while told.len() < 2 {
            for (_, entry) in gateway.read(10, Duration::from_secs(1)).await.unwrap().entries {
                let StreamEntry::Ephemeral { conversation_id: None, recipients, payload } = entry else {
                    panic!("{entry:?}");
                };
                let to = recipients.iter().collect::<Vec<_>>().join("+");
                told.push(format!("{to} {}", String::from_utf8_lossy(&payload)));
            }
        }
    };
    tokio::time::timeout(WAIT, reading).await.expect("not all came");
    told.sort();
    assert_eq!(
        told,
        [
            r#"bob {"type":"PRESENCE","userId":"dan","online":false,"since":"2026-01-01T00:00:03.000Z"}"#,
            r#"dan {"type":"PRESENCE","userId":"ann","online":true,"since":"2026-01-01T00:00:02.000Z"}"#,
        ]
    );
    shutdown.request();
}
