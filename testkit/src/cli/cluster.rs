//! `testkit cluster`: one real Kubernetes node on this machine.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::node::{self, Node, Options};

#[derive(Debug, Args)]
pub(super) struct Cluster {
    #[command(subcommand)]
    command: Command,
    /// Where everything of the node is kept (default: `CHATCLUSTER_NODE_DIR`, else `node` in the cache folder)
    #[arg(long, global = true)]
    state_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say in one line why this machine cannot run a node, if it cannot
    Check,
    /// Start the node, or what is missing of it, and wait until all of it works; it goes on running
    Up,
    /// End the node and remove every trace of it
    Down,
    /// Show what runs
    Status,
    /// Run a command in the node's network, with kubectl and helm on its path
    Exec {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Give the node the images of an archive
    Import { archive: PathBuf },
    /// Be the first process of the node
    #[command(hide = true)]
    Supervise,
}

impl Cluster {
    pub(super) async fn run(self) -> Result<()> {
        let options = Options { state: self.state_dir };
        match self.command {
            Command::Check => node::check(),
            Command::Up => {
                let start = Instant::now();
                let node = Node::up(&options, super::progress).await?;
                super::progress(&format!("up after {:.1} s", start.elapsed().as_secs_f32()));
                describe(&node)
            }
            Command::Down => {
                let start = Instant::now();
                Node::remove(&options, super::progress).await?;
                super::progress(&format!("done after {:.1} s", start.elapsed().as_secs_f32()));
                Ok(())
            }
            Command::Status => status(&Node::running(&options).await?).await,
            Command::Exec { command } => exec(&Node::running(&options).await?, &command),
            Command::Import { archive } => Node::running(&options).await?.import(&archive).await,
            Command::Supervise => node::supervise(&options.state.context("no --state-dir")?),
        }
    }
}

fn describe(node: &Node) -> Result<()> {
    let kubectl = node.tools().api.kubectl.parent().context("kubectl without a folder")?;
    println!("export KUBECONFIG={}", node.kubeconfig().display());
    println!("export PATH={}:$PATH", kubectl.display());
    Ok(())
}

async fn status(node: &Node) -> Result<()> {
    let status = node.status().await?;
    println!("node      {} at {}", status.node, node.address());
    let pods: Vec<String> = status.pods.iter().map(|(phase, count)| format!("{count} {phase}")).collect();
    println!("pods      {}", if pods.is_empty() { "none".to_owned() } else { pods.join(", ") });
    println!("state     {}", node.folder().display());
    for component in &status.components {
        let pid = component.pid.map_or("down".to_owned(), |pid| format!("pid {pid}"));
        println!("{:<24} {pid:<12} {}", component.name, component.log.display());
    }
    describe(node)?;
    if !status.is_good() {
        bail!("not all of the node works");
    }
    Ok(())
}

/// Becomes the command.
fn exec(node: &Node, command: &[OsString]) -> Result<()> {
    let tools = node.tools().api.kubectl.parent().context("kubectl without a folder")?;
    let others = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(tools.to_owned()).chain(std::env::split_paths(&others)));
    let error = node
        .command()
        .args(command)
        .env("PATH", path.context("an odd PATH")?)
        .env("KUBECONFIG", node.kubeconfig())
        .exec();
    Err(error).context("failed to run nsenter")
}
