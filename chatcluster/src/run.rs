//! `chatcluster run`: core, worker and gateway in this process, on embedded parts. The code on the way of a message is that
//! of the cluster; only the two seams and the database differ.

use std::{
    fs::{File, TryLockError},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use chatcluster_contracts::topics::Names;
use chatcluster_core::{Core, CoreOptions, TokenOptions, store::sqlite_url};
use chatcluster_gateway::{Gateway, listen::web};
use chatcluster_service::{
    config::Secret,
    health::Health,
    metrics::Metrics,
    operations,
    shutdown::Shutdown,
    telemetry::{self, LogOptions},
};
use chatcluster_transport::{
    event_log::{EventLog, embedded::EmbeddedLog},
    gateway_streams::{GatewayStreams, memory::MemoryStreams},
};
use chatcluster_worker::Worker;
use clap::Args;
use tokio::net::TcpListener;

use crate::{in_process, page};

#[derive(Debug, Args)]
pub struct RunOptions {
    /// Where everything is served: page, REST, WebSocket, health and metrics
    #[arg(long, env = "CHATCLUSTER_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Folder of everything that is kept: database, event log, signing key
    #[arg(long, env = "CHATCLUSTER_DATA_DIR", default_value = "./data", value_name = "FOLDER")]
    data_dir: PathBuf,

    /// Do not serve the demo page
    #[arg(long, env = "CHATCLUSTER_NO_PAGE")]
    no_page: bool,

    #[command(flatten, next_help_heading = "Tokens")]
    tokens: TokenOptions,
    #[command(flatten, next_help_heading = "Connections")]
    gateway: chatcluster_gateway::Options,
    #[command(flatten, next_help_heading = "Fan-out")]
    worker: chatcluster_worker::Options,
    #[command(flatten, next_help_heading = "Logs and traces")]
    log: LogOptions,
}

pub async fn run(options: RunOptions) -> anyhow::Result<()> {
    let _telemetry = telemetry::init("chatcluster", &options.log)?;
    let shutdown = Shutdown::on_signals()?;
    let folder = &options.data_dir;
    create_private(folder).with_context(|| format!("--data-dir {} cannot be used", folder.display()))?;
    let _lock = lock(folder)?;
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("--listen {} cannot be used", options.listen))?;
    let address = listener.local_addr()?;

    let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(&folder.join("log.db")).await?);
    let streams: Arc<dyn GatewayStreams> = Arc::new(MemoryStreams::new());
    let service_token = Secret::new(format!("{:032x}", rand::random::<u128>()));

    let (core_health, core_metrics) = (Health::new(), Metrics::new("core"));
    let mut core_options = CoreOptions::new(sqlite_url(&folder.join("core.db")), folder.clone(), service_token.clone());
    core_options.tokens = options.tokens.clone();
    core_options.rest_trace_rate = options.log.trace_rate;
    let parts = chatcluster_core::Parts {
        log: log.clone(),
        streams: streams.clone(),
        names: Names::default(),
        health: core_health.clone(),
        metrics: core_metrics.clone(),
        node: "chatcluster".into(),
    };
    let core = Core::start(&core_options, parts).await?;
    tokio::select! {
        () = core.migrated() => {}
        () = shutdown.requested() => return Ok(()),
        () = tokio::time::sleep(OPEN_WITHIN) => {
            bail!("the database in {} cannot be opened: see the log above", folder.display())
        }
    }

    let (channel, incoming) = in_process::channel();
    let grpc = tonic::transport::Server::builder().add_routes(core.grpc());
    let grpc = tokio::spawn(async move { grpc.serve_with_incoming(incoming).await });

    let worker_parts = chatcluster_worker::Parts {
        log: log.clone(),
        streams: streams.clone(),
        core: channel.clone(),
        service_token: service_token.clone(),
    };
    let background = Shutdown::manual();
    let broadcast_above = options.worker.fanout_broadcast_above;
    let worker = Worker::start(options.worker, worker_parts, background.clone())?;

    let (health, metrics) = (Health::new(), Metrics::new("gateway"));
    let services = vec![
        ("core", core_health, core_metrics),
        ("gateway", health.clone(), metrics.clone()),
        ("worker", worker.health().clone(), worker.metrics().clone()),
    ];
    let mut site = core.router().merge(operations::combined_router(services));
    if !options.no_page {
        site = site.merge(page::router());
    }
    let mut gateway_options = options.gateway;
    gateway_options.node.get_or_insert_with(|| "chatcluster".into());
    gateway_options.fanout_broadcast_above = broadcast_above;
    let gateway_parts = chatcluster_gateway::Parts {
        streams,
        producer: log.producer(),
        core: channel,
        service_token,
        verifier: core.verifier(),
        issuer: options.tokens.token_issuer,
        web: web::with_problems(site),
        health,
        metrics,
        trace_rate: options.log.trace_rate,
    };
    let gateway = Gateway::start(gateway_options, gateway_parts, shutdown)?;
    eprintln!("\n  ChatCluster is running at http://{address}\n  data in {}, Ctrl-C stops it\n", folder.display());

    let worker = tokio::spawn(worker.run());
    gateway.serve(listener).await?;
    // the clients have been told; now the rest, upstream first
    core.stop().await;
    background.request();
    worker.await.context("the worker died")?;
    grpc.abort();
    Ok(())
}

/// A database that cannot be opened or brought up to date by then is broken, not slow.
const OPEN_WITHIN: Duration = Duration::from_secs(30);

/// The folder holds password hashes and the signing key: nobody else may look into it, nor into the files made in it.
fn create_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Two processes on one folder would each publish into a log that the other does not watch. The lock goes with the
/// process, however it ends.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another process is running on --data-dir {}", folder.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{} cannot be locked", path.display())),
    }
}
