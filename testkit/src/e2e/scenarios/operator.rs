//! The operator is killed, and something is asked for while it is away: the platform goes on without it, and it does what
//! was asked for when it is back.

use std::time::Instant;

use anyhow::Result;

use super::super::platform::{Part, SYSTEM};
use super::{Figures, Stage, linger, seconds};

pub(super) async fn run(stage: &mut Stage) -> Result<Figures> {
    let platform = &stage.platform;
    let start = Instant::now();
    for operator in platform.operators().await? {
        platform.delete_pod(SYSTEM, &operator.name, true).await?;
    }
    platform.scale_gateways(3).await?;
    platform.settled(Part::Gateway, 3, None).await?;
    let took = seconds(start);
    stage.say("three gateways");
    stage.fleet.move_some();
    linger().await;
    platform.scale_gateways(2).await?;
    platform.settled(Part::Gateway, 2, None).await?;
    platform.ready().await?;
    Ok(vec![("killed and scaled, s", took)])
}
