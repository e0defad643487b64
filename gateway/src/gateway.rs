//! A running gateway: starts what runs beside the sessions, serves clients, and ends it all in order.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::Router;
use chatcluster_service::{
    config::Secret,
    health::{Dependency, Health},
    metrics::Metrics,
    operations,
    shutdown::Shutdown,
    tokens::{Verifier, VerifierOptions},
};
use chatcluster_transport::{
    event_log::Producer,
    gateway_streams::{GatewayStreams, memory::MemoryStreams},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tonic::transport::Channel;

use crate::{
    Options,
    assembly::assemble,
    conformance::{self, Nowhere, RoomReader, Rooms},
    drain::drain,
    inbound::Inbound,
    listen, revoked,
    shared::Shared,
    upstream::{CoreApi, typing},
};

/// How often core and the log are looked at.
const PROBE: Duration = Duration::from_secs(2);
/// Time for the last words to Redis and core, and for what runs beside the sessions to end.
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

/// A running gateway.
pub struct Gateway {
    shared: Arc<Shared>,
    background: JoinSet<()>,
    /// The plain TCP port of STOMP.
    stomp: Option<SocketAddr>,
    /// The port of user events.
    user_events: Option<SocketAddr>,
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
        let (streams, producer) = (parts.streams.clone(), parts.producer.clone());
        let (shared, roads) = assemble(options, parts, shutdown, None)?;
        let Shared { gateway, delivery, presence, metrics, core, .. } = &*shared;

        let mut background = JoinSet::new();
        for road in roads.sends {
            background.spawn(road.run());
        }
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
        background.spawn(delivery.clone().check_rooms_when_asked());
        let (rooms, ear) = roads.rooms;
        background.spawn(rooms.run(ear, delivery.clone()));
        background.spawn(revoked::watch(shared.clone(), streams.clone()));
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
        background.spawn(shared.user_events.clone().run(roads.user_events));
        background.spawn(shared.user_events.clone().tell(shared.gateway.node.clone()));
        let stomp = serve_stomp(&shared, &mut background)?;
        let user_events = serve_user_events(&shared, &mut background)?;
        tracing::info!(node = %shared.gateway.node, boot = %shared.gateway.boot, "gateway started");
        Ok(Self { shared, background, stomp, user_events })
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
        Ok(Self { shared, background, stomp, user_events: None })
    }

    /// Where STOMP is spoken over plain TCP.
    pub fn stomp_address(&self) -> Option<SocketAddr> {
        self.stomp
    }

    /// Where user events have a port of their own.
    pub fn user_events_address(&self) -> Option<SocketAddr> {
        self.user_events
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
        if tokio::time::timeout(LEAVE, self.background.shutdown()).await.is_err() {
            // a client of Kafka or Redis that does not let go
            tracing::warn!(tasks = self.background.len(), "tasks hang at the end; not waited for");
        }
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

/// The default of `--user-events-listen`.
const DEFAULT_USER_EVENTS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8084);

/// Serves the port of user events, if there is to be one.
fn serve_user_events(shared: &Arc<Shared>, background: &mut JoinSet<()>) -> anyhow::Result<Option<SocketAddr>> {
    let Some(address) = shared.options.user_events_listen else { return Ok(None) };
    let listener = match listen::plain::bind(address) {
        // several gateways on one machine need not be told of a port that nobody asked for
        Err(error) if error.kind() == ErrorKind::AddrInUse && address == DEFAULT_USER_EVENTS_LISTEN => {
            tracing::warn!(%address, "somebody else listens here: user events are at /user-events only; --user-events-listen names another address");
            return Ok(None);
        }
        bound => bound.with_context(|| format!("--user-events-listen {address}"))?,
    };
    let address = listener.local_addr().context("the listener has no address")?;
    let shared = shared.clone();
    if shared.options.user_events_open {
        tracing::warn!("user events are open: whoever can connect may listen to anybody's");
    }
    background.spawn(async move { listen::serve(&shared, listener, listen::accept_listener).await });
    tracing::info!(user_events = %address, "listening for listeners to user events");
    Ok(Some(address))
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
