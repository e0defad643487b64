//! One room of very many members, some of them connected: a message is published once for all gateways and written to
//! each socket. Sender and readers are one process, so there is one monotonic clock.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use chatcluster_testkit::{Deployment, User};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use crate::{
    path::{
        cpu_of,
        fleet::Fleet,
        load::{Load, Outcome},
    },
    process_usage,
};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Members of the room
    #[arg(long, default_value_t = 100_000)]
    members: usize,
    /// Connections of its members, over two gateways
    #[arg(long, default_value_t = 10_000)]
    sockets: usize,
    /// Users they belong to
    #[arg(long, default_value_t = 100)]
    users: usize,
    /// Messages a second
    #[arg(long, value_delimiter = ',', default_value = "1,5")]
    rates: Vec<u32>,
    /// How long each rate lasts, seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// Connections that are being opened at a time.
const STORM: usize = 64;

pub(crate) async fn run(options: Options) -> Result<()> {
    crate::gateway::enough_files()?;
    ensure!(
        options.members >= options.users && options.users > 1,
        "--members is at least --users, which is at least 2"
    );
    let per_user = options.sockets.div_ceil(options.users).to_string();
    let deployment =
        Deployment::builder().gateways(2).env("CHATCLUSTER_MAX_USER_CONNECTIONS", &per_user).start().await?;
    eprintln!("signing up {} users of a room of {} members", options.users, options.members);
    let users: Vec<User> = stream::iter(0..options.users)
        .map(|i| {
            let deployment = &deployment;
            async move { deployment.user(&format!("room-{i}")).await }
        })
        .buffered(4)
        .try_collect()
        .await?;
    let room = room(&deployment, &users, options.members).await?;
    eprintln!("connecting {} sockets", options.sockets);
    let mut fleet = Fleet { conversation: room, sinks: Vec::new(), board: Arc::default(), latencies: Vec::new() };
    fleet.connect_all(deployment.gateway_ws_urls(), &users, options.sockets, STORM).await?;

    println!("\n{} members, {} sockets over 2 gateways", options.members, options.sockets);
    println!(
        "{:>12} {:>22} {:>30} {:>12} {:>14}",
        "messages/s", "SEND->ACK p50/p99 ms", "SEND->MSG p50/p99/max ms", "deliveries", "CPU us/deliv."
    );
    fleet.offer(Load::Rate(1), Duration::from_secs(5)).await?;
    let mut results = Vec::new();
    for rate in &options.rates {
        let before = cpu_of(&deployment)?;
        let mut outcome = fleet.offer(Load::Rate(*rate), Duration::from_secs(options.seconds)).await?;
        let cpu = cpu_of(&deployment)?.saturating_sub(before);
        results.push(report(*rate, &mut outcome, cpu));
    }
    let gateway = deployment.process("gateway-0")?.pid().context("the gateway has ended")?;
    let memory = process_usage::pss(gateway)? / 1024 / 1024;
    println!("one gateway with half of the sockets: {memory} MiB");
    println!(
        "{}",
        json!({"bench": "rooms", "members": options.members, "sockets": options.sockets, "gateway_mib": memory, "results": results})
    );
    drop(fleet);
    deployment.stop().await
}

/// Those who are connected become members by REST, the others by SQL: they have no accounts, and nobody asks for those.
async fn room(deployment: &Deployment, users: &[User], members: usize) -> Result<String> {
    let ids: Vec<&str> = users[1..].iter().map(|user| user.id.as_str()).collect();
    let (status, created) = users[0].api.create_conversation("channel", &ids).await?;
    ensure!(status == 201, "creating the room: {status} {created}");
    let room = created["id"].as_str().context("a conversation without id")?.to_owned();
    let others = members - users.len();
    if others > 0 {
        let insert = format!(
            "INSERT INTO conversation_members (conversation_id, user_id, joined_seq, joined_at) \
             SELECT '{room}', CONCAT('somebody-', seq), 0, 0 FROM seq_1_to_{others}"
        );
        deployment.query(&insert).await?;
        deployment.query(&format!("UPDATE conversations SET member_count = {members} WHERE id = '{room}'")).await?;
    }
    Ok(room)
}

fn report(rate: u32, outcome: &mut Outcome, cpu: Duration) -> serde_json::Value {
    let [ack50, ack99] = outcome.acks.percentiles([50.0, 99.0]);
    let [msg50, msg99, most] = outcome.messages.percentiles([50.0, 99.0, 100.0]);
    let deliveries = outcome.messages.len();
    let cpu_each = cpu.as_secs_f64() * 1e6 / deliveries.max(1) as f64;
    println!(
        "{rate:>12} {:>22} {:>30} {deliveries:>12} {cpu_each:>14.1}",
        format!("{ack50:.1} / {ack99:.1}"),
        format!("{msg50:.1} / {msg99:.1} / {most:.1}")
    );
    json!({
        "rate": rate, "deliveries": deliveries, "ack_p50_ms": ack50, "ack_p99_ms": ack99, "message_p50_ms": msg50,
        "message_p99_ms": msg99, "message_max_ms": most, "cpu_us_per_delivery": cpu_each,
    })
}
