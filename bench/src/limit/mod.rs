//! The least a WebSocket server can do for a delivery, as a measure for those that do more: one thread, epoll, one frame
//! built per publish and one send(2) per delivery; or, batched, one send(2) for all that waits for a socket.
//!
//! `GET /sub/{room}` opens a socket, `POST /pub/{room}` sends the body to the room. No pings, no close handshake, no
//! limits, no buffer per connection: what a client sends after the handshake is thrown away.

mod connection;
mod request;
mod rooms;
mod server;

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result};
use clap::Args;

use server::Server;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8089")]
    listen: SocketAddr,
    /// One send for all that waits for a socket instead of one per delivery
    #[arg(long)]
    batched: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let listener =
        TcpListener::bind(options.listen).with_context(|| format!("failed to listen on {}", options.listen))?;
    serve(listener, options.batched)
}

/// Until the process ends.
pub(crate) fn serve(listener: TcpListener, batched: bool) -> Result<()> {
    Server::new(listener, batched)?.run()
}
