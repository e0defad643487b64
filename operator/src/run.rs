//! The operator as a process: serves health and metrics, waits until it may work, works until it must stop.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use chatcluster_service::{
    health::{Dependency, Health},
    metrics::Metrics,
    operations,
    shutdown::Shutdown,
};
use kube::Client;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{client, controller, lease::Election, metrics::OperatorMetrics, options::Options};

/// Passes under way have so long to end.
const DRAIN: Duration = Duration::from_secs(20);

/// Runs until `shutdown`. An error means that the process should be started again.
pub async fn run(options: Options, shutdown: Shutdown) -> anyhow::Result<()> {
    let metrics = Metrics::new("operator");
    let counted = OperatorMetrics::new(&metrics);
    let client = client::connect(&counted).await?;
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("failed to listen on {}", options.listen))?;
    serve(options, client, listener, metrics, counted, shutdown).await
}

/// As [`run`], on a socket and a connection to the API server that are there already.
pub async fn serve(
    options: Options,
    client: Client,
    listener: TcpListener,
    metrics: Metrics,
    counted: OperatorMetrics,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let health = Health::new();
    let router = operations::router(health.clone(), metrics);
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let outcome = tokio::select! {
        outcome = work(options, client, &health, counted, shutdown.clone()) => outcome,
        () = async { shutdown.requested().await; tokio::time::sleep(DRAIN).await } => {
            tracing::warn!("passes still under way at the end");
            Ok(())
        }
    };
    health.set_draining();
    server.abort();
    outcome
}

async fn work(
    options: Options,
    client: Client,
    health: &Health,
    metrics: OperatorMetrics,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let api_server = health.dependency("kubernetes");
    let version = tokio::select! {
        version = client.apiserver_version() => version,
        () = shutdown.requested() => return Ok(()),
    };
    let version = version.inspect_err(|error| api_server.down(error)).context("failed to reach the API server")?;
    // waiting for the lease is as good as working: a standby is ready
    api_server.up();
    let identity = identity(&options);
    tracing::info!(
        kubernetes = version.git_version,
        identity,
        namespaces =
            if options.watch_namespaces.is_empty() { "all".to_owned() } else { options.watch_namespaces.join(",") },
        "operator started"
    );
    if !options.leader_election {
        metrics.leader.set(1);
        controllers(&options, client, metrics, &identity, api_server, &shutdown).await;
        return Ok(());
    }
    let namespace = lease_namespace(&options, &client);
    let mut election =
        Election::new(client.clone(), &namespace, &options.lease_name, &identity, options.lease_duration);
    tracing::info!(lease = options.lease_name, namespace, "waiting for the lease");
    let won = tokio::select! {
        won = election.won() => won,
        () = shutdown.requested() => return Ok(()),
    };
    tracing::info!(lease = options.lease_name, "the lease is ours");
    metrics.leader.set(1);
    tokio::select! {
        () = controllers(&options, client, metrics.clone(), &identity, api_server, &shutdown) => {}
        () = election.lost(won) => {
            metrics.leader.set(0);
            bail!("the lease was lost: another operator works now");
        }
    }
    metrics.leader.set(0);
    election.release().await;
    Ok(())
}

/// One controller for each namespace, or one for all of them.
async fn controllers(
    options: &Options,
    client: Client,
    metrics: OperatorMetrics,
    identity: &str,
    api_server: Dependency,
    shutdown: &Shutdown,
) {
    let shared = Arc::new(controller::Shared::new(client, options, metrics, identity, api_server));
    let namespaces: Vec<Option<String>> = match &options.watch_namespaces[..] {
        [] => vec![None],
        some => some.iter().cloned().map(Some).collect(),
    };
    let mut running = JoinSet::new();
    for namespace in namespaces {
        running.spawn(controller::run(shared.clone(), namespace, shutdown.token()));
    }
    while running.join_next().await.is_some() {}
}

fn identity(options: &Options) -> String {
    options.node.clone().unwrap_or_else(|| {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        // two operators by hand on one machine are two
        format!("{host}-{}", std::process::id())
    })
}

fn lease_namespace(options: &Options, client: &Client) -> String {
    options.lease_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned())
}
