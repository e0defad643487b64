//! A proxy in front of a server of any protocol, for cutting connections at will or after so many segments.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::runtime::listen;

/// A segment is what one read brings, at most this many bytes: with one request in flight, a request.
const SEGMENT_BYTES: usize = 64 * 1024;

/// What went through so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub connections: u64,
    /// From clients to the server.
    pub segments: u64,
    pub bytes_to_server: u64,
    pub bytes_to_client: u64,
}

#[derive(Debug)]
struct State {
    target: u16,
    traffic: Traffic,
    /// `traffic.segments` at which everything is cut.
    cut_at: Option<u64>,
    /// `traffic.bytes_to_client` at which clients become deaf.
    deaf_at: Option<u64>,
    lag: Duration,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// True while cut.
    cut: watch::Sender<bool>,
    /// True while clients are deaf.
    deaf: watch::Sender<bool>,
}

/// Listens on 127.0.0.1 until dropped.
#[derive(Debug)]
pub struct TcpProxy {
    port: u16,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

impl TcpProxy {
    /// In front of the server on this port of 127.0.0.1. A port that is known only later: [`TcpProxy::forward_to`].
    pub async fn start(target: u16) -> Result<Self> {
        let (port, listener, handle) = listen().await?;
        let state = State { target, traffic: Traffic::default(), cut_at: None, deaf_at: None, lag: Duration::ZERO };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            cut: watch::Sender::new(false),
            deaf: watch::Sender::new(false),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn_on(accept(listener, shared.clone()), handle);
        Ok(Self { port, shared, _accepting: accepting })
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// New connections go to this port of 127.0.0.1 from here on.
    pub fn forward_to(&self, target: u16) {
        self.shared.state.lock().target = target;
    }

    pub fn traffic(&self) -> Traffic {
        self.shared.state.lock().traffic
    }

    /// Drops every connection, and every new one until [`TcpProxy::heal`].
    pub fn cut(&self) {
        self.shared.cut.send_replace(true);
    }

    /// [`TcpProxy::cut`] once clients have sent `segments` more; the last of them still reaches the server, its answer
    /// does not come back.
    pub fn cut_after(&self, segments: u64) {
        let mut state = self.shared.state.lock();
        state.cut_at = Some(state.traffic.segments + segments);
    }

    /// While deaf, what clients say reaches the server and its answers do not come back: they wait here until
    /// `deafen(false)`, as segments that the network loses are sent again. Connections stay open.
    pub fn deafen(&self, deaf: bool) {
        self.shared.deaf.send_replace(deaf);
    }

    /// `deafen(true)` once so many more bytes have come back to clients: in the middle of an answer that is longer.
    pub fn deafen_after(&self, bytes: u64) {
        let mut state = self.shared.state.lock();
        state.deaf_at = Some(state.traffic.bytes_to_client + bytes);
    }

    pub fn is_deaf(&self) -> bool {
        *self.shared.deaf.borrow()
    }

    /// From now on each segment from a client waits so long before it reaches the server.
    pub fn lag(&self, lag: Duration) {
        self.shared.state.lock().lag = lag;
    }

    /// Lets everything through again, for new connections.
    pub fn heal(&self) {
        self.shared.state.lock().cut_at = None;
        self.shared.cut.send_replace(false);
    }

    pub fn is_cut(&self) -> bool {
        *self.shared.cut.borrow()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // An error is that of one connection that was given up before it was taken.
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                let shared = shared.clone();
                connections.spawn(async move {
                    let mut cut = shared.cut.subscribe();
                    tokio::select! {
                        // First, so that a connection during a cut does not even reach the server.
                        biased;
                        _ = cut.wait_for(|cut| *cut) => (),
                        () = forward(client, &shared) => (),
                    }
                });
            },
            Some(_) = connections.join_next() => (),
        }
    }
}

/// Until either side is done with it. A server that is not there is a connection that ends at once.
async fn forward(client: TcpStream, shared: &Shared) {
    let target = {
        let mut state = shared.state.lock();
        state.traffic.connections += 1;
        state.target
    };
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { return };
    // Neither side is to wait for more to send.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let upwards = async {
        let mut segment = vec![0; SEGMENT_BYTES];
        while let Ok(length @ 1..) = from_client.read(&mut segment).await {
            let lag = shared.state.lock().lag;
            tokio::time::sleep(lag).await;
            if to_server.write_all(&segment[..length]).await.is_err() {
                return;
            }
            let mut state = shared.state.lock();
            state.traffic.segments += 1;
            state.traffic.bytes_to_server += length as u64;
            if state.cut_at.is_some_and(|at| state.traffic.segments >= at) {
                shared.cut.send_replace(true);
            }
        }
        let _ = to_server.shutdown().await;
    };
    let downwards = async {
        let mut segment = vec![0; SEGMENT_BYTES];
        let mut deaf = shared.deaf.subscribe();
        while let Ok(length @ 1..) = from_server.read(&mut segment).await {
            // an error means that the proxy is gone, and this with it
            let _ = deaf.wait_for(|deaf| !deaf).await;
            if *shared.cut.borrow() || to_client.write_all(&segment[..length]).await.is_err() {
                return;
            }
            let mut state = shared.state.lock();
            state.traffic.bytes_to_client += length as u64;
            if state.deaf_at.is_some_and(|at| state.traffic.bytes_to_client >= at) {
                state.deaf_at = None;
                shared.deaf.send_replace(true);
            }
        }
        let _ = to_client.shutdown().await;
    };
    tokio::join!(upwards, downwards);
}
