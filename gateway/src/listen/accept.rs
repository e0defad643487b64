//! Accepts connections and brings each to where it belongs, within limits and deadlines.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use chatcluster_contracts::problem::{Code, Problem};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    fetched,
    guests::Guest,
    head::{self, Head, MAX_HEAD_BYTES},
    opening::{Caller, Purpose},
    reused,
    rewind::Rewind,
    sockjs,
    target::{Accepted, Entrance, Target, Way},
    upgrade::Refusal,
};
use crate::{
    conformance,
    protocol::sockjs::{
        hixie76::{self, Challenge},
        route::Framing,
    },
    session::{Outlet, ticks},
    shared::Shared,
};

/// An HTTP connection may rest this long between requests: longer than proxies and clients keep theirs, or they would
/// send into one that is just being closed.
const IDLE: Duration = Duration::from_secs(100);

/// Accepts until the gateway drains. `take`: what becomes of each connection.
pub(crate) async fn serve(shared: &Arc<Shared>, listener: TcpListener, take: fn(&Arc<Shared>, TcpStream, SocketAddr)) {
    let draining = shared.shutdown.token();
    loop {
        let accepted = tokio::select! {
            biased;
            () = draining.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => take(shared, stream, peer),
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
    accept_at(shared, Entrance::Main, stream, peer);
}

/// The same on the port of user events.
pub(crate) fn accept_listener(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    accept_at(shared, Entrance::UserEvents, stream, peer);
}

fn accept_at(shared: &Arc<Shared>, entrance: Entrance, stream: TcpStream, peer: SocketAddr) {
    let guest =
        if shared.accepts.lock().take(shared.options.accept_rate, ticks::now()) { shared.guests.enter() } else { None };
    let Some(guest) = guest else {
        shared.metrics.refused_connections.inc();
        tracing::debug!(%peer, "too many connections: refused");
        return refuse(stream);
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        if let Err(error) = handshake(&shared, entrance, stream, peer, guest).await {
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
        let _ = stream.write_all(busy.bytes().as_bytes());
    }
}

/// What every client's socket is set to.
pub(super) fn prepare(shared: &Shared, stream: &TcpStream) -> io::Result<()> {
    // frames are small and wanted now
    stream.set_nodelay(true)?;
    // the kernel would let it grow to megabytes for a reader that stalls
    rustix::net::sockopt::set_socket_send_buffer_size(stream, shared.options.socket_send_buffer)?;
    Ok(())
}

async fn handshake(
    shared: &Arc<Shared>,
    entrance: Entrance,
    mut stream: TcpStream,
    peer: SocketAddr,
    _guest: Guest,
) -> io::Result<()> {
    prepare(shared, &stream)?;
    let mut buffer = Vec::with_capacity(1024);
    let reading = read_head(&mut stream, &mut buffer);
    let head = match tokio::time::timeout(shared.options.head_timeout, reading).await {
        Ok(head) => head?,
        Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "the request head did not arrive in time")),
    };
    if let Head::Get { request, length } = head
        && let Some(target) = Target::of(shared, entrance, &request)
    {
        let early = buffer.split_off(length);
        if let (Some(challenge), Way::SockJs(Framing::SockJs), Some(_)) = (request.challenge, target.way, &shared.rooms)
        {
            return old_websocket(shared, stream, peer, challenge, &request, &target.purpose, early).await;
        }
        return match target.answer(shared, &request, peer).await {
            Ok(Accepted { answer, begins_with, opens }) => {
                let answer = answer.head() + &begins_with;
                stream.write_all(answer.as_bytes()).await?;
                opens.start(shared, Outlet::Socket(stream), early);
                Ok(())
            }
            Err(refusal) => {
                stream.write_all(refusal.bytes().as_bytes()).await?;
                stream.shutdown().await
            }
        };
    }
    let mut front = Bytes::from(buffer);
    if let (Some(rooms), Entrance::Main) = (&shared.rooms, entrance) {
        match conformance::serve_publisher(rooms, &mut stream, &front).await? {
            Some(other) => front = other,
            None => return Ok(()),
        }
    }
    // a response that streams has no other deadline: heartbeats that nobody acknowledges end it
    let limit = u32::try_from(shared.options.write_timeout.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(&stream, limit)?;
    http(shared, entrance, Rewind::new(front, stream), peer).await
}

/// Conformance mode: SockJS over the WebSocket of 2010.
async fn old_websocket(
    shared: &Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    challenge: Challenge,
    request: &head::Request,
    purpose: &Purpose,
    early: Vec<u8>,
) -> io::Result<()> {
    let caller = Caller { peer: peer.ip(), forwarded_for: None, bearer: None, ticket: None };
    let session = fetched::open(shared, purpose, &caller).await.map_err(|problem| io::Error::other(problem.detail))?;
    let named = |header: &Option<String>| header.clone().unwrap_or_default();
    let head = hixie76::head(&named(&request.host), &request.path, &named(&request.origin));
    sockjs::hixie76::carry(stream, challenge, head, early, session).await
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

async fn http(shared: &Arc<Shared>, entrance: Entrance, stream: Rewind, peer: SocketAddr) -> io::Result<()> {
    let serving = shared.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = serving.clone();
        async move { Ok::<_, Infallible>(reused::serve(&shared, entrance, peer, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
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
