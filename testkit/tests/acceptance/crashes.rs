//! kill -9 in the middle of sending: what was acknowledged arrives, nothing twice.

use anyhow::Result;
use chatcluster_testkit::{Deployment, WAIT};

use chatcluster_testkit::acceptance::participant::{Participant, check, group};

/// Messages of each of the three senders.
const EACH: usize = 150;

/// Three senders over all gateways; once each has some ACKs the process is killed, and started again a little later.
async fn kill_while_sending(deployment: &Deployment, victim: &str) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob", "cem"]).await?;
    let participants: Vec<_> =
        users.iter().enumerate().map(|(i, user)| Participant::start(deployment, user, &conversation, i)).collect();
    for participant in &participants {
        participant.send(&participant.user.username, EACH);
    }
    for participant in &participants {
        participant.wait_acknowledged(EACH / 5, WAIT * 2).await?;
    }
    let process = deployment.process(victim)?;
    process.kill9().await?;
    // the others go on meanwhile, where there are others
    if !deployment.is_embedded() {
        participants[1].wait_acknowledged(EACH * 2 / 5, WAIT * 2).await?;
    }
    process.start_again().await?;
    for participant in &participants {
        participant.wait_acknowledged(EACH, WAIT * 3).await?;
    }
    for participant in &participants {
        participant.wait_seen(3 * EACH, WAIT * 3).await?;
    }
    check(&participants, 3 * EACH as u64)?;
    for participant in participants {
        participant.stop().await?;
    }
    Ok(())
}

pub(crate) async fn the_one_process_is_killed_while_sending(deployment: &Deployment) -> Result<()> {
    kill_while_sending(deployment, "chatcluster").await
}

pub(crate) async fn a_core_is_killed_while_sending(deployment: &Deployment) -> Result<()> {
    kill_while_sending(deployment, "core-0").await
}

pub(crate) async fn a_worker_is_killed_while_sending(deployment: &Deployment) -> Result<()> {
    kill_while_sending(deployment, "worker-0").await
}

pub(crate) async fn a_gateway_is_killed_while_sending(deployment: &Deployment) -> Result<()> {
    kill_while_sending(deployment, "gateway-0").await
}
