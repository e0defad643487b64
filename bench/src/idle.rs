//! Memory of a gateway per idle connection.

use anyhow::{Context, Result};
use chatcluster_testkit::Deployment;
use clap::Args;
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use crate::process_usage;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Connections to hold
    #[arg(long, default_value_t = 5000)]
    connections: usize,
    /// Users they belong to; each user has one conversation
    #[arg(long, default_value_t = 100)]
    users: usize,
}

/// Connections of one user stay below this limit unless configured otherwise.
const PER_USER: &str = "1000";

pub(crate) async fn run(options: Options) -> Result<()> {
    let deployment =
        Deployment::builder().gateways(1).env("CHATCLUSTER_MAX_USER_CONNECTIONS", PER_USER).start().await?;
    let users: Vec<_> = stream::iter(0..options.users)
        .map(|i| {
            let deployment = &deployment;
            async move { deployment.user(&format!("idle-{i}")).await }
        })
        .buffered(4)
        .try_collect()
        .await?;
    let ids: Vec<&str> = users[1..].iter().map(|user| user.id.as_str()).collect();
    users[0].api.create_conversation("group", &ids).await?;
    let pid = deployment.process("gateway-0")?.pid().context("the gateway has ended")?;
    let before = process_usage::pss(pid)?;
    let url = &deployment.gateway_ws_urls()[0];
    let address = url.trim_start_matches("ws://").trim_end_matches("/ws");
    let sockets: Vec<_> = stream::iter(0..options.connections)
        .map(|i| {
            let token = &users[i % users.len()].token;
            async move {
                let tcp = tokio::net::TcpStream::connect(address).await?;
                let small = WebSocketConfig::default().read_buffer_size(1024).write_buffer_size(0);
                let (mut socket, _) = client_async_with_config(url, tcp, Some(small)).await?;
                socket.send(Message::text(json!({"type": "CONNECT", "token": token}).to_string())).await?;
                socket.next().await.context("closed before CONNECTED")??;
                Ok::<_, anyhow::Error>(socket)
            }
        })
        .buffer_unordered(64)
        .try_collect()
        .await?;
    let after = process_usage::pss(pid)?;
    let each = (after.saturating_sub(before)) as f64 / sockets.len() as f64 / 1024.0;
    println!(
        "{} idle connections: {each:.2} KiB each (gateway PSS {:.1} -> {:.1} MiB)",
        sockets.len(),
        mib(before),
        mib(after)
    );
    println!("{}", json!({"bench": "idle", "connections": sockets.len(), "kib_per_connection": each}));
    drop(sockets);
    deployment.stop().await
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}
