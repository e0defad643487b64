//! A HorizontalPodAutoscaler on CPU: it has to add gateways when clients really make them work, and to take them away when
//! that is over.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::super::platform::{NAME, NAMESPACE, Part};
use super::{Figures, RATE, Stage, seconds};
use crate::await_condition;

/// Messages a second that keep two gateways below the target, and those that do not.
const CALM: u32 = 5;
const BUSY: u32 = 150;
/// Of what a gateway asks for, in percent.
const TARGET: u32 = 80;
/// For metrics to be there, and for a decision: metrics are ten to fifteen seconds old.
const DECIDED_WITHIN: Duration = Duration::from_mins(2);

pub(super) async fn run(stage: &mut Stage) -> Result<Figures> {
    stage.fleet.send(CALM);
    let policy = |pods: u32| json!({"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": pods, "periodSeconds": 15}]});
    let autoscaling = json!({
        "minReplicas": 2, "maxReplicas": 4, "targetCPUUtilization": TARGET,
        "behavior": {"scaleUp": policy(2), "scaleDown": policy(2)},
    });
    stage.platform.patch(&json!({"spec": {"gateway": {"replicas": null, "autoscaling": autoscaling}}})).await?;
    let outcome = scale(stage).await;
    // whatever came of it, the next scenario finds two
    stage.fleet.send(RATE);
    stage.platform.patch(&json!({"spec": {"gateway": {"replicas": 2, "autoscaling": null}}})).await?;
    stage.platform.settled(Part::Gateway, 2, None).await?;
    stage.platform.ready().await?;
    outcome
}

async fn scale(stage: &Stage) -> Result<Figures> {
    let calm = decided(stage, "usage below the target", |usage, _| usage.is_some_and(|usage| usage < TARGET.into()));
    let calm = calm.await?;
    stage.say(&format!("{calm} % of the request used; busy from here on"));
    stage.fleet.send(BUSY);
    let since = Instant::now();
    decided(stage, "the autoscaler to want more than two gateways", |_, wanted| wanted > 2).await?;
    let reaction = seconds(since);
    let more = await_condition("another gateway to be ready", DECIDED_WITHIN, || async {
        let pods = stage.platform.pods(Part::Gateway).await?;
        let ready = pods.iter().filter(|pod| pod.ready && !pod.ending).count();
        if ready > 2 {
            return Ok(ready);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        bail!("{ready} are ready")
    });
    let more = more.await?;
    let served = seconds(since);
    stage.say(&format!("{more} gateways after {served:.1} s; calm from here on"));
    stage.fleet.send(CALM);
    let since = Instant::now();
    decided(stage, "the autoscaler to want two gateways again", |_, wanted| wanted == 2).await?;
    let down = seconds(since);
    stage.platform.settled(Part::Gateway, 2, None).await?;
    Ok(vec![
        ("HPA reaction out, s", reaction),
        ("HPA out, ready, s", served),
        ("HPA reaction in, s", down),
        ("HPA in, gone, s", seconds(since)),
    ])
}

/// Until the autoscaler's status is as `wanted` says: CPU used in percent of the request, and pods wanted. Answers the
/// first.
async fn decided(stage: &Stage, what: &str, wanted: impl Fn(Option<u64>, u64) -> bool) -> Result<u64> {
    let path = format!("/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/{NAME}-gateway");
    await_condition(what, DECIDED_WITHIN, || async {
        let autoscaler = stage.platform.cluster.get(&path).await?.context("no autoscaler yet")?;
        let status = &autoscaler["status"];
        let usage = status["currentMetrics"][0]["resource"]["current"]["averageUtilization"].as_u64();
        let pods = status["desiredReplicas"].as_u64().unwrap_or_default();
        if wanted(usage, pods) {
            return Ok(usage.unwrap_or_default());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        bail!("{usage:?} % used, {pods} wanted: {}", status["conditions"])
    })
    .await
}
