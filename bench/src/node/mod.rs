//! One gateway of the real platform, full: a storm of authenticated connections, what each costs in memory and, with
//! its heartbeats, in CPU time; and what that says about a bigger machine.

mod crowd;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chatcluster_testkit::{Deployment, User};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use crowd::Crowd;

use crate::process_usage;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Connections to hold
    #[arg(long, default_value_t = 15_000)]
    connections: usize,
    /// Users they belong to, a multiple of 10 and at least 100: each is in ten conversations of 100 members
    #[arg(long, default_value_t = 300)]
    users: usize,
    /// Connections that are being opened at a time
    #[arg(long, default_value_t = 256)]
    storm: usize,
    /// How long they are idle, with their heartbeats, while CPU time is measured; seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Conversations of each user.
const CONVERSATIONS: usize = 10;
const MEMBERS: usize = 100;
/// Between the last connection and the look at memory: reports to core go out, buffers of the storm are given back.
const SETTLING: Duration = Duration::from_secs(5);
/// The machine that is extrapolated to.
const TARGET: (f64, f64, f64) = (1_000_000.0, 16.0, 30.0);

pub(crate) async fn run(options: Options) -> Result<()> {
    ensure!(
        options.users >= MEMBERS && options.users.is_multiple_of(CONVERSATIONS),
        "--users is a multiple of {CONVERSATIONS}, at least {MEMBERS}"
    );
    let per_user = options.connections.div_ceil(options.users).to_string();
    let deployment = Deployment::builder().env("CHATCLUSTER_MAX_USER_CONNECTIONS", &per_user).start().await?;
    eprintln!("signing up {} users, each in {CONVERSATIONS} conversations of {MEMBERS}", options.users);
    let users = sign_up(&deployment, options.users).await?;
    let conversations = converse(&users).await?;

    let gateway = Usage::of(&deployment, "gateway-0")?;
    let core = Usage::of(&deployment, "core-0")?;
    let tokens: Vec<&str> = users.iter().map(|user| user.token.as_str()).collect();
    let (slab, start) = (process_usage::slab()?, Instant::now());
    let url = deployment.gateway_ws_urls().first().context("no gateway")?;
    let mut crowd = Crowd::connect(url, &tokens, options.connections, options.storm).await?;
    let storm = start.elapsed();
    let count = options.connections as f64;
    let [p50, p99] = crowd.connecting.percentiles([50.0, 99.0]);
    let (gateway_each, core_each) = (gateway.cpu()? * 1e6 / count, core.cpu()? * 1e6 / count);
    println!(
        "{count} connections in {:.1} s ({:.0}/s, {} told to come back), CONNECTED after p50 {p50:.0}, p99 {p99:.0} ms",
        storm.as_secs_f64(),
        count / storm.as_secs_f64(),
        crowd.retries
    );
    println!("CPU each: gateway {gateway_each:.0} us, core {core_each:.0} us");

    tokio::time::sleep(SETTLING).await;
    let kib = gateway.grown()? / 1024.0 / count;
    // both ends of each connection are on this machine
    let kernel = process_usage::slab()?.saturating_sub(slab) as f64 / 1024.0 / count / 2.0;
    println!(
        "memory each: {kib:.2} KiB (PSS of the gateway, {:.1} MiB before) and {kernel:.2} KiB of the kernel's",
        gateway.pss as f64 / 1024.0 / 1024.0
    );

    let (idle_gateway, idle_core) = (Usage::of(&deployment, "gateway-0")?, Usage::of(&deployment, "core-0")?);
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let per_second = 1e6 / options.seconds as f64 / count;
    let (idle, idle_core) = (idle_gateway.cpu()? * per_second, idle_core.cpu()? * per_second);
    println!("idle, each and a second: gateway {idle:.2} us, core {idle_core:.2} us of CPU time");

    let delivered = crowd.hear(&users, &conversations).await?;
    println!("then one message into each conversation: {delivered} deliveries, none missing");

    let (connections, cores, gib) = TARGET;
    let memory = connections * (kib + kernel) / 1024.0 / 1024.0;
    let busy = connections * idle / 1e6;
    println!(
        "{connections} connections: ({kib:.2} + {kernel:.2}) KiB x {connections} = {memory:.1} of {gib} GiB; \
         {idle:.2} us/s x {connections} = {busy:.1} of {cores} cores; connecting at 10,000/s: {:.1} cores",
        gateway_each * 10_000.0 / 1e6
    );
    println!(
        "{}",
        json!({"bench": "node", "connections": options.connections, "users": options.users,
            "connections_per_s": count / storm.as_secs_f64(), "connected_p50_ms": p50, "connected_p99_ms": p99,
            "retries": crowd.retries, "gateway_us_per_connect": gateway_each, "core_us_per_connect": core_each,
            "kib_per_connection": kib, "kernel_kib_per_connection": kernel, "gateway_us_per_idle_second": idle, "core_us_per_idle_second": idle_core,
            "extrapolated": {"connections": connections, "gib": memory, "cores": busy}})
    );
    drop(crowd);
    deployment.stop().await
}

async fn sign_up(deployment: &Deployment, count: usize) -> Result<Vec<User>> {
    let names = (0..count).map(|i| async move { deployment.user(&format!("node-{i}")).await });
    stream::iter(names).buffered(4).try_collect().await
}

/// Conversation i has the 100 users from 10 i on, so that each user is in ten.
async fn converse(users: &[User]) -> Result<Vec<String>> {
    let mut conversations = Vec::new();
    for first in (0..users.len()).step_by(CONVERSATIONS) {
        let members: Vec<&str> =
            (first + 1..first + MEMBERS).map(|member| users[member % users.len()].id.as_str()).collect();
        let (status, conversation) = users[first].api.create_conversation("group", &members).await?;
        ensure!(status == 201, "creating a group: {status} {conversation}");
        conversations.push(conversation["id"].as_str().context("a conversation without id")?.to_owned());
    }
    Ok(conversations)
}

/// A process, with what it had used when it was first looked at.
struct Usage {
    pid: u32,
    cpu: Duration,
    pss: u64,
}

impl Usage {
    fn of(deployment: &Deployment, name: &str) -> Result<Self> {
        let pid = deployment.process(name)?.pid().with_context(|| format!("{name} has ended"))?;
        Ok(Self { pid, cpu: process_usage::cpu(pid)?, pss: process_usage::pss(pid)? })
    }

    /// Seconds since then.
    fn cpu(&self) -> Result<f64> {
        Ok(process_usage::cpu(self.pid)?.saturating_sub(self.cpu).as_secs_f64())
    }

    /// Bytes since then.
    fn grown(&self) -> Result<f64> {
        Ok(process_usage::pss(self.pid)?.saturating_sub(self.pss) as f64)
    }
}
