//! `testkit failover`: kill -9 of one gateway, seen by those who were there and by those who were not.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::shutdown::Shutdown;
use crate::torture::failover::{self, Options};

#[derive(Debug, Args)]
pub(super) struct Failover {
    /// At the gateway that is killed
    #[arg(long, default_value_t = 1000)]
    sessions: usize,
    /// At the other one
    #[arg(long, default_value_t = 200)]
    others: usize,
    /// Messages a second, over all conversations
    #[arg(long, default_value_t = 40)]
    rate: u32,
    /// Seconds for servers that have just been started to settle in, before anything is measured
    #[arg(long, default_value_t = 20)]
    settle: u64,
    /// How long it is measured before, in seconds
    #[arg(long, default_value_t = 15)]
    before: u64,
    /// For all sessions to be back, in seconds
    #[arg(long, default_value_t = 60)]
    within: u64,
    /// How much longer messages may take for the others meanwhile, at the 99th percentile
    #[arg(long, default_value_t = 2.0)]
    ratio: f64,
}

impl Failover {
    pub(super) async fn run(self) -> Result<()> {
        let options = Options {
            sessions: self.sessions,
            others: self.others,
            rate: self.rate,
            settle: Duration::from_secs(self.settle),
            before: Duration::from_secs(self.before),
            within: Duration::from_secs(self.within),
            progress: super::progress,
        };
        let mut shutdown = Shutdown::listen()?;
        let Some(figures) = shutdown.unless(Box::pin(failover::run(&options))).await? else { return Ok(()) };
        println!("{}", serde_json::to_string(&figures)?);
        ensure!(figures.resumed == figures.sessions, "{} of {} are back", figures.resumed, figures.sessions);
        ensure!(figures.lost + figures.duplicated == 0, "{} lost, {} twice", figures.lost, figures.duplicated);
        ensure!(figures.ratio <= self.ratio, "the others waited {} times as long", figures.ratio);
        Ok(())
    }
}
