//! `testkit e2e`: the platform on a real cluster, under load, through everything that happens to it there.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::shutdown::Shutdown;
use crate::e2e::{self, Options, Where};

#[derive(Debug, Args)]
pub(super) struct E2e {
    /// Where it runs
    #[arg(long, env = "CLUSTER", value_enum, default_value_t = Kind::Node)]
    cluster: Kind,
    /// The cluster's name at kind
    #[arg(long, default_value = "kind", value_name = "NAME")]
    kind_name: String,
    /// Scenarios, separated by commas; none given: all of them
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Binaries that the images are made of
    #[arg(long, value_enum, default_value_t = Profile::Dev)]
    profile: Profile,
    /// Leave cluster and platform running at the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Name the scenarios and end
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A node of the testkit's own, brought up if it is not there
    Node,
    /// An existing cluster of kind
    Kind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Profile {
    Dev,
    Release,
}

impl E2e {
    pub(super) async fn run(self) -> Result<()> {
        if self.list {
            for (name, what) in e2e::scenarios() {
                println!("{name:<12} {what}");
            }
            return Ok(());
        }
        let options = Options {
            at: match self.cluster {
                Kind::Node => Where::Node,
                Kind::Kind => Where::Kind(self.kind_name),
            },
            only: self.only,
            binaries: match self.profile {
                Profile::Dev => "debug",
                Profile::Release => "release",
            }
            .to_owned(),
            keep: self.keep,
            progress: super::progress,
        };
        let mut shutdown = Shutdown::listen()?;
        let run = Box::pin(e2e::run(&options));
        let Some(report) = shutdown.unless(run).await? else { return e2e::abandon(&options).await };
        println!("{}", report.table());
        println!();
        println!("{}", report.line());
        if report.is_good() { Ok(()) } else { bail!("promises were broken, or states were not reached: see above") }
    }
}
