//! New passwords at Redis and at the database. Both are good at first, then the Secrets are changed, the operator rolls the
//! pods that use them, and the old ones are taken away.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::super::platform::{Part, ROLLED_OUT_WITHIN, replaced};
use super::{Figures, Stage, linger, seconds};
use crate::await_condition;

pub(super) async fn run(stage: &mut Stage) -> Result<Figures> {
    let platform = &stage.platform;
    let login = platform.backing.another(&stage.login).await?;
    let parts = [(Part::Core, 2), (Part::Worker, 1), (Part::Gateway, 2)];
    let mut before = Vec::new();
    for (part, count) in parts {
        before.push((part, count, platform.settled(part, count, None).await?));
    }
    let start = Instant::now();
    platform.set_login(&login).await?;
    for (part, count, pods) in &before {
        // nothing tells that a roll-out is about to begin but its pods
        await_condition(&format!("new pods of {}", part.name()), ROLLED_OUT_WITHIN, || async {
            let now = platform.pods(*part).await?;
            if now.iter().any(|pod| pods.iter().all(|old| old.uid != pod.uid)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
            bail!("only the old ones")
        })
        .await?;
        let now = platform.settled(*part, *count, None).await?;
        replaced(pods, &now)?;
    }
    let took = seconds(start);
    platform.backing.expel(&stage.login).await?;
    stage.login = login;
    stage.say("the old passwords are gone");
    linger().await;
    stage.platform.ready().await?;
    Ok(vec![("rotated, s", took)])
}
