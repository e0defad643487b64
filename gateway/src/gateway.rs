//! Assembles the gateway.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::Router;
use chatcluster_contracts::{
    ids::{BootId, Node, UserId},
    problem::{Code, Problem},
    record::TypingRecord,
};
use chatcluster_service::{
    config::Secret,
    health::{Dependency, Health},
    metrics::Metrics,
    operations,
    rpc::ServiceToken,
    shutdown::Shutdown,
    tokens::{Claims, Verifier, VerifierOptions},
    trace::TraceSource,
};
use chatcluster_transport::{
    event_log::Producer,
    gateway_streams::{GatewayStreams, memory::MemoryStreams},
};
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tonic::transport::Channel;

use crate::{
    Options,
    conformance::{self, Brokerage, Nowhere, RoomReader, Rooms},
    delivery::Delivery,
    drain::drain,
    inbound::Inbound,
    listen::{self, Addresses, Guests, Origins, SockJs, web},
    metrics::GatewayMetrics,
    presence::{self, Presence},
    session::{Common, Deadlines, MessageLimits, Quota, Sessions, Wheel, Workspaces, rate::TokenBucket, ticks},
    upstream::{
        CoreApi,
        receipts::{self, Receipts},
        sends::{self, Sends},
        typing::{self, Typing},
    },
};

/// How often core and the log are looked at.
const PROBE: Duration = Duration::from_secs(2);
/// Time for the last words to Redis and core.
const LEAVE: Duration = Duration::from_secs(3);

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
    pub(crate) common: Arc<Common>,
    pub(crate) workspaces: Workspaces,
    pub(crate) message_limits: MessageLimits,
    pub(crate) user_quota: Quota<UserId>,
    pub(crate) address_quota: Quota<IpAddr>,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) origins: Origins,
    pub(crate) web: Router,
    /// Connections that may come now.
    pub(crate) accepts: Mutex<TokenBucket>,
    /// Connections that are no sessions.
    pub(crate) guests: Arc<Guests>,
    pub(crate) sockjs: SockJs,
    /// Conformance mode's.
    pub(crate) rooms: Option<Arc<Rooms>>,
    pub(crate) broker: Option<Brokerage>,
    pub(crate) shutdown: Shutdown,
    health: Health,
}

impl Shared {
    /// Is anything limited by address, so that sessions must know theirs?
    pub(crate) fn knows_addresses(&self) -> bool {
        self.options.max_address_connections > 0 || self.address_quota.is_limited()
    }

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
    /// The plain TCP port of STOMP.
    stomp: Option<SocketAddr>,
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

/// What runs beside the sessions.
struct Roads {
    sends: sends::Road,
    receipts: receipts::Road,
    typing: mpsc::Receiver<TypingRecord>,
    redis: Dependency,
    kafka: Dependency,
}

impl Gateway {
    /// Starts everything but the listener. Nothing needs to be reachable yet.
    pub fn start(options: Options, parts: Parts, shutdown: Shutdown) -> anyhow::Result<Self> {
        let (streams, producer) = (parts.streams.clone(), parts.producer.clone());
        let (shared, roads) = assemble(options, parts, shutdown, None)?;
        let Shared { gateway, delivery, presence, metrics, core, .. } = &*shared;

        let mut background = JoinSet::new();
        background.spawn(roads.sends.run());
        background.spawn(roads.receipts.run());
        background.spawn(typing::run(roads.typing, producer.clone(), roads.kafka.clone()));
        background.spawn(presence.clone().run());
        background.spawn(presence.clone().report());
        let (holding, replaced) = (presence.clone().hold_lease(delivery.clone()), shared.shutdown.clone());
        background.spawn(async move {
            holding.await;
            replaced.request();
        });
        background.spawn(delivery.clone().sweep(shared.options.sweep));
        background.spawn(delivery.clone().check_when_asked());
        background.spawn(probe(core.clone(), producer, roads.kafka));
        let turning = shared.wheel.clone();
        background.spawn(async move { turning.turn().await });
        let inbound = Inbound { delivery: delivery.clone(), metrics: metrics.clone(), health: roads.redis };
        let (leased, gateway) = (presence.clone(), gateway.clone());
        background.spawn(async move {
            // two processes under one name would take each other's entries
            leased.leased().await;
            inbound.read_own_stream(&*streams, &gateway).await;
        });
        let stomp = serve_stomp(&shared, &mut background)?;
        tracing::info!(node = %shared.gateway.node, boot = %shared.gateway.boot, "gateway started");
        Ok(Self { shared, background, stomp })
    }

    /// Starts the gateway in conformance mode: without anybody behind it.
    pub fn start_conformance(
        options: Options,
        health: &Health,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let rooms = Arc::new(Rooms::default());
        let parts = Parts {
            streams: Arc::new(MemoryStreams::new()),
            producer: Arc::new(Nowhere),
            core: tonic::transport::Endpoint::from_static("http://127.0.0.1:0").connect_lazy(),
            service_token: Secret::new(""),
            verifier: Verifier::new(VerifierOptions::none())?,
            issuer: String::new(),
            web: conformance::router(rooms.clone()).merge(operations::router(health.clone(), metrics.clone())),
            // nothing behind this mode can be unreachable
            health: Health::new(),
            metrics,
            trace_rate: 0,
        };
        let (shared, roads) = assemble(options, parts, shutdown, Some(rooms.clone()))?;
        let mut background = JoinSet::new();
        let turning = shared.wheel.clone();
        background.spawn(async move { turning.turn().await });
        let inbound =
            Inbound { delivery: shared.delivery.clone(), metrics: shared.metrics.clone(), health: roads.redis };
        background.spawn(inbound.run(Box::new(RoomReader(rooms))));
        let stomp = serve_stomp(&shared, &mut background)?;
        tracing::warn!("conformance mode: everybody may publish and subscribe to everything");
        Ok(Self { shared, background, stomp })
    }

    /// Where STOMP is spoken over plain TCP.
    pub fn stomp_address(&self) -> Option<SocketAddr> {
        self.stomp
    }

    /// For a port that is shared with others; [`run`](Self::run) must run beside it.
    pub fn acceptor(&self) -> Acceptor {
        Acceptor(self.shared.clone())
    }

    /// Serves clients on `listener` until shutdown, then drains.
    pub async fn serve(self, listener: TcpListener) -> anyhow::Result<()> {
        tracing::info!(address = %listener.local_addr().context("the listener has no address")?, "listening");
        listen::serve(&self.shared, listener, listen::accept).await;
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

/// Serves the plain TCP port of STOMP, if there is to be one.
fn serve_stomp(shared: &Arc<Shared>, background: &mut JoinSet<()>) -> anyhow::Result<Option<SocketAddr>> {
    let Some(address) = shared.options.stomp_listen else { return Ok(None) };
    let listener = listen::plain::bind(address).with_context(|| format!("--stomp-listen {address}"))?;
    let address = listener.local_addr().context("the listener has no address")?;
    let shared = shared.clone();
    background.spawn(async move { listen::serve(&shared, listener, listen::plain::accept).await });
    tracing::info!(%address, "listening for STOMP over TCP");
    Ok(Some(address))
}

fn assemble(
    options: Options,
    parts: Parts,
    shutdown: Shutdown,
    rooms: Option<Arc<Rooms>>,
) -> anyhow::Result<(Arc<Shared>, Roads)> {
    raise_file_limit();
    let gateway = presence::Gateway { node: node(options.node.as_deref())?, boot: new_boot()? };
    let redis = parts.health.dependency("redis");
    let core = CoreApi::new(parts.core, ServiceToken::new(&parts.service_token)?, parts.health.dependency("core"));
    let kafka = parts.health.optional_dependency("kafka");
    let metrics = Arc::new(GatewayMetrics::register(&parts.metrics));
    let sessions = Arc::new(Sessions::default());
    let delivery = Delivery::new(sessions.clone(), core.clone(), metrics.clone(), options.resume_limit);
    let presence = Presence::new(gateway.clone(), &*parts.streams, core.clone(), sessions.clone(), redis.clone());
    let (sends, send_road) = Sends::new(core.clone(), metrics.clone(), options.send_timeout);
    let (receipts, receipt_road) = Receipts::new(core.clone());
    let (typing, typing_records) = Typing::new();
    let mut deadlines = Deadlines::new(&options);
    if rooms.is_some() {
        // whoever measures idle sockets need not answer pings
        deadlines = deadlines.without_silence();
    }
    let origins = if rooms.is_some() { Origins::Any } else { Origins::listed(&options.allowed_origins) };
    let sockjs = match &rooms {
        Some(_) => SockJs::conformance(conformance::sockjs_services())?,
        None => SockJs::new(&options, origins.clone())?,
    };
    let web = if rooms.is_some() { parts.web } else { web::with_upgrade_hint(parts.web) };
    let shared = Arc::new_cyclic(|shared| Shared {
        web: web.merge(sockjs.router(shared)),
        gateway,
        sessions,
        delivery,
        presence,
        wheel: Arc::new(Wheel::new(deadlines)),
        core,
        sends,
        receipts,
        typing,
        verifier: parts.verifier,
        issuer: parts.issuer,
        traces: TraceSource::new(parts.trace_rate),
        common: Arc::new(Common { queue_limit: options.session_queue, metrics: metrics.session.clone() }),
        workspaces: Workspaces::default(),
        message_limits: MessageLimits { max_message: options.max_frame, max_conformance: conformance::MAX_MESSAGE },
        user_quota: Quota::new(options.user_send_rate, options.user_byte_rate),
        address_quota: Quota::new(options.address_send_rate, options.address_byte_rate),
        addresses: Addresses::new(options.max_address_connections),
        origins,
        metrics,
        accepts: Mutex::new(TokenBucket::full(options.accept_rate, ticks::now())),
        guests: Arc::default(),
        sockjs,
        broker: rooms.is_some().then(Brokerage::default),
        rooms,
        shutdown,
        health: parts.health,
        options,
    });
    let roads = Roads { sends: send_road, receipts: receipt_road, typing: typing_records, redis, kafka };
    Ok((shared, roads))
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
