//! `testkit plants`: binaries with planted bugs, and whether the torture's checker catches each of them.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::shutdown::Shutdown;
use crate::torture::plants::{self, Caught, PLANTS, Plant};

#[derive(Debug, Args)]
pub(super) struct Plants {
    /// Names separated by commas, or `all`
    #[arg(long, default_value = "all", value_name = "NAMES")]
    only: String,
    /// How many at a time, each on servers of its own
    #[arg(long, default_value_t = 2)]
    lanes: usize,
    /// Where the pages of the runs go
    #[arg(long, default_value = "target/torture")]
    reports: PathBuf,
    /// Name the bugs and end
    #[arg(long)]
    list: bool,
}

impl Plants {
    pub(super) async fn run(self) -> Result<()> {
        if self.list {
            for plant in PLANTS {
                println!("{:<26} {:<4} {}", plant.name, plant.invariant, plant.help);
            }
            return Ok(());
        }
        let chosen = self.chosen()?;
        let mut shutdown = Shutdown::listen()?;
        let running = plants::run(&chosen, self.lanes, &self.reports, super::progress, tell);
        let Some(caught) = shutdown.unless(running).await? else { return Ok(()) };
        let missed: Vec<&str> =
            caught.iter().filter(|caught| !caught.as_expected).map(|caught| caught.plant.help).collect();
        ensure!(missed.is_empty(), "not as expected: {}", missed.join("; "));
        Ok(())
    }

    fn chosen(&self) -> Result<Vec<Plant>> {
        if self.only == "all" {
            return Ok(PLANTS.to_vec());
        }
        let chosen = self.only.split(',').map(|name| match PLANTS.iter().find(|plant| plant.name == name) {
            Some(plant) => Ok(*plant),
            None => bail!("there is no plant {name:?}; --list names them"),
        });
        chosen.collect()
    }
}

fn tell(caught: &Caught) {
    let Caught { plant, as_expected, findings, took, report } = caught;
    let verdict = match (as_expected, plant.name.is_empty()) {
        (true, false) => "caught",
        (true, true) => "clean",
        (false, _) => "MISSED",
    };
    let found: Vec<String> =
        findings.by_invariant().iter().map(|(invariant, count)| format!("{invariant} {count}")).collect();
    let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
    let page = if *as_expected { String::new() } else { format!(", see {}", report.display()) };
    super::progress(&format!(
        "{verdict:<7} {:<26} {:<4} found: {found} ({:.0} s{page})",
        plant.name,
        plant.invariant,
        took.as_secs_f64()
    ));
    if plant.name.is_empty() {
        super::tell_findings(findings);
    }
}
