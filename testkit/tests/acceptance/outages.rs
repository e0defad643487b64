//! The servers beside us go away and come back: sends are refused clearly or delivered later, and everything drains.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chatcluster_testkit::{Deployment, Resume, WAIT, await_condition};

use chatcluster_testkit::acceptance::participant::{Participant, check, group};

/// How long each server is away.
const AWAY: Duration = Duration::from_secs(20);
const EACH: usize = 10;

pub(crate) async fn kafka_redis_and_the_database_are_away_for_a_while(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let participants: Vec<_> =
        users.iter().enumerate().map(|(i, user)| Participant::start(deployment, user, &conversation, i)).collect();
    let mut sent = 0;
    for server in ["kafka", "redis", "mariadb"] {
        for participant in &participants {
            participant.send(&format!("{}-before-{server}", participant.user.username), EACH);
        }
        sent += EACH;
        for participant in &participants {
            participant.wait_seen(2 * sent, WAIT).await.with_context(|| format!("before {server} stops"))?;
        }
        let process = deployment.process(server)?;
        process.kill9().await?;
        for participant in &participants {
            participant.send(&format!("{}-without-{server}", participant.user.username), EACH);
        }
        sent += EACH;
        if server != "mariadb" {
            // the database takes them; they are delivered later
            for participant in &participants {
                participant.wait_acknowledged(sent, AWAY).await.with_context(|| format!("without {server}"))?;
            }
        }
        tokio::time::sleep(AWAY).await;
        process.start_again().await?;
        for participant in &participants {
            participant.wait_acknowledged(sent, WAIT * 2).await.with_context(|| format!("after {server}"))?;
            participant.wait_seen(2 * sent, WAIT * 2).await.with_context(|| format!("after {server}"))?;
        }
    }
    check(&participants, 2 * sent as u64)?;
    await_condition("an empty outbox", WAIT, || async {
        let rows = deployment.query("SELECT COUNT(*) FROM message_producer_outbox").await?;
        ensure!(rows[0][0] == "0", "{} rows", rows[0][0]);
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    for participant in participants {
        ensure!(participant.conversation() == conversation, "another conversation");
        participant.stop().await?;
    }
    Ok(())
}

/// FLUSHALL right after a send, then silence: nobody else tells the gateways that something was missed.
pub(crate) async fn redis_forgets_everything(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let at_ann = deployment.connect(&users[0], 0, Resume::None).await?;
    let at_bob = deployment.connect(&users[1], 1, Resume::None).await?;
    let redis = &deployment.servers().context("real only")?.redis;
    for round in 1..=5_u64 {
        at_ann.send_message(&conversation, &format!("m{round}"), "the last one").await?;
        redis.flush().await?;
        for client in [&at_ann, &at_bob] {
            client.wait_for(|frame| frame["type"] == "MESSAGE" && frame["seq"] == round, WAIT).await?;
        }
    }
    ensure!(at_bob.seqs_of(&conversation) == [1, 2, 3, 4, 5], "{:?}", at_bob.seqs_of(&conversation));
    Ok(())
}
