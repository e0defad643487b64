//! The plain TCP port of STOMP: no HTTP, no handshake. Who it is comes with CONNECT.

use std::{io, net::SocketAddr, sync::Arc};

use chatcluster_contracts::problem::{Code, Problem};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use super::{
    accept::prepare,
    opening::{self, Beginning, Caller, Purpose},
};
use crate::{
    conformance::Service,
    protocol::stomp::{
        Version,
        encoder::{self, ErrorFrame},
    },
    session::{Carrier, Dialect, Form, Outlet, ticks},
    shared::Shared,
};

/// Binds the port at once, so that a start with an address that is taken fails.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Takes one connection; everything else happens in a task of its own.
pub(crate) fn accept(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let admitted = shared.accepts.lock().take(shared.options.accept_rate, ticks::now());
    let shared = shared.clone();
    tokio::spawn(async move {
        let busy = || Problem::new(Code::Unavailable, "too many connections; try again");
        let begun = if admitted { begin(&shared, stream, peer).await } else { Err((stream, busy())) };
        if let Err((stream, problem)) = begun {
            shared.metrics.refused_connections.inc();
            tracing::debug!(%peer, %problem, "connection refused");
            // whether it is read does not matter
            let _ = refuse(stream, &problem).await;
        }
    });
}

async fn begin(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) -> Result<(), (TcpStream, Problem)> {
    // where it cannot be done, frames come a little later
    let _ = prepare(shared, &stream);
    let (purpose, dialect) = if shared.broker.is_some() {
        (Purpose::Conformance(Service::Broker), Dialect::Broker)
    } else {
        (Purpose::Platform, Dialect::Stomp)
    };
    let caller = Caller { peer: peer.ip(), forwarded_for: None, bearer: None, ticket: None };
    let admission = match opening::admit(shared, &purpose, &caller).await {
        Ok(admission) => admission,
        Err(problem) => return Err((stream, problem)),
    };
    let form = Form { dialect, carrier: Carrier::Tcp };
    opening::start(shared, &purpose, form, Outlet::Socket(stream), admission, Beginning::default());
    Ok(())
}

async fn refuse(mut stream: TcpStream, problem: &Problem) -> io::Result<()> {
    let headers = [("code", problem.code.as_str())];
    let frame = ErrorFrame { message: &problem.detail, receipt_id: None, headers: &headers, body: &problem.detail };
    stream.write_all(&encoder::error(Version::V1_0, &frame)).await?;
    stream.shutdown().await
}
