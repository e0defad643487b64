//! The binary `chatcluster-core`.

use chatcluster_core::{Options, run};
use chatcluster_service::{config, shutdown::Shutdown, telemetry};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options: Options = config::parse();
    let _telemetry = telemetry::init("core", &options.log)?;
    run(options, Shutdown::on_signals()?).await
}
