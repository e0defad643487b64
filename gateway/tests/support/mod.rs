//! A gateway between a stand-in for core and streams in memory. The stand-in keeps conversations as core does (gapless
//! seq, idempotent sends, memberships) and routes each event as a worker does; a test tells it what to lose.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod binary;
pub mod client;
pub mod core;
pub mod listeners;
pub mod sockjs;
pub mod stomp;
pub mod tokens;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use chatcluster_contracts::record::TypingRecord;
use chatcluster_gateway::{Gateway, Options, Parts, listen::web};
use chatcluster_service::{config::Secret, health::Health, metrics::Metrics, operations, rpc, shutdown::Shutdown};
use chatcluster_transport::{
    event_log::{LogError, NewRecord, Producer},
    gateway_streams::{GatewayStreams, memory::MemoryStreams},
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinHandle};

use self::{client::Client, core::Core, stomp::Stomp, tokens::Issuer};

pub const SERVICE_TOKEN: &str = "service-token";

/// Keeps what was appended.
#[derive(Debug, Default)]
pub struct Log(pub Mutex<Vec<NewRecord>>);

impl Log {
    pub fn typing(&self) -> Vec<TypingRecord> {
        self.0.lock().iter().map(|record| serde_json::from_slice(&record.value).unwrap()).collect()
    }
}

#[async_trait]
impl Producer for Log {
    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<(), LogError>> {
        let count = records.len();
        self.0.lock().extend(records);
        (0..count).map(|_| Ok(())).collect()
    }
    async fn check(&self) -> Result<(), LogError> {
        Ok(())
    }
}

/// What a gateway under test works with.
pub fn parts(streams: Arc<dyn GatewayStreams>, producer: Arc<Log>, core: &Core, issuer: &Issuer) -> Parts {
    let (health, metrics) = (Health::new(), Metrics::new("gateway"));
    Parts {
        streams,
        producer,
        core: rpc::channel(&format!("http://{}", core.address).parse().unwrap()).unwrap(),
        service_token: Secret::new(SERVICE_TOKEN),
        verifier: issuer.verifier(),
        issuer: "chatcluster".into(),
        web: web::with_problems(operations::router(health.clone(), metrics.clone())),
        health,
        metrics,
        trace_rate: 0,
    }
}

pub struct Platform {
    pub core: Core,
    pub streams: MemoryStreams,
    pub log: Arc<Log>,
    pub address: SocketAddr,
    /// Where STOMP is spoken over plain TCP, if it is.
    pub stomp: Option<SocketAddr>,
    pub issuer: Issuer,
    pub shutdown: Shutdown,
    pub gateway: JoinHandle<anyhow::Result<()>>,
}

impl Platform {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let streams = MemoryStreams::new();
        let core = Core::start(&streams).await;
        let (log, issuer) = (Arc::new(Log::default()), Issuer::new());
        let shutdown = Shutdown::manual();
        let parts = parts(Arc::new(streams.clone()), log.clone(), &core, &issuer);
        let options = Options { node: Some("gateway-1".into()), ..options };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = Gateway::start(options, parts, shutdown.clone()).unwrap();
        let stomp = gateway.stomp_address();
        let gateway = tokio::spawn(gateway.serve(listener));
        let platform = Self { core, streams, log, address, stomp, issuer, shutdown, gateway };
        platform.ready().await;
        platform
    }

    async fn ready(&self) {
        eventually("the gateway is ready", async || self.get("/readyz").await.status() == 200).await;
    }

    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("http://{}{path}", self.address)).await.unwrap()
    }

    /// A metric's value, summed over its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        metric(self.address, name).await
    }

    /// A connected client of `user`.
    pub async fn client(&self, user: &str) -> Client {
        self.resuming(user, serde_json::json!({})).await
    }

    pub async fn resuming(&self, user: &str, resume: serde_json::Value) -> Client {
        let mut client = Client::open(&self.url()).await;
        client.send(serde_json::json!({"type": "CONNECT", "token": self.issuer.token(user), "resume": resume})).await;
        client.until("CONNECTED").await;
        client
    }

    /// A client of `user` that speaks STOMP 1.2.
    pub async fn stomp(&self, user: &str) -> Stomp {
        self.stomp_from(user, "").await
    }

    /// The same, from a position on.
    pub async fn stomp_from(&self, user: &str, position: &str) -> Stomp {
        let mut client = Stomp::open(&self.url()).await;
        client.connect(&self.issuer.token(user), &[("position", position)]).await;
        client
    }

    /// Until all of the user's sessions are registered, so that the stand-in for the worker routes to them.
    pub async fn registered(&self, user: &str, count: usize) {
        let user = [user.parse().unwrap()];
        let registry = self.streams.registry();
        eventually("registered", async || registry.connections(&user).await.unwrap()[0].len() == count).await;
    }
}

/// A metric of the gateway at this address, summed over its labels.
pub async fn metric(address: SocketAddr, name: &str) -> f64 {
    let text = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    let ours = |line: &&str| line.starts_with(&format!("chatcluster_gateway_{name}"));
    text.lines().filter(ours).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Waits until the condition holds.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}
