//! Where clients come in, and from which addresses: a Service that keeps a client address at one pod would send a whole
//! fleet of one machine to one gateway.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use rand::RngExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{WebSocketStream, client_async};

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// The platform as its users see it.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// Core's REST, without a slash at the end.
    pub api: String,
    /// WebSocket URLs, with an address for a host; a client takes any of them.
    pub gateways: Vec<String>,
    pub sources: Sources,
}

/// Addresses of this machine that clients call from: the first two bytes. The kernel must take the whole network for its
/// own, as it does with 127.0.0.0/8.
#[derive(Clone, Copy, Debug)]
pub struct Sources(pub u8, pub u8);

impl Sources {
    pub const LOOPBACK: Self = Self(127, 42);

    /// Another one each time, as of phones that change networks.
    pub fn any(self) -> Ipv4Addr {
        let mut dice = rand::rng();
        Ipv4Addr::new(self.0, self.1, dice.random_range(0..=255), dice.random_range(1..=254))
    }
}

impl Entrance {
    /// A TCP connection to the server of a WebSocket URL.
    pub async fn connect(&self, url: &str, source: Ipv4Addr) -> Result<TcpStream> {
        let host = url.trim_start_matches("ws://").split('/').next().unwrap_or_default();
        let to: SocketAddr = host.parse().with_context(|| format!("{url} has no address"))?;
        let socket = TcpSocket::new_v4().context("failed to make a socket")?;
        socket.bind(SocketAddr::new(IpAddr::V4(source), 0)).with_context(|| format!("failed to call from {source}"))?;
        let stream = socket.connect(to).await.with_context(|| format!("failed to connect to {to}"))?;
        stream.set_nodelay(true).context("failed to set up the connection")?;
        Ok(stream)
    }

    /// Connects and upgrades, to any gateway and from any address.
    pub(crate) async fn open(&self) -> Result<Socket> {
        let index = rand::rng().random_range(0..self.gateways.len().max(1));
        let url = self.gateways.get(index).context("there is no gateway")?;
        let stream = self.connect(url, self.sources.any()).await?;
        let (socket, _) = client_async(url, stream).await.context("the upgrade failed")?;
        Ok(socket)
    }
}
