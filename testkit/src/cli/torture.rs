//! `testkit torture`: kill, freeze and cut everything while clients work, and see whether the promises hold.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::shutdown::Shutdown;
use crate::torture::schedule::{Fault, Group, Tempo, parse_groups};
use crate::torture::{self, Options, Size};

#[derive(Debug, Args)]
pub(super) struct Torture {
    /// The same seed is the same schedule
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long the load lasts, in seconds
    #[arg(long, default_value_t = 90)]
    duration: u64,
    /// Names separated by commas, `one+other` for faults that happen together, or `all`
    #[arg(long, default_value = "all", value_name = "FAULTS")]
    faults: String,
    /// Of Kafka: one, or three, which hold replicas of each other (then without --state-dir)
    #[arg(long, default_value_t = 1)]
    brokers: u16,
    /// Messages a second of the steady load
    #[arg(long, default_value_t = 30)]
    rate: u32,
    /// How long after commit, connect and heal an event may be on its way, in seconds
    #[arg(long, default_value_t = 60)]
    within: u64,
    /// The page that is written
    #[arg(long, default_value = "target/torture/report.html")]
    report: PathBuf,
    /// Keep data and logs in this folder (default: a temporary one)
    #[arg(long)]
    state_dir: Option<PathBuf>,
    /// Switch a planted bug on, and succeed when it is caught: NAME=INVARIANT
    #[arg(long, value_name = "NAME=INVARIANT")]
    plant: Option<String>,
    /// Name the faults and end
    #[arg(long)]
    list: bool,
}

impl Torture {
    pub(super) async fn run(self) -> Result<()> {
        if self.list {
            for fault in Fault::ALL {
                println!("{:<18} {}", fault.name(), fault.help());
            }
            return Ok(());
        }
        let mut faults: Vec<Group> = parse_groups(&self.faults)?;
        if self.brokers == 1 {
            let of_many = |group: &Group| group.iter().any(|fault| fault.is_of_many_brokers());
            ensure!(self.faults == "all" || !faults.iter().any(of_many), "kill-broker needs --brokers 3");
            faults.retain(|group| !of_many(group));
        }
        let (plant, expected) = match self.plant.as_deref().map(|plant| plant.split_once('=')) {
            None => (None, None),
            Some(Some((name, invariant))) => (Some(name.to_owned()), Some(invariant.to_owned())),
            Some(None) => bail!("--plant is NAME=INVARIANT"),
        };
        let options = Options {
            seed: self.seed,
            duration: Duration::from_secs(self.duration),
            tempo: Tempo::USUAL,
            size: Size::FULL,
            faults,
            replicated: self.brokers > 1,
            rate: self.rate,
            within: Duration::from_secs(self.within),
            // five seconds of leeway as the gateway has it by default, and the longest freeze
            grace: Duration::from_secs(15),
            report: self.report,
            state: self.state_dir,
            plant,
            progress: super::progress,
        };
        let mut shutdown = Shutdown::listen()?;
        let Some(outcome) = shutdown.unless(Box::pin(torture::run(&options))).await? else { return Ok(()) };
        let counts = outcome.findings.by_invariant();
        super::tell_findings(&outcome.findings);
        super::progress(&format!("the page: {}", options.report.display()));
        println!("{}", outcome.report.figures.line());
        match expected {
            Some(invariant) if counts.contains_key(invariant.as_str()) => {
                super::progress(&format!("caught by {invariant}, as it should be"));
                Ok(())
            }
            Some(invariant) => bail!("the planted bug was not caught by {invariant}"),
            None if outcome.findings.is_empty() => Ok(()),
            None => bail!("promises were broken: {}", counts.keys().copied().collect::<Vec<_>>().join(", ")),
        }
    }
}
