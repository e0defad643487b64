//! From options and parts to what the sessions share and what runs beside them.

use std::sync::Arc;

use anyhow::Context;
use chatcluster_contracts::{
    ids::{BootId, Node},
    record::TypingRecord,
};
use chatcluster_service::{
    health::Dependency, rpc::ServiceToken, shutdown::Shutdown, tokens::Revocations, trace::TraceSource,
};
use chatcluster_transport::channels::Ear;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::{
    Options,
    conformance::{self, Brokerage, Rooms},
    delivery::Delivery,
    gateway::Parts,
    listen::{Addresses, Origins, Pace, SockJs, web},
    metrics::GatewayMetrics,
    presence::{self, Presence},
    rooms,
    session::{Common, Deadlines, MessageLimits, Quota, Sessions, Wheel, Workspaces, rate::TokenBucket, ticks},
    shared::Shared,
    upstream::{
        CoreApi,
        receipts::{self, Receipts},
        sends::{self, Sends},
        typing::Typing,
    },
    user_events::{self, UserEvents},
};

/// What runs beside the sessions.
pub(crate) struct Roads {
    pub(crate) user_events: Box<dyn Ear>,
    pub(crate) rooms: (Arc<rooms::Rooms>, Box<dyn Ear>),
    pub(crate) sends: Vec<sends::Road>,
    pub(crate) receipts: receipts::Road,
    pub(crate) typing: mpsc::Receiver<TypingRecord>,
    pub(crate) redis: Dependency,
    pub(crate) kafka: Dependency,
}

/// Makes what the sessions share, and what is to run beside them.
pub(crate) fn assemble(
    options: Options,
    parts: Parts,
    shutdown: Shutdown,
    conformance_rooms: Option<Arc<Rooms>>,
) -> anyhow::Result<(Arc<Shared>, Roads)> {
    raise_file_limit();
    let gateway = presence::Gateway { node: node(options.node.as_deref())?, boot: new_boot()? };
    let redis = parts.health.dependency("redis");
    let (service_token, core_health) = (ServiceToken::new(&parts.service_token)?, parts.health.dependency("core"));
    let arrivals = (options.attach_concurrency.into(), options.attach_turn);
    let core = CoreApi::new(parts.core, service_token, core_health, arrivals);
    let kafka = parts.health.optional_dependency("kafka");
    let metrics = Arc::new(GatewayMetrics::register(&parts.metrics));
    let sessions = Arc::new(Sessions::default());
    let (room_hub, rooms_ear) = rooms::Rooms::new(&options, &*parts.streams, metrics.clone());
    let delivery =
        Delivery::new(sessions.clone(), core.clone(), metrics.clone(), options.resume_limit, room_hub.clone());
    let presence = Presence::new(gateway.clone(), &*parts.streams, core.clone(), sessions.clone(), redis.clone());
    let (sends, send_roads) = Sends::new(&core, &metrics, options.send_timeout);
    let (receipts, receipt_road) = Receipts::new(core.clone());
    let (typing, typing_records) = Typing::new();
    let (user_events, user_events_ear) = UserEvents::new(&options, &*parts.streams, metrics.clone());
    let mut deadlines = Deadlines::new(&options);
    let listeners = deadlines.with_heartbeat(options.user_events_ping);
    if conformance_rooms.is_some() {
        // whoever measures idle sockets need not answer pings
        deadlines = deadlines.without_silence();
    }
    let origins = if conformance_rooms.is_some() { Origins::Any } else { Origins::listed(&options.allowed_origins) };
    let sockjs = match &conformance_rooms {
        Some(_) => SockJs::conformance(conformance::sockjs_services())?,
        None => SockJs::new(&options, origins.clone())?,
    };
    let web = if conformance_rooms.is_some() { parts.web } else { web::with_upgrade_hint(parts.web, "/ws") };
    let web = if conformance_rooms.is_some() { web } else { web::with_upgrade_hint(web, "/user-events") };
    let shared = Arc::new_cyclic(|shared| Shared {
        web: web.merge(sockjs.router(shared)),
        gateway,
        sessions,
        delivery,
        presence,
        wheel: Arc::new(Wheel::new(deadlines, listeners)),
        user_events_web: user_events::router(shared, &parts.health, &parts.metrics),
        user_events,
        core,
        sends,
        receipts,
        typing,
        verifier: parts.verifier,
        issuer: parts.issuer,
        revocations: Revocations::default(),
        traces: TraceSource::new(parts.trace_rate),
        common: Arc::new(Common { queue_limit: options.session_queue, metrics: metrics.session.clone() }),
        workspaces: Workspaces::default(),
        message_limits: MessageLimits { max_message: options.max_frame, max_conformance: conformance::MAX_MESSAGE },
        user_quota: Quota::new(options.user_send_rate, options.user_byte_rate),
        address_quota: Quota::new(options.address_send_rate, options.address_byte_rate),
        addresses: Addresses::new(options.max_address_connections),
        origins,
        metrics,
        pace: Pace::default(),
        accepts: Mutex::new(TokenBucket::full(options.accept_rate, ticks::now())),
        guests: Arc::default(),
        sockjs,
        broker: conformance_rooms.is_some().then(Brokerage::default),
        rooms: conformance_rooms,
        shutdown,
        health: parts.health,
        service_token: parts.service_token,
        options,
    });
    let roads = Roads {
        user_events: user_events_ear,
        rooms: (room_hub, rooms_ear),
        sends: send_roads,
        receipts: receipt_road,
        typing: typing_records,
        redis,
        kafka,
    };
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
