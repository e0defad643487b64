//! Assembles the gateway.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use chatcluster_contracts::{
    ids::{BootId, Node},
    problem::{Code, Problem},
};
use chatcluster_service::{
    config::Secret,
    health::{Dependency, Health},
    metrics::Metrics,
    rpc::ServiceToken,
    shutdown::Shutdown,
    tokens::{Claims, Verifier},
    trace::TraceSource,
};
use chatcluster_transport::{event_log::Producer, gateway_streams::GatewayStreams};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tonic::transport::Channel;

use crate::{
    Options,
    delivery::Delivery,
    drain::drain,
    inbound::Inbound,
    listen::{self, web},
    metrics::GatewayMetrics,
    presence::{self, Presence},
    session::{Deadlines, Sessions, Wheel, ticks},
    upstream::{
        CoreApi,
        receipts::Receipts,
        sends::Sends,
        typing::{self, Typing},
    },
};

/// How often core and the log are looked at.
const PROBE: Duration = Duration::from_secs(2);
/// Time for the last words to Redis and core.
const LEAVE: Duration = Duration::from_secs(3);
/// Connections beyond the sessions allowed: handshakes, health checks, and those told to come back later.
const SPARE_CONNECTIONS: usize = 4096;

/// What the gateway works with.
pub struct Parts {
    pub streams: Arc<dyn GatewayStreams>,
    pub producer: Arc<dyn Producer>,
    /// gRPC to core, and the secret it knows the platform's services by.
    pub core: Channel,
    pub service_token: Secret,
    /// Checks access tokens.
    pub verifier: Verifier,
    /// Issuer of the platform's own tokens; those of others are core's to judge.
    pub issuer: String,
    /// Everything on the port that is not `/ws`, health and metrics included.
    pub web: Router,
    pub health: Health,
    pub metrics: Metrics,
    /// Messages a second that are traced hop by hop.
    pub trace_rate: u32,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

/// What every connection's task shares.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) gateway: presence::Gateway,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) wheel: Arc<Wheel>,
    pub(crate) core: CoreApi,
    pub(crate) sends: Sends,
    pub(crate) receipts: Receipts,
    pub(crate) typing: Typing,
    verifier: Verifier,
    issuer: String,
    pub(crate) traces: TraceSource,
    pub(crate) metrics: Arc<GatewayMetrics>,
    pub(crate) web: Router,
    /// One permit a connection that is no session.
    pub(crate) handshakes: Arc<Semaphore>,
    pub(crate) shutdown: Shutdown,
    health: Health,
}

impl Shared {
    /// Who a token speaks for. A subject of an outside issuer may be called like somebody who signed up here, so it is core
    /// who says whether it is anybody.
    pub(crate) async fn verify(&self, token: &str) -> Result<Claims, Problem> {
        let mut claims = self.verifier.verify(token).await?;
        if claims.issuer != self.issuer {
            claims = self.core.verify_token(token).await?;
        }
        // sessions close within a tick before the expiry: a token that would close at once opens none
        if ticks::at_unix(claims.expires_at) <= ticks::now() + 1 {
            return Err(Problem::new(Code::TokenExpired, "the token has expired"));
        }
        Ok(claims)
    }
}

/// A running gateway.
pub struct Gateway {
    shared: Arc<Shared>,
    background: JoinSet<()>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("node", &self.shared.gateway.node).finish_non_exhaustive()
    }
}

/// Takes accepted connections for a gateway whose port is somebody else's. Cheap to clone.
#[derive(Clone)]
pub struct Acceptor(Arc<Shared>);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    /// Serves the connection in a task of its own.
    pub fn accept(&self, stream: TcpStream, peer: SocketAddr) {
        listen::accept(&self.0, stream, peer);
    }
}

impl Gateway {
    /// Starts everything but the listener. Nothing needs to be reachable yet.
    pub fn start(options: Options, parts: Parts, shutdown: Shutdown) -> anyhow::Result<Self> {
        raise_file_limit();
        let gateway = presence::Gateway { node: node(options.node.as_deref())?, boot: new_boot()? };
        let redis = parts.health.dependency("redis");
        let core = CoreApi::new(parts.core, ServiceToken::new(&parts.service_token)?, parts.health.dependency("core"));
        let kafka = parts.health.optional_dependency("kafka");
        let metrics = Arc::new(GatewayMetrics::register(&parts.metrics));
        let sessions = Arc::new(Sessions::default());
        let delivery = Delivery::new(sessions.clone(), core.clone(), metrics.clone(), options.resume_limit);
        let presence = Presence::new(gateway.clone(), &*parts.streams, core.clone(), sessions.clone(), redis.clone());
        let deadlines = Deadlines::new(options.connect_timeout, options.heartbeat, options.write_timeout);
        let wheel = Arc::new(Wheel::new(deadlines));
        let (sends, send_road) = Sends::new(core.clone(), metrics.clone(), options.send_timeout);
        let (receipts, receipt_road) = Receipts::new(core.clone());
        let (typing, typing_records) = Typing::new();

        let mut background = JoinSet::new();
        background.spawn(send_road.run());
        background.spawn(receipt_road.run());
        background.spawn(typing::run(typing_records, parts.producer.clone(), kafka.clone()));
        background.spawn(presence.clone().run());
        background.spawn(presence.clone().report());
        let (holding, replaced) = (presence.clone().hold_lease(delivery.clone()), shutdown.clone());
        background.spawn(async move {
            holding.await;
            replaced.request();
        });
        background.spawn(delivery.clone().sweep(options.sweep));
        background.spawn(delivery.clone().check_when_asked());
        background.spawn(probe(core.clone(), parts.producer, kafka));
        let turning = wheel.clone();
        background.spawn(async move { turning.turn().await });
        let inbound = Inbound {
            gateway: gateway.clone(),
            streams: parts.streams,
            delivery: delivery.clone(),
            metrics: metrics.clone(),
            health: redis,
        };
        let leased = presence.clone();
        background.spawn(async move {
            // two processes under one name would take each other's entries
            leased.leased().await;
            inbound.run().await;
        });

        let handshakes = Arc::new(Semaphore::new(SPARE_CONNECTIONS));
        let shared = Arc::new(Shared {
            gateway,
            sessions,
            delivery,
            presence,
            wheel,
            core,
            sends,
            receipts,
            typing,
            verifier: parts.verifier,
            issuer: parts.issuer,
            traces: TraceSource::new(parts.trace_rate),
            metrics,
            web: web::with_upgrade_hint(parts.web),
            handshakes,
            shutdown,
            health: parts.health,
            options,
        });
        tracing::info!(node = %shared.gateway.node, boot = %shared.gateway.boot, "gateway started");
        Ok(Self { shared, background })
    }

    /// For a port that is shared with others; [`run`](Self::run) must run beside it.
    pub fn acceptor(&self) -> Acceptor {
        Acceptor(self.shared.clone())
    }

    /// Serves clients on `listener` until shutdown, then drains.
    pub async fn serve(self, listener: TcpListener) -> anyhow::Result<()> {
        tracing::info!(address = %listener.local_addr().context("the listener has no address")?, "listening");
        listen::serve(&self.shared, listener).await;
        self.run().await
    }

    /// Waits for shutdown, then drains: sessions are told their position and closed, the lease is released.
    pub async fn run(mut self) -> anyhow::Result<()> {
        self.shared.shutdown.requested().await;
        self.shared.health.set_draining();
        drain(&self.shared.sessions, self.shared.options.drain).await;
        self.shared.presence.leave(LEAVE).await;
        self.background.shutdown().await;
        Ok(())
    }
}

fn node(configured: Option<&str>) -> anyhow::Result<Node> {
    let name = match configured {
        Some(name) => name.to_owned(),
        None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    Node::parse(&name).with_context(|| format!("--node {name:?} cannot be a gateway's name"))
}

/// Every client is a file descriptor, and the usual soft limit is 1,024 of them.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
}

fn new_boot() -> anyhow::Result<BootId> {
    Ok(BootId::parse(&format!("{:012x}", rand::random::<u64>() >> 16))?)
}

async fn probe(core: CoreApi, producer: Arc<dyn Producer>, kafka: Dependency) {
    loop {
        core.probe().await;
        match producer.check().await {
            Ok(()) => kafka.up(),
            Err(error) => kafka.down(error),
        }
        tokio::time::sleep(PROBE).await;
    }
}
