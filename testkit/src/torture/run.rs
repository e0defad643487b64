//! One run: platform up, fleet up, load, faults, heal, quiet, stop, read everything, judge.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use super::check::{self, Case, Findings};
use super::clock::Clock;
use super::fleet::{Cast, Common, Fleet};
use super::history::{History, Seen, Session, What};
use super::platform::{GATEWAYS, Platform};
use super::recorder::Recorder;
use super::report::{Report, page, report};
use super::schedule::{Group, Planned, plan};
use super::tokens::Tokens;
use super::{gather, inject};
use crate::await_condition;
use crate::install::Progress;

/// Time for everybody to connect.
const ONLINE_WITHIN: Duration = Duration::from_mins(1);
/// However long things take after the last heal, this is the end of it.
const QUIET_WITHIN: Duration = Duration::from_secs(200);
/// The load goes on for at least so long after the last heal.
const AFTER_HEAL: Duration = Duration::from_secs(15);
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct Options {
    /// Of the schedule and of the clients' choices.
    pub seed: u64,
    /// Of the load.
    pub duration: Duration,
    pub faults: Vec<Group>,
    /// Messages a second of the steady load.
    pub rate: u32,
    /// How long after commit, start of the session and heal an event may be on its way.
    pub within: Duration,
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

pub async fn run(options: &Options) -> Result<Outcome> {
    let say = options.progress;
    let schedule = plan(options.seed, options.duration, &options.faults);
    for planned in &schedule {
        let (at, to) = (planned.at.as_secs_f64(), planned.heal.as_secs_f64());
        say(&format!("planned: {at:6.1} s to {to:6.1} s  {} ({})", planned.fault.name(), planned.target));
    }
    let platform = Platform::start(say, options.state.as_deref(), options.plant.as_deref()).await?;
    let platform = Arc::new(platform);
    let clock = Clock::start();
    let deployment = &platform.deployment;
    let api = deployment.api()?;
    let tokens = Tokens::load(&deployment.folder().join("core"), &api).await?;
    say("making users and conversations");
    let people = Cast::make(&api, &tokens).await?;
    let cores = deployment.api_bases().iter().map(|base| api.at(base)).collect();
    let gateways = deployment.gateway_ws_urls().to_vec();
    let common = Arc::new(Common::new(Recorder::new(clock), tokens, gateways, cores, options.seed));

    let (mut fleet, load) = Fleet::start(&common, &people);
    let late = people.late();
    await_condition("all clients to be online", ONLINE_WITHIN, || async {
        let online = common.recorder.progress().online;
        ensure!(online + late + people.slow() >= fleet.size, "{online} of {}", fleet.size);
        anyhow::Ok(())
    })
    .await?;
    say(&format!("{} clients; load begins", fleet.size));
    fleet.begin(&people, load, options.rate);
    let start = Instant::now();
    let watching = tokio::spawn(watch(platform.clone(), common.clone(), start, say));
    let faults = torture(&schedule, &platform, &common, start, say);
    let faults = async {
        let outcome = faults.await;
        // a server that was long in coming back is given the same time as any other
        tokio::time::sleep(AFTER_HEAL).await;
        outcome
    };
    let (faults, ()) = tokio::join!(faults, tokio::time::sleep(options.duration));
    fleet.calm().await;
    faults?;
    say("load ended, everything is healed; waiting until all is seen");
    quiet(&platform, &common, fleet.size, options.within, say).await;
    watching.abort();
    let history = common.recorder.close();
    fleet.stop().await;

    say("reading the database, the topic and REST");
    let truth = gather::truth(&platform, &common, &people).await?;
    let within = u64::try_from(options.within.as_millis()).unwrap_or(u64::MAX);
    let case = Case { history: &history, truth: &truth, within };
    let findings = check::all(&case);
    let made = report(&case, &findings);
    write(&options.report, &page(&title(options), &made, &history, &findings))?;
    if let Some(state) = &options.state {
        write(&state.join("sessions.txt"), &sessions(&history))?;
    }
    if let Err(error) = platform.stop().await {
        say(&format!("not everything stopped in an orderly way: {error:#}"));
    }
    Ok(Outcome { report: made, findings })
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

/// Until everybody is online, every send is answered, every online session has everything and the outbox is empty; or until it is clear that
/// this will not be.
async fn quiet(platform: &Platform, common: &Common, size: usize, within: Duration, say: Progress) {
    let start = Instant::now();
    let limit = QUIET_WITHIN.min(within + Duration::from_secs(5));
    loop {
        let look = async {
            let heads = gather::heads(platform).await?;
            let now = common.recorder.progress();
            let open = now.open + size.saturating_sub(now.online);
            anyhow::Ok((open, common.recorder.lacking(&heads), gather::outbox_rows(platform).await?))
        };
        let looked = look.await;
        if matches!(looked, Ok((0, 0, 0))) {
            say(&format!("all is seen after {:.1} s", start.elapsed().as_secs_f64()));
            return;
        }
        if start.elapsed() > limit {
            match looked {
                Ok((open, lacking, rows)) => say(&format!(
                    "gave up: {open} sends without an answer or clients without a session, {lacking} sessions lack events, {rows} rows in the outbox"
                )),
                Err(error) => say(&format!("gave up: {error:#}")),
            }
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Everything that was seen, for whoever looks for the cause of a finding.
fn sessions(history: &History) -> String {
    let mut text = String::new();
    for session in &history.sessions {
        let end = session.end.as_ref().map(|end| format!("{} {:?} {:?}", end.at, end.by, end.code));
        let Session { device, user, gateway, conduct, ready, exact, claims, seen, .. } = session;
        let _ = write!(
            text,
            "session of device {device}, user {user}, gateway {gateway}, {conduct:?}, ready {ready}, frames {}, end {end:?}\n\
             \tclaims (exact: {exact}): {claims:?}\n",
            seen.len()
        );
        for Seen { at, what } in seen {
            let _ = match what {
                What::Event(event) => writeln!(text, "\t{at}\t{}\t{}\t{}", event.conversation, event.seq, event.kind),
                other => writeln!(text, "\t{at}\t{other:?}"),
            };
        }
    }
    text
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
