//! Pods are deleted: in an orderly way, as a drain of a node does, and by force, as a node that dies does.

use std::time::Instant;

use anyhow::{Context, Result};

use super::super::platform::{NAMESPACE, Part, Pod, replaced};
use super::{Figures, Stage, linger, seconds};

pub(super) async fn run(stage: &mut Stage) -> Result<Figures> {
    let mut figures = Vec::new();
    for (at_once, what) in [(false, "deleted, replaced, s"), (true, "killed, replaced, s")] {
        let start = Instant::now();
        let gone = delete_one_of_each(stage, at_once).await?;
        let platform = &stage.platform;
        for (part, count) in [(Part::Core, 2), (Part::Worker, 1), (Part::Gateway, 2)] {
            let after = platform.settled(part, count, None).await?;
            replaced(&gone, &after)?;
        }
        figures.push((what, seconds(start)));
        stage.say(if at_once { "killed ones replaced" } else { "deleted ones replaced" });
        linger().await;
    }
    stage.platform.ready().await?;
    Ok(figures)
}

async fn delete_one_of_each(stage: &Stage, at_once: bool) -> Result<Vec<Pod>> {
    let mut gone = Vec::new();
    for part in Part::ALL {
        let pods = stage.platform.pods(part).await?;
        let pod = pods.into_iter().next().with_context(|| format!("no pod of {}", part.name()))?;
        stage.platform.delete_pod(NAMESPACE, &pod.name, at_once).await?;
        gone.push(pod);
    }
    Ok(gone)
}
