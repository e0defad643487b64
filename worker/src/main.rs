//! `chatcluster-worker`: see `--help`.

use std::sync::Arc;

use chatcluster_service::{
    config, rpc,
    shutdown::{self, Shutdown},
    telemetry,
};
use chatcluster_transport::{event_log::kafka::KafkaLog, gateway_streams::redis::RedisStreams};
use chatcluster_worker::{Parts, Worker, config::Process};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let process: Process = config::parse();
    let telemetry = telemetry::init("chatcluster-worker", &process.log)?;
    let shutdown = Shutdown::on_signals()?;
    let listener = tokio::net::TcpListener::bind(process.listen).await?;
    let parts = Parts {
        log: Arc::new(KafkaLog::new(&process.kafka)?),
        streams: Arc::new(RedisStreams::new(&process.redis)?),
        core: rpc::channel(&process.core_url)?,
        service_token: process.service_token,
    };
    let ended = Worker::start(process.options, parts, shutdown)?.serve(listener).await;
    // what is left to be logged and traced
    drop(telemetry);
    shutdown::leave(ended)
}
