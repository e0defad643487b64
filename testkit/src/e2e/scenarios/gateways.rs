//! Gateways 2 -> 4 -> 2 by `kubectl scale`. Those that go close their sockets in slices, with a code that says: come back
//! and go on.

use std::time::Instant;

use anyhow::Result;

use super::super::platform::Part;
use super::{Figures, Stage, linger, seconds};

pub(super) async fn run(stage: &mut Stage) -> Result<Figures> {
    let platform = &stage.platform;
    let out = Instant::now();
    platform.scale_gateways(4).await?;
    platform.settled(Part::Gateway, 4, None).await?;
    let out = seconds(out);
    stage.say("four gateways");
    // clients only come to the new pods when they come anew
    stage.fleet.move_some();
    linger().await;
    let back = Instant::now();
    platform.scale_gateways(2).await?;
    platform.settled(Part::Gateway, 2, None).await?;
    let back = seconds(back);
    linger().await;
    platform.ready().await?;
    Ok(vec![("2 -> 4 ready, s", out), ("4 -> 2 gone, s", back)])
}
