//! What a drain of nodes does: pods are evicted through the API, which answers 429 as long as the budget allows no other
//! to go.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::super::platform::{NAMESPACE, Part, Pod, ROLLED_OUT_WITHIN, replaced};
use super::{Figures, Stage, linger, seconds};
use crate::await_condition;

pub(super) async fn run(stage: &mut Stage) -> Result<Figures> {
    let platform = &stage.platform;
    let before = platform.settled(Part::Gateway, 2, None).await?;
    let (first, second) = (before.first().context("no gateway")?, before.get(1).context("one gateway")?);
    let start = Instant::now();
    ensure!(evict(stage, first).await?, "the first eviction was refused");
    ensure!(!evict(stage, second).await?, "the budget let both gateways go");
    stage.say("one gateway evicted, the other one kept by the budget");
    await_condition("the budget to let the other one go", ROLLED_OUT_WITHIN, || async {
        if evict(stage, second).await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        bail!("429")
    })
    .await?;
    let ready = platform.pods(Part::Gateway).await?.iter().filter(|pod| pod.ready && !pod.ending).count();
    ensure!(ready >= 1, "no gateway was left");
    let after = platform.settled(Part::Gateway, 2, None).await?;
    replaced(&before, &after)?;
    linger().await;
    Ok(vec![("both evicted, replaced, s", seconds(start))])
}

/// False: the budget does not let it go now.
async fn evict(stage: &Stage, pod: &Pod) -> Result<bool> {
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod.name, "namespace": NAMESPACE},
    });
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}/eviction", pod.name);
    let arguments = ["create", "--raw", &path, "--filename=-"];
    match stage.platform.cluster.kubectl_with(&arguments, &eviction.to_string()).await {
        Ok(_) => Ok(true),
        Err(error) if format!("{error:#}").contains("disruption budget") => Ok(false),
        Err(error) => Err(error),
    }
}
