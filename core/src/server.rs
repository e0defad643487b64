//! Core as a process of its own: two ports, Kafka and Redis.

use std::{future::IntoFuture, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use axum::serve::ListenerExt;
use chatcluster_service::{health::Health, metrics::Metrics, operations, shutdown::Shutdown};
use chatcluster_transport::{event_log::kafka::KafkaLog, gateway_streams::redis::RedisStreams};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

use crate::{
    assembly::{Core, Parts},
    options::Options,
    store::{Store, StoreOptions},
};

/// Requests under way at the end have this long.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until `shutdown`, then finishes what is under way.
pub async fn run(options: Options, shutdown: Shutdown) -> Result<()> {
    if options.migrate_only {
        return migrate(&options).await;
    }
    let rest = TcpListener::bind(options.listen).await;
    let rest = rest.with_context(|| format!("failed to listen on --listen {}", options.listen))?;
    let grpc = TcpListener::bind(options.grpc_listen).await;
    let grpc = grpc.with_context(|| format!("failed to listen on --grpc-listen {}", options.grpc_listen))?;
    let (health, metrics) = (Health::new(), Metrics::new("core"));
    let parts = Parts {
        log: Arc::new(KafkaLog::new(&options.kafka)?),
        streams: Arc::new(RedisStreams::new(&options.redis)?),
        names: options.kafka.names(),
        health: health.clone(),
        metrics: metrics.clone(),
        // Nobody else on this host can have the address while we live.
        node: format!("{}/{}", host_name(), rest.local_addr()?),
    };
    let core = Core::start(&options.core, parts).await?;
    tracing::info!(rest = %rest.local_addr()?, grpc = %grpc.local_addr()?, "core started");

    let router = core.router().merge(operations::router(health.clone(), metrics));
    let rest = rest.tap_io(|stream| drop(stream.set_nodelay(true)));
    let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
    let stop = shutdown.clone();
    let rest = axum::serve(rest, service).with_graceful_shutdown(async move { stop.requested().await });
    let stop = shutdown.clone();
    let grpc = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .add_routes(core.grpc())
        .serve_with_incoming_shutdown(TcpIncoming::from(grpc).with_nodelay(Some(true)), async move {
            stop.requested().await;
        });
    let drain = async {
        shutdown.requested().await;
        health.set_draining();
        core.end_streams();
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = async { tokio::try_join!(async { rest.into_future().await.context("REST failed") },
                                          async { grpc.await.context("gRPC failed") }) } => { served?; }
        () = drain => tracing::warn!("requests still under way at the end"),
    }
    core.stop().await;
    tracing::info!("core stopped");
    Ok(())
}

/// One attempt: whoever started this decides about more.
async fn migrate(options: &Options) -> Result<()> {
    let store = Store::open(&StoreOptions {
        url: options.core.database_url.clone(),
        names: options.kafka.names(),
        outbox_shards: options.core.outbox_shards,
        append_lanes: 1,
        pool_size: 2,
    })?;
    let migrated = store.migrate().await.context("failed to bring the schema up to date");
    store.close().await;
    migrated?;
    tracing::info!("the schema is up to date");
    Ok(())
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "core".to_owned(), |name| name.trim().to_owned())
}
