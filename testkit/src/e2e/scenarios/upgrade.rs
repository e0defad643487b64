//! Another version: migration, core, workers and gateways are replaced one after the other, and the operator is killed in
//! the middle of it.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use super::super::platform::{Part, SYSTEM, replaced};
use super::{Figures, Stage, linger, seconds};

pub(super) async fn run(stage: &mut Stage) -> Result<Figures> {
    // with every run of the scenario the other way
    let platform = &stage.platform;
    let before = platform.pods(Part::Gateway).await?;
    let [old, new] = &stage.versions;
    let from = before.first().map_or("", |pod| &pod.image);
    let to = if from.ends_with(&format!(":{new}")) { old } else { new };
    let start = Instant::now();
    platform.patch(&json!({"spec": {"version": to}})).await?;
    // core is first: while its pods are being replaced the operator goes
    platform.settled(Part::Core, 2, Some(to)).await?;
    stage.say("core is new, the operator is killed");
    for operator in platform.operators().await? {
        platform.delete_pod(SYSTEM, &operator.name, true).await?;
    }
    platform.upgraded(to).await?;
    let took = seconds(start);
    platform.settled(Part::Worker, 1, Some(to)).await?;
    let after = platform.settled(Part::Gateway, 2, Some(to)).await?;
    replaced(&before, &after)?;
    linger().await;
    platform.ready().await?;
    ensure!(platform.restarts().await? == 0, "containers were restarted");
    Ok(vec![("upgrade, s", took)])
}
