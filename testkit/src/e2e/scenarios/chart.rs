//! `helm upgrade`: another operator, the same platform. No pod of it is touched, and the new operator works.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::super::platform::{Part, replaced};
use super::{Figures, Stage, seconds};

pub(super) async fn run(stage: &mut Stage) -> Result<Figures> {
    let platform = &stage.platform;
    let operators = platform.operators().await?;
    let mut before = Vec::new();
    for part in Part::ALL {
        before.extend(platform.pods(part).await?);
    }
    let start = Instant::now();
    let settings = ["--set", "operator.logLevel=debug", "--set", "podAnnotations.upgraded=yes"];
    platform.upgrade_operator(&stage.versions[1], &settings).await?;
    let took = seconds(start);
    replaced(&operators, &platform.operators().await?.into_iter().filter(|pod| !pod.ending).collect::<Vec<_>>())?;
    stage.say("the operator is another one");
    // it works: what is asked for is done
    platform.scale_gateways(3).await?;
    platform.settled(Part::Gateway, 3, None).await?;
    platform.scale_gateways(2).await?;
    let mut after = platform.settled(Part::Gateway, 2, None).await?;
    for part in [Part::Core, Part::Worker] {
        after.extend(platform.pods(part).await?);
    }
    let kept = before.iter().filter(|pod| after.iter().any(|other| other.uid == pod.uid)).count();
    // of three gateways the Deployment may take any
    ensure!(kept + 1 >= before.len(), "{} of {} pods were replaced", before.len() - kept, before.len());
    platform.ready().await?;
    Ok(vec![("helm upgrade, s", took)])
}
