//! Accepts connections and brings each to where it belongs, within limits and deadlines.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::extract::ConnectInfo;
use bytes::Bytes;
use chatcluster_contracts::{
    close::CloseReason,
    frame::Connect,
    problem::{Code, Problem},
};
use chatcluster_service::tokens::Claims;
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
};
use tower::{ServiceExt, service_fn};

use super::{
    addresses::{Place, client_address},
    event_stream,
    head::{self, Head, MAX_HEAD_BYTES},
    rewind::Rewind,
    upgrade::{self, Refusal},
};
use crate::{
    conformance::{self, Rooms, Service},
    gateway::Shared,
    session::{Carrier, Dialect, Form, Outlet, Session, connection::Connection, ticks},
};

/// An HTTP connection may rest this long between requests: longer than proxies and clients keep theirs, or they would
/// send into one that is just being closed.
const IDLE: Duration = Duration::from_secs(100);

/// Accepts until the gateway drains.
pub(crate) async fn serve(shared: &Arc<Shared>, listener: TcpListener) {
    let draining = shared.shutdown.token();
    loop {
        let accepted = tokio::select! {
            biased;
            () = draining.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => accept(shared, stream, peer),
            Err(error) => {
                // out of file descriptors, or a connection that died waiting: the next one may work
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Takes one connection; everything else happens in a task of its own.
pub(crate) fn accept(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let permit = if shared.accepts.lock().take(shared.options.accept_rate, ticks::now()) {
        shared.handshakes.clone().try_acquire_owned().ok()
    } else {
        None
    };
    let Some(permit) = permit else {
        shared.metrics.refused_connections.inc();
        tracing::debug!(%peer, "too many connections: refused");
        return refuse(stream);
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        if let Err(error) = handshake(&shared, stream, peer, permit).await {
            tracing::debug!(%error, %peer, "connection ended before it was a session");
        }
    });
}

/// Says why, without waiting whether it is read.
fn refuse(stream: TcpStream) {
    use std::io::Write;
    let busy = Refusal::of(Problem::new(Code::Unavailable, "too many connections; try again"));
    if let Ok(mut stream) = stream.into_std() {
        // the socket does not block, and an answer this short fits its buffer
        let _ = stream.write_all(upgrade::refusal_bytes(&busy).as_bytes());
    }
}

/// Where an upgrade leads.
enum Target {
    /// `/ws`: a session of the platform.
    Platform,
    /// `/events`: the same, read only.
    Events,
    Conformance(Arc<Rooms>, Service),
}

impl Target {
    fn of(shared: &Shared, request: &head::Request) -> Option<Self> {
        match (&shared.rooms, request.path.as_str(), request.upgrade) {
            (Some(rooms), path, true) => Service::of(path).map(|service| Self::Conformance(rooms.clone(), service)),
            (None, "/ws", true) => Some(Self::Platform),
            (None, "/events", false) => Some(Self::Events),
            _ => None,
        }
    }

    const fn dialect(&self) -> Dialect {
        match self {
            Self::Platform | Self::Events => Dialect::Native,
            Self::Conformance(_, service) => service.dialect(),
        }
    }
}

async fn handshake(
    shared: &Arc<Shared>,
    mut stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
) -> io::Result<()> {
    // frames are small and wanted now
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(1024);
    let reading = read_head(&mut stream, &mut buffer);
    let head = match tokio::time::timeout(shared.options.head_timeout, reading).await {
        Ok(head) => head?,
        Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "the request head did not arrive in time")),
    };
    if let Head::Get { request, length } = head
        && let Some(target) = Target::of(shared, &request)
    {
        return match upgraded(shared, &request, &target, peer).await {
            Ok(upgraded) => {
                stream.write_all(upgraded.answer.as_bytes()).await?;
                start(shared, stream, buffer.split_off(length), &target, upgraded);
                Ok(())
            }
            Err(refusal) => {
                stream.write_all(upgrade::refusal_bytes(&refusal).as_bytes()).await?;
                stream.shutdown().await
            }
        };
    }
    let mut front = Bytes::from(buffer);
    if let Some(rooms) = &shared.rooms {
        match conformance::serve_publisher(rooms, &mut stream, &front).await? {
            Some(other) => front = other,
            None => return Ok(()),
        }
    }
    let result = http(shared, Rewind::new(front, stream), peer).await;
    drop(permit);
    result
}

/// What an accepted upgrade brings.
struct Upgraded {
    answer: String,
    form: Form,
    /// What the session connects with by itself.
    connect: Option<Connect>,
    claims: Option<Claims>,
    place: Option<Place>,
}

async fn upgraded(
    shared: &Shared,
    request: &head::Request,
    target: &Target,
    peer: SocketAddr,
) -> Result<Upgraded, Refusal> {
    let options = &shared.options;
    let (answer, carrier, connect) = if matches!(target, Target::Events) {
        let (answer, connect) = event_stream::answer(request, &shared.origins)?;
        (answer, Carrier::EventStream, Some(connect))
    } else {
        let (answer, deflate) = upgrade::answer(request, &shared.origins, options.permessage_deflate)?;
        (answer, Carrier::WebSocket { deflate }, None)
    };
    let address = client_address(peer.ip(), request.forwarded_for.as_deref(), options.trusted_proxies);
    let Some(place) = shared.addresses.enter(address) else {
        let problem = Problem::new(Code::TooManyConnections, "this address has too many connections here");
        return Err(Refusal::of(problem));
    };
    let claims = match target {
        Target::Platform | Target::Events => identify(shared, request).await.map_err(Refusal::of)?,
        Target::Conformance(..) => None,
    };
    if connect.is_some() && claims.is_none() {
        let problem = Problem::new(Code::Unauthenticated, "an Authorization header or a ticket is needed");
        return Err(Refusal::of(problem));
    }
    let place = shared.knows_addresses().then_some(place);
    Ok(Upgraded { answer, form: Form { dialect: target.dialect(), carrier }, connect, claims, place })
}

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Head> {
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match head::parse(buffer) {
            Head::Partial if buffer.len() < MAX_HEAD_BYTES => {}
            head => return Ok(head),
        }
    }
}

/// Who the upgrade request says it is, if it says.
async fn identify(shared: &Shared, request: &head::Request) -> Result<Option<Claims>, Problem> {
    match (&request.bearer, &request.ticket) {
        (Some(token), _) => shared.verify(token).await.map(Some),
        (None, Some(ticket)) => shared.core.redeem_ticket(ticket).await.map(Some),
        (None, None) => Ok(None),
    }
}

/// Makes a session of an upgraded connection and gives it a task of its own: small, and without this handshake's state.
fn start(shared: &Arc<Shared>, stream: TcpStream, early: Vec<u8>, target: &Target, upgraded: Upgraded) {
    let Upgraded { form, connect, claims, place, .. } = upgraded;
    let key = shared.sessions.next_key();
    let session = Arc::new(Session::new(key, Outlet::Socket(stream), form, place, shared.common.clone()));
    shared.metrics.opened.inc();
    shared.metrics.connections.inc();
    let full = shared.sessions.count() >= shared.options.max_connections;
    shared.sessions.add(session.clone());
    if full {
        session.close(CloseReason::TryAgainLater);
    } else if shared.shutdown.is_requested() {
        session.close(CloseReason::ServiceRestart);
    } else {
        if let Target::Conformance(rooms, service) = target
            && !conformance::begin(shared, rooms, &session, service)
        {
            session.close(CloseReason::Unauthenticated);
        }
        shared.wheel.look(&session, ticks::now());
    }
    tokio::spawn(Connection::new(shared.clone(), session, early, claims, connect));
}

async fn http(shared: &Arc<Shared>, stream: Rewind, peer: SocketAddr) -> io::Result<()> {
    let web = shared.web.clone();
    let service = TowerToHyperService::new(service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        web.clone().oneshot(request)
    }));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let draining = shared.shutdown.token();
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    served.map_err(io::Error::other)
}
