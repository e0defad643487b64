//! `chatcluster-gateway`: see `--help`.

use std::sync::Arc;

use chatcluster_gateway::{Gateway, Options, Parts, Process, legacy, listen::web};
use chatcluster_service::{
    config,
    health::Health,
    metrics::Metrics,
    operations, rpc,
    shutdown::{self, Shutdown},
    telemetry,
};
use chatcluster_transport::{
    event_log::{EventLog, kafka::KafkaLog},
    gateway_streams::redis::RedisStreams,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let process: Process = config::parse_above(&legacy::settings(|name| std::env::var(name).ok())?);
    let telemetry = telemetry::init("chatcluster-gateway", &process.log)?;
    let shutdown = Shutdown::on_signals()?;
    let listener = tokio::net::TcpListener::bind(process.listen).await?;
    let (health, metrics) = (Health::new(), Metrics::new("gateway"));
    let Some(service_token) = process.service_token.clone() else {
        return Gateway::start_conformance(process.options, &health, metrics, shutdown)?.serve(listener).await;
    };
    let parts = Parts {
        streams: Arc::new(RedisStreams::new(&process.redis)?),
        producer: KafkaLog::new(&process.kafka)?.producer(),
        core: rpc::channel(&process.core_url)?,
        verifier: process.verifier()?,
        issuer: process.token_issuer,
        web: web::with_problems(operations::router(health.clone(), metrics.clone())),
        trace_rate: process.log.trace_rate,
        service_token,
        health,
        metrics,
    };
    let options = Options {
        user_events_listen: process.user_events_listen.0,
        fanout_broadcast_above: process.fanout_broadcast_above,
        ..process.options
    };
    let ended = Gateway::start(options, parts, shutdown)?.serve(listener).await;
    // what is left to be logged and traced
    drop(telemetry);
    shutdown::leave(ended)
}
