//! What is done to the platform while the fleet uses it, one file each. Every scenario leaves the platform as it found it.

mod acceptance;
mod autoscaling;
mod chart;
mod eviction;
mod gateways;
mod operator;
mod pods;
mod secrets;
mod upgrade;
mod workers;

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::BoxFuture;

use super::backing::Login;
use super::fleet::Fleet;
use super::platform::Platform;

/// The steady load, in messages a second; each goes to twenty clients.
pub(super) const RATE: u32 = 30;

/// What scenarios work on.
pub(super) struct Stage {
    pub(super) platform: Platform,
    pub(super) fleet: Fleet,
    /// The login that the platform has at Redis and the database now.
    pub(super) login: Login,
    /// The images at hand: the version that was installed, and a later one.
    pub(super) versions: [String; 2],
}

impl Stage {
    pub(super) fn say(&self, line: &str) {
        (self.platform.say)(&format!("  {line}; {}", self.fleet.progress()));
    }
}

/// Figures of a scenario beside those of the fleet: a name and a value.
pub(super) type Figures = Vec<(&'static str, f64)>;

pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// What is done, for a table.
    pub(super) what: &'static str,
    pub(super) run: for<'a> fn(&'a mut Stage) -> BoxFuture<'a, Result<Figures>>,
}

/// In the order in which they are run.
pub(super) const ALL: [Scenario; 10] = [
    Scenario {
        name: "acceptance",
        what: "the message-path acceptance suite through the Services, over two gateway pods",
        run: |stage| Box::pin(acceptance::run(stage)),
    },
    Scenario {
        name: "gateways",
        what: "gateways 2 -> 4 -> 2 by kubectl scale",
        run: |stage| Box::pin(gateways::run(stage)),
    },
    Scenario {
        name: "autoscaling",
        what: "an autoscaler adds gateways under load, and takes them away after it",
        run: |stage| Box::pin(autoscaling::run(stage)),
    },
    Scenario { name: "workers", what: "workers 1 -> 3 -> 1", run: |stage| Box::pin(workers::run(stage)) },
    Scenario {
        name: "upgrade",
        what: "every part rolled to another image; the operator killed on the way",
        run: |stage| Box::pin(upgrade::run(stage)),
    },
    Scenario {
        name: "pods",
        what: "a pod of each part deleted, then one of each at once and by force",
        run: |stage| Box::pin(pods::run(stage)),
    },
    Scenario {
        name: "eviction",
        what: "gateways evicted through the API, one at a time as the budget says",
        run: |stage| Box::pin(eviction::run(stage)),
    },
    Scenario {
        name: "operator",
        what: "the operator killed, a scaling asked for meanwhile",
        run: |stage| Box::pin(operator::run(stage)),
    },
    Scenario {
        name: "secrets",
        what: "new passwords at Redis and the database, the old ones taken away",
        run: |stage| Box::pin(secrets::run(stage)),
    },
    Scenario {
        name: "chart",
        what: "helm upgrade of the operator, which touches no other pod",
        run: |stage| Box::pin(chart::run(stage)),
    },
];

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

/// The load goes on for a moment, so that it meets what has just become so.
async fn linger() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}
