//! The binary `chatcluster-core`.

use chatcluster_core::{Options, run};
use chatcluster_service::{
    config,
    shutdown::{self, Shutdown},
    telemetry,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options: Options = config::parse();
    let telemetry = telemetry::init("core", &options.log)?;
    let ended = run(options, Shutdown::on_signals()?).await;
    // what is left to be logged and traced
    drop(telemetry);
    shutdown::leave(ended)
}
