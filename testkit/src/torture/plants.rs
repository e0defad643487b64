//! The planted bugs, and a short run for each: a checker that cannot fail is worth nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::check::Findings;
use super::run::{Options, run_on};
use super::schedule::{Tempo, parse_groups};
use super::{Outcome, Size};
use crate::install::Progress;
use crate::servers::Servers;

/// A bug that sleeps in binaries built with the feature `plants`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plant {
    /// As the binaries know it; empty: none, and nothing may be found.
    pub name: &'static str,
    /// The promise it breaks.
    pub invariant: &'static str,
    /// What brings it to light, if it needs anything.
    pub faults: &'static str,
    /// How long the load lasts, in seconds, and how long before the first fault.
    seconds: u64,
    warm_up: u64,
    size: &'static Size,
    pub help: &'static str,
}

impl Plant {
    /// With others than usual: whoever reconnects is healed of some bugs.
    const fn among(mut self, size: &'static Size) -> Self {
        self.size = size;
        self
    }
}

const fn plant(
    invariant: &'static str,
    name: &'static str,
    faults: &'static str,
    seconds: u64,
    help: &'static str,
) -> Plant {
    // the goodput before the fault wants measuring
    let warm_up = if seconds > 20 { 8 } else { 3 };
    Plant { name, invariant, faults, seconds, warm_up, size: &Size::SMALL, help }
}

/// How long what is lost is waited for.
const PATIENCE: Duration = Duration::from_secs(6);

/// A bug that a run misses by chance, or on a machine that has something else to do, has one more run to show itself in.
const SEEDS: [u64; 2] = [1, 2];

/// Each of I1 to I14, and of I20 to I22, is broken by one at least.
pub const PLANTS: &[Plant] = &[
    plant("", "", "kill-core", 10, "no bug: nothing is found"),
    plant("I1", "ack-without-commit", "", 8, "some sends are acknowledged and rolled back"),
    plant(
        "I2",
        "heads-before-registering",
        "",
        10,
        "the list of conversations is read before the session is registered",
    )
    .among(&Size::WHISPERED),
    plant("I3", "refuse-what-is-stored", "", 8, "some sends are stored and refused"),
    plant("I4", "resume-forgotten", "reset-clients", 8, "a client's resume is read and not used"),
    plant("I5", "no-idempotence", "deaf-gateway-core", 12, "one clientMsgId may be stored twice"),
    plant("I6", "seq-skips", "", 8, "a seq is left out now and then"),
    plant("I7", "delete-before-append", "freeze-kafka+kill-core", 14, "an outbox row is deleted before Kafka has it"),
    plant("I8", "offset-before-xadd", "freeze-redis", 14, "an offset is committed before Redis has the entries"),
    plant("I9", "deliver-after-leaving", "", 8, "who left goes on receiving"),
    plant("I10", "no-expiry", "", 16, "nobody looks whether a token has ended"),
    plant("I10", "revocation-unheard", "", 12, "a gateway does not close the sessions of a login that has ended"),
    plant("I11", "no-queue-limit", "", 8, "what waits for a client that does not read has no bound"),
    plant(
        "I12",
        "sends-stay-down",
        "cut-gateway-core",
        24,
        "after a lost connection to core sends are refused for ever",
    ),
    plant("I13", "drain-cuts", "drain-gateway", 10, "a gateway that stops drops its connections"),
    plant("I14", "no-head-check", "flush-redis", 10, "a lost last event is not looked for"),
    plant(
        "I14",
        "registry-stays-lost",
        "flush-redis",
        10,
        "connections are not registered again when Redis has lost them",
    )
    .among(&Size::CALM),
    plant("I20", "record-twice", "", 8, "a guest of a room is handed a record twice now and then"),
    plant("I20", "record-skipped", "", 8, "the offset of a record is committed, and the record goes nowhere"),
    plant("I9", "record-to-another-room", "", 8, "a record is handed to the guests of another room as well"),
    plant("I21", "ingest-twice", "", 10, "a record that comes again is not recognised by its id"),
    plant("I22", "event-to-foreign-name", "", 8, "a user event is handed to those who listen to another name"),
    plant("I22", "since-forgotten", "reset-clients", 8, "who comes back behind a user event gets the whole log"),
];

/// What came of one.
#[derive(Debug)]
pub struct Caught {
    pub plant: Plant,
    /// Its promise was seen broken, or nothing was where nothing is.
    pub as_expected: bool,
    pub findings: Findings,
    pub took: Duration,
    /// The page of the run.
    pub report: PathBuf,
}

/// Runs these, `lanes` at a time, each lane on servers of its own. `said` hears of each as it ends.
pub async fn run(
    plants: &[Plant],
    lanes: usize,
    folder: &Path,
    progress: Progress,
    said: impl Fn(&Caught),
) -> Result<Vec<Caught>> {
    // the longest first
    let mut queue: Vec<Plant> = plants.to_vec();
    queue.sort_by_key(|plant| plant.seconds);
    let queue = parking_lot::Mutex::new(queue);
    let (queue, said) = (&queue, &said);
    let lanes = stream::iter(0..lanes.clamp(1, plants.len().max(1))).map(|_| async move {
        let servers = Arc::new(Servers::start_with(progress, None).await?);
        let mut caught = Vec::new();
        loop {
            let next = queue.lock().pop();
            let Some(plant) = next else { break };
            for seed in SEEDS {
                let one = run_one(&servers, plant, seed, folder).await;
                let one = one.with_context(|| format!("the run with {:?}", plant.name))?;
                said(&one);
                // what is found without a bug is not undone by a second look
                let is_last = one.as_expected || plant.name.is_empty() || seed == SEEDS[SEEDS.len() - 1];
                if is_last {
                    caught.push(one);
                    break;
                }
            }
        }
        servers.stop().await?;
        anyhow::Ok(caught)
    });
    let caught: Vec<Vec<Caught>> = lanes.buffer_unordered(usize::MAX).try_collect().await?;
    Ok(caught.into_iter().flatten().collect())
}

async fn run_one(servers: &Arc<Servers>, plant: Plant, seed: u64, folder: &Path) -> Result<Caught> {
    let start = std::time::Instant::now();
    let name = if plant.name.is_empty() { "control" } else { plant.name };
    let report = folder.join(format!("{name}.html"));
    let options = Options {
        seed,
        duration: Duration::from_secs(plant.seconds),
        tempo: Tempo { warm_up: Duration::from_secs(plant.warm_up), ..Tempo::HASTY },
        size: plant.size.clone(),
        faults: parse_groups(plant.faults)?,
        replicated: false,
        rate: 30,
        within: if plant.name.is_empty() { PATIENCE * 3 } else { PATIENCE },
        grace: Duration::from_secs(7),
        report: report.clone(),
        state: None,
        // a name that no binary knows is no bug
        plant: Some(name.to_owned()),
        progress: |_| {},
    };
    let Outcome { findings, .. } = run_on(servers, &options).await?;
    let counts = findings.by_invariant();
    let as_expected = if plant.name.is_empty() { counts.is_empty() } else { counts.contains_key(plant.invariant) };
    Ok(Caught { plant, as_expected, findings, took: start.elapsed(), report })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_promise_has_a_plant_and_every_plant_its_faults() {
        for number in (1..=14).chain(20..=22) {
            let invariant = format!("I{number}");
            assert!(PLANTS.iter().any(|plant| plant.invariant == invariant), "{invariant}");
        }
        for plant in PLANTS {
            assert!(parse_groups(plant.faults).is_ok(), "{plant:?}");
        }
    }
}
