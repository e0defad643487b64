//! One run: servers and images, operator and platform, the fleet, one scenario after the other, and everything taken away.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Entrance;
use super::backing::{Backing, Login};
use super::cluster::{At, Cluster};
use super::fleet::{Fleet, Size, Tally};
use super::kind::Kind;
use super::platform::{Part, Platform, clear};
use super::report::{Report, Row};
use super::scenarios::{ALL, RATE, Scenario, Stage};
use super::uninstall;
use crate::deployment::Binaries;
use crate::images::{self, Image};
use crate::install::Progress;
use crate::node::{self, Node};
use crate::{Client, Resume};

/// The name of the last scenario, which ends the platform.
pub(super) const UNINSTALL: &str = "uninstall";
/// No scenario takes so long on a machine that can do it at all.
const SCENARIO_WITHIN: Duration = Duration::from_mins(6);
const FIRST_MESSAGE_WITHIN: Duration = Duration::from_mins(4);
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
const VERSIONS: [&str; 2] = ["0.1.0", "0.1.1"];
/// In the node's folder: this program brought the node up, and takes it down again.
const OURS: &str = "brought-up-by-e2e";

/// Where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// On the testkit's own node, which is brought up when it is not there.
    Node,
    /// On a cluster of kind, by its name.
    Kind(String),
}

#[derive(Clone, Debug)]
pub struct Options {
    pub at: Where,
    /// Names of scenarios; none: all of them.
    pub only: Vec<String>,
    /// Cargo's folder with the binaries that become images: `debug` or `release`.
    pub binaries: String,
    /// Leaves cluster and platform as they are at the end, until Ctrl-C.
    pub keep: bool,
    pub progress: Progress,
}

/// The scenarios' names and what each does.
pub fn scenarios() -> Vec<(&'static str, &'static str)> {
    let all = ALL.iter().map(|scenario| (scenario.name, scenario.what));
    all.chain([(UNINSTALL, "the ChatCluster and the chart deleted: nothing is left, but the topics")]).collect()
}

/// Brings up what is missing, runs, and takes it away. The program is executed again on the way, in the node's network: call
/// it before anything else is started.
pub async fn run(options: &Options) -> Result<Report> {
    for name in &options.only {
        ensure!(scenarios().iter().any(|(known, _)| known == name), "there is no scenario {name}: --list names them");
    }
    let say = options.progress;
    let (cluster, since) = match &options.at {
        Where::Kind(name) => (Kind::cluster(name).await?, Instant::now()),
        Where::Node => {
            let start = Instant::now();
            let node = if let Ok(node) = Node::running(&node::Options::default()).await {
                node
            } else {
                say("bringing up the node");
                let node = Node::up(&node::Options::default(), say).await?;
                let took = start.elapsed().as_secs_f64().to_string();
                std::fs::write(node.folder().join(OURS), took).context("failed to write a note")?;
                node
            };
            node.enter()?;
            (Cluster::of_node(node).await?, start)
        }
    };
    let ours = match &cluster.at {
        At::Node(node) => Some(node.folder().join(OURS)).filter(|note| note.exists()),
        At::Kind(_) => None,
    };
    let mut report = Report::default();
    if let Some(took) = ours.as_ref().and_then(|note| std::fs::read_to_string(note).ok()?.parse().ok()) {
        report.figures.push(("node up, s", took));
    }
    let (platform, outcome) = on(cluster, options, &mut report).await;
    if let Err(error) = outcome {
        report.failures.push(format!("{error:#}"));
    }
    report.figures.push(("all of it, s", since.elapsed().as_secs_f64()));
    let Some(platform) = platform else { return Ok(report) };
    if options.keep {
        say("kept: Ctrl-C ends the servers, `make cluster-down` the node");
        std::future::pending::<()>().await;
    }
    if let Err(error) = leave(platform, ours, say).await {
        report.failures.push(format!("{error:#}"));
    }
    Ok(report)
}

/// After a run that was interrupted: takes the node down if it was brought up for it.
pub async fn abandon(options: &Options) -> Result<()> {
    let node = Node::running(&node::Options::default()).await;
    match node {
        Ok(node) if options.at == Where::Node && node.folder().join(OURS).exists() => {
            (options.progress)("taking the node down");
            node.down().await
        }
        _ => Ok(()),
    }
}

/// Everything between the cluster's being there and its end.
async fn on(cluster: Cluster, options: &Options, report: &mut Report) -> (Option<Platform>, Result<()>) {
    let say = options.progress;
    if let Err(error) = clear(&cluster, say).await {
        return (None, Err(error.context("what an earlier run has left cannot be taken away")));
    }
    let address = cluster.address();
    let started = tokio::try_join!(Backing::start(address, say), import(&cluster, options));
    let ((backing, login), images) = match started {
        Ok(started) => started,
        // without servers there is nothing to take away but the cluster
        Err(error) => return (None, Err(error)),
    };
    report.images = images;
    let platform = Platform { cluster, backing, say };
    let outcome = install(&platform, &login, report).await;
    if let Err(error) = outcome {
        let seen = platform.describe().await;
        return (Some(platform), Err(error.context(format!("the platform did not come up:\n{seen}"))));
    }
    let fleet = async {
        let (entrance, key) = (platform.entrance().await?, platform.signing_key().await?);
        Fleet::start(entrance, &key, Size::default(), say).await
    };
    let fleet = match fleet.await {
        Ok(fleet) => fleet,
        Err(error) => return (Some(platform), Err(error.context("the fleet did not come up"))),
    };
    let mut stage = Stage { platform, fleet, login, versions: VERSIONS.map(str::to_owned) };
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    for scenario in ALL.iter().filter(|scenario| wanted(scenario.name)) {
        say(&format!("{}: {}", scenario.name, scenario.what));
        let row = play(&mut stage, scenario).await;
        told(&row, say);
        report.rows.push(row);
    }
    let Stage { platform, fleet, .. } = stage;
    fleet.stop().await;
    let mut outcome = Ok(());
    if wanted(UNINSTALL) && !options.keep {
        say("uninstall: the ChatCluster and the chart are deleted");
        let start = Instant::now();
        let ended = uninstall::run(&platform).await;
        let (figures, failure) = match ended {
            Ok(figures) => (figures, None),
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        let seconds = start.elapsed().as_secs_f64();
        let row = Row { name: UNINSTALL, tally: Tally::default(), figures, failure, seconds };
        told(&row, say);
        report.rows.push(row);
    } else if !options.keep {
        outcome = uninstall::run(&platform).await.map(drop);
    }
    (Some(platform), outcome)
}

/// Builds the images of both versions and gives them to the cluster; answers the first.
async fn import(cluster: &Cluster, options: &Options) -> Result<Vec<Image>> {
    let mut first = Vec::new();
    for version in VERSIONS {
        let binaries = Binaries::of_profile(&options.binaries)?;
        let images = images::Options::local(binaries, version, PathBuf::from("target/images"));
        (options.progress)(&format!("building the images of {version}"));
        let built =
            tokio::task::spawn_blocking(move || images::build(&images)).await.context("the build panicked")??;
        cluster
            .import(&built.archive)
            .await
            .with_context(|| format!("failed to import {}", built.archive.display()))?;
        if first.is_empty() {
            first = built.images;
        }
    }
    Ok(first)
}

/// `helm install`, `kubectl apply`, Ready, and the first message of a user.
async fn install(platform: &Platform, login: &Login, report: &mut Report) -> Result<()> {
    let say = platform.say;
    say("helm install");
    let start = Instant::now();
    platform.install_operator(VERSIONS[0]).await?;
    report.figures.push(("helm install, s", start.elapsed().as_secs_f64()));
    say("kubectl apply");
    let applied = Instant::now();
    platform.apply(login, VERSIONS[0]).await?;
    let ready = async {
        for (part, count) in [(Part::Core, 2), (Part::Worker, 1), (Part::Gateway, 2)] {
            platform.settled(part, count, Some(VERSIONS[0])).await?;
        }
        platform.ready().await?;
        anyhow::Ok(applied.elapsed().as_secs_f64())
    };
    let first = async {
        first_message(platform).await?;
        anyhow::Ok(applied.elapsed().as_secs_f64())
    };
    let (ready, first) = tokio::try_join!(ready, first)?;
    say(&format!("Ready after {ready:.1} s, the first message after {first:.1} s"));
    report.figures.extend([("apply -> Ready, s", ready), ("apply -> first message, s", first)]);
    Ok(())
}

/// Somebody signs up, and says something that comes back; tried until it works.
async fn first_message(platform: &Platform) -> Result<()> {
    let attempt = |number: u32| async move {
        let entrance = platform.entrance().await?;
        talk(&entrance, &format!("first-{number}")).await
    };
    let since = Instant::now();
    for number in 0_u32.. {
        let Err(error) = attempt(number).await else { return Ok(()) };
        if since.elapsed() > FIRST_MESSAGE_WITHIN {
            return Err(error.context("no message has come through"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bail!("tried too often")
}

async fn talk(entrance: &Entrance, username: &str) -> Result<()> {
    let within = Duration::from_secs(10);
    let api = crate::Api::new(&entrance.api)?;
    let user = tokio::time::timeout(within, api.user(username)).await.context("core is silent")??;
    let (status, room) = user.api.create_conversation("group", &[]).await?;
    let room = room["id"].as_str().with_context(|| format!("no conversation: {status}"))?;
    let gateway = entrance.gateways.first().context("no gateway")?;
    let client = Client::connect(gateway, &user.token, Resume::None).await?;
    client.send_and_ack(room, "first", "is anybody there?", within).await?;
    client.wait_for(|frame| frame["type"] == "MESSAGE", within).await.map(drop)
}

/// One scenario under load, and what the clients saw of it.
async fn play(stage: &mut Stage, scenario: &Scenario) -> Row {
    let start = Instant::now();
    stage.fleet.send(RATE);
    let (say, watched) = (stage.platform.say, stage.fleet.watched());
    let watching = tokio::spawn(async move {
        loop {
            tokio::time::sleep(PROGRESS_EVERY).await;
            say(&format!("  {:4.0} s  {}", start.elapsed().as_secs_f64(), watched.line()));
        }
    });
    let outcome = tokio::time::timeout(SCENARIO_WITHIN, (scenario.run)(stage)).await;
    let outcome = outcome.unwrap_or_else(|_| bail!("not done after {SCENARIO_WITHIN:?}"));
    watching.abort();
    let (figures, mut failure) = match outcome {
        Ok(figures) => (figures, None),
        Err(error) => (Vec::new(), Some(format!("{error:#}"))),
    };
    let tally = match stage.fleet.conclude().await {
        Ok(tally) => tally,
        Err(error) => {
            failure.get_or_insert_with(|| format!("{error:#}"));
            Tally::default()
        }
    };
    if failure.is_some() {
        say(&stage.platform.describe().await);
    }
    Row { name: scenario.name, tally, figures, failure, seconds: start.elapsed().as_secs_f64() }
}

fn told(row: &Row, say: Progress) {
    let Row { name, tally, figures, failure, seconds } = row;
    let figures: Vec<_> = figures.iter().map(|(name, value)| format!("{name} {value:.1}")).collect();
    say(&format!(
        "{name}: {seconds:.0} s, acknowledged {}, delivered {}, lost {}, repeated {}, reordered {}, closed {} ({} resumable), \
         slowest {} ms, quiet after {:.1} s, at {:?}; {}",
        tally.acknowledged,
        tally.delivered,
        tally.lost,
        tally.repeated,
        tally.reordered,
        tally.closed,
        tally.closed_resumable,
        tally.slowest,
        tally.quiet_s,
        tally.gateways,
        figures.join(", ")
    ));
    for broken in tally.broken.iter().take(10) {
        say(&format!("  BROKEN {broken}"));
    }
    if let Some(failure) = failure {
        say(&format!("  FAILED {failure}"));
    }
}

/// Ends the servers, and the node if it was brought up here.
async fn leave(platform: Platform, ours: Option<PathBuf>, say: Progress) -> Result<()> {
    if ours.is_none() {
        // while its servers are there, its pods end in an orderly way
        clear(&platform.cluster, say).await?;
    }
    let Platform { cluster, backing, .. } = platform;
    drop(backing);
    match cluster.at {
        At::Node(node) if ours.is_some() => {
            say("taking the node down");
            node.down().await
        }
        At::Node(_) => Ok(()),
        At::Kind(kind) => kind.leave().await,
    }
}
