//! Workers 1 -> 3 -> 1: partitions move twice while messages come.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::super::platform::Part;
use super::{Figures, Stage, linger, seconds};

pub(super) async fn run(stage: &mut Stage) -> Result<Figures> {
    let platform = &stage.platform;
    let start = Instant::now();
    for count in [3, 1] {
        platform.patch(&json!({"spec": {"worker": {"replicas": count}}})).await?;
        platform.settled(Part::Worker, count, None).await?;
        stage.say(&format!("{count} workers"));
        linger().await;
    }
    platform.ready().await?;
    Ok(vec![("1 -> 3 -> 1, s", seconds(start))])
}
