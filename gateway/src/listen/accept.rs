//! Accepts connections and brings each to where it belongs, within limits and deadlines.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::extract::ConnectInfo;
use bytes::Bytes;
use chatcluster_contracts::{
    close::CloseReason,
    ids::ConnectionId,
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
    head::{self, Head, MAX_HEAD_BYTES},
    rewind::Rewind,
    upgrade::{self, Refusal},
};
use crate::{
    gateway::Shared,
    session::{Session, connection, ticks},
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
    let Ok(permit) = shared.handshakes.clone().try_acquire_owned() else {
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
    match head {
        Head::WebSocket { request, length } => {
            let answer = match upgrade::answer(&request, &shared.options.allowed_origins) {
                Ok(answer) => identify(shared, &request).await.map(|claims| (answer, claims)).map_err(Refusal::of),
                Err(refusal) => Err(refusal),
            };
            match answer {
                Ok((answer, claims)) => {
                    stream.write_all(answer.as_bytes()).await?;
                    start(shared, stream, buffer.split_off(length), claims);
                }
                Err(refusal) => {
                    stream.write_all(upgrade::refusal_bytes(&refusal).as_bytes()).await?;
                    stream.shutdown().await?;
                }
            }
            Ok(())
        }
        Head::Http | Head::Partial => {
            let result = http(shared, Rewind::new(Bytes::from(buffer), stream), peer).await;
            drop(permit);
            result
        }
    }
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
fn start(shared: &Arc<Shared>, stream: TcpStream, early: Vec<u8>, claims: Option<Claims>) {
    let key = shared.sessions.next_key();
    // the boot makes it unique across restarts
    let id = match ConnectionId::new(&shared.gateway.node, &format!("{}-{key:x}", shared.gateway.boot)) {
        Ok(id) => id,
        Err(error) => return tracing::error!(%error, "a connection got no id"),
    };
    let metrics = shared.metrics.session.clone();
    let session = Arc::new(Session::new(id, key, stream, shared.options.session_queue, metrics));
    shared.metrics.opened.inc();
    shared.metrics.connections.inc();
    let full = shared.sessions.count() >= shared.options.max_connections;
    shared.sessions.add(session.clone());
    if full {
        session.close(CloseReason::TryAgainLater);
    } else if shared.shutdown.is_requested() {
        session.close(CloseReason::ServiceRestart);
    } else {
        shared.wheel.look(&session, ticks::now());
    }
    tokio::spawn(connection::serve(shared.clone(), session, early, claims));
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
