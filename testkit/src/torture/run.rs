//! One run: platform up, fleet up, load, faults, heal, quiet, stop, read everything, judge.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use super::check::{self, Case, Findings};
use super::clock::Clock;
use super::fleet::{Cast, Common, Fleet, Size};
use super::platform::{GATEWAYS, Platform};
use super::recorder::Recorder;
use super::report::{Report, page, report, sessions};
use super::schedule::{Fault, Group, Planned, Tempo, plan};
use super::tokens::Tokens;
use super::{gather, inject, quiet};
use crate::await_condition;
use crate::client::Outside;
use crate::install::Progress;
use crate::servers::{ServerOptions, Servers};

/// Time for everybody to connect.
const ONLINE_WITHIN: Duration = Duration::from_mins(1);
/// Time for the first events.
const ARRIVE_WITHIN: Duration = Duration::from_secs(15);
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct Options {
    /// Of the schedule and of the clients' choices.
    pub seed: u64,
    /// Of the load.
    pub duration: Duration,
    pub tempo: Tempo,
    pub size: Size,
    pub faults: Vec<Group>,
    /// Three brokers instead of one.
    pub replicated: bool,
    /// Messages a second of the steady load.
    pub rate: u32,
    /// How long after commit, start of the session and heal an event may be on its way.
    pub within: Duration,
    /// How long after the end of its token a session may go on.
    pub grace: Duration,
    /// Where the page goes.
    pub report: PathBuf,
    /// Keeps data and logs here.
    pub state: Option<PathBuf>,
    /// A planted bug to switch on, in binaries that were built with it.
    pub plant: Option<String>,
    pub progress: Progress,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    pub report: Report,
    pub findings: Findings,
}

/// One run on servers of its own.
pub async fn run(options: &Options) -> Result<Outcome> {
    (options.progress)("starting Kafka, Redis and MariaDB");
    let small_disks = schedule(options).iter().any(|planned| planned.fault.is_of_a_disk());
    let wanted = ServerOptions { state: options.state.clone(), replicated: options.replicated, small_disks };
    let servers = Arc::new(Servers::start_as(options.progress, &wanted).await?);
    let outcome = run_on(&servers, options).await;
    if let Err(error) = servers.stop().await {
        (options.progress)(&format!("the servers did not stop in an orderly way: {error:#}"));
    }
    outcome
}

/// One run on these servers, which are hurt and healed again. One at a time.
pub async fn run_on(servers: &Arc<Servers>, options: &Options) -> Result<Outcome> {
    let say = options.progress;
    let mut schedule = schedule(options);
    let has_disk = |planned: &Planned| match planned.fault {
        Fault::FillKafka => servers.kafka.disk().is_some(),
        Fault::FillMariaDb => servers.mariadb.disk().is_some(),
        _ => true,
    };
    for planned in schedule.extract_if(.., |planned| !has_disk(planned)) {
        say(&format!("not possible here, as it takes a disk of its own: {}", planned.fault.name()));
    }
    for planned in &schedule {
        let (at, to) = (planned.at.as_secs_f64(), planned.heal.as_secs_f64());
        say(&format!("planned: {at:6.1} s to {to:6.1} s  {} ({})", planned.fault.name(), planned.target));
    }
    let (state, plant) = (options.state.as_deref(), options.plant.as_deref());
    let clocks = schedule.iter().any(|planned| planned.fault.is_of_a_clock());
    let platform = Platform::start(servers.clone(), say, state, plant, clocks).await?;
    let platform = Arc::new(platform);
    let clock = Clock::start();
    let deployment = &platform.deployment;
    let api = deployment.api()?;
    let tokens = Tokens::load(&deployment.folder().join("core"), &api).await?;
    say("making users and conversations");
    let people = Cast::make(&api, &tokens, &options.size).await?;
    let cores = deployment.api_bases().iter().map(|base| api.at(base)).collect();
    let gateways = [deployment.gateway_ws_urls().to_vec(), platform.user_events.clone()];
    let recorder = Recorder::new(clock);
    let common = Arc::new(Common::new(recorder, tokens, gateways, cores, options.seed, &options.size));

    let (mut fleet, load) = Fleet::start(&common, &people);
    let late = people.late();
    await_condition("all clients to be online", ONLINE_WITHIN, || async {
        let online = common.recorder.progress().online;
        ensure!(online + late + people.slow() >= fleet.size, "{online} of {}", fleet.size);
        anyhow::Ok(())
    })
    .await?;
    // workers that join their group a moment later would hold up all events of a short run
    fleet.rouse(&people).await?;
    let arrived = await_condition("events to arrive", ARRIVE_WITHIN, || async {
        let lacking = common.recorder.lacking(&gather::heads(&platform, clock).await?);
        ensure!(lacking == 0, "{lacking} sessions lack some");
        anyhow::Ok(())
    });
    if let Err(error) = arrived.await {
        // whether that is wrong is for the checks to say
        say(&format!("{error:#}"));
    }
    say(&format!("{} clients; load begins", fleet.size));
    let prefix = &deployment.namespace().context("no namespace")?.redis_prefix;
    fleet.begin(&people, load, options.rate, servers, Outside::of(deployment)?, prefix);
    let start = Instant::now();
    let watching = tokio::spawn(watch(platform.clone(), common.clone(), start, say));
    let faults = torture(&schedule, &platform, &common, start, say);
    let faults = async {
        let outcome = faults.await;
        // a server that was long in coming back is given the same time as any other
        tokio::time::sleep(options.tempo.cool_down).await;
        outcome
    };
    let (faults, ()) = tokio::join!(faults, tokio::time::sleep(options.duration));
    fleet.calm().await;
    faults?;
    say("load ended, everything is healed; waiting until all is seen");
    quiet::quiet(&platform, &common, fleet.size, options.within, say).await;
    watching.abort();
    let history = common.recorder.close();
    fleet.stop().await;

    say("reading the database, the topic and REST");
    let truth = gather::truth(&platform, &common, &people).await?;
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let case = Case { history: &history, truth: &truth, within: ms(options.within), grace: ms(options.grace) };
    let findings = check::all(&case);
    let made = report(&case, &findings);
    write(&options.report, &page(&title(options), &made, &history, &findings))?;
    if let Some(state) = &options.state {
        write(&state.join("sessions.txt"), &sessions(&history))?;
    }
    // a planted bug need not end well
    if options.plant.is_none()
        && let Err(error) = platform.deployment.stop().await
    {
        say(&format!("not everything stopped in an orderly way: {error:#}"));
    }
    Ok(Outcome { report: made, findings })
}

fn schedule(options: &Options) -> Vec<Planned> {
    plan(options.seed, options.duration, options.tempo, &options.faults)
}

/// Does what is planned, each at its time.
async fn torture(
    schedule: &[Planned],
    platform: &Arc<Platform>,
    common: &Arc<Common>,
    start: Instant,
    say: Progress,
) -> Result<()> {
    let mut faults = JoinSet::new();
    for planned in schedule.iter().cloned() {
        let (platform, common) = (platform.clone(), common.clone());
        faults.spawn(async move {
            tokio::time::sleep_until((start + planned.at).into()).await;
            say(&format!("{:5.1} s  {} ({})", start.elapsed().as_secs_f64(), planned.fault.name(), planned.target));
            inject::inject(&planned, &platform, &common).await?;
            say(&format!("{:5.1} s  healed: {}", start.elapsed().as_secs_f64(), planned.fault.name()));
            anyhow::Ok(())
        });
    }
    let mut outcome = Ok(());
    while let Some(ended) = faults.join_next().await {
        outcome = outcome.and(ended.context("a fault panicked")?);
    }
    outcome
}

/// Shows how it goes, and looks at the gateways' memory.
async fn watch(platform: Arc<Platform>, common: Arc<Common>, start: Instant, say: Progress) {
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    loop {
        ticks.tick().await;
        let now = common.recorder.progress();
        say(&format!(
            "{:5.1} s  sent {} acknowledged {} frames {} online {} behind {}",
            start.elapsed().as_secs_f64(),
            now.sent,
            now.acknowledged,
            now.frames,
            now.online,
            now.behind
        ));
        for index in 0..GATEWAYS {
            let process = platform.deployment.process(&format!("gateway-{index}"));
            if let Some(bytes) = process.ok().and_then(|process| resident(process.pid()?)) {
                common.recorder.gateway_memory(bytes);
            }
        }
    }
}

fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn title(options: &Options) -> String {
    let plant = options.plant.as_ref().map(|plant| format!(", planted: {plant}")).unwrap_or_default();
    format!("seed {}, {} s{plant}", options.seed, options.duration.as_secs())
}

fn write(path: &Path, html: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    }
    std::fs::write(path, html).with_context(|| format!("failed to write {}", path.display()))
}
