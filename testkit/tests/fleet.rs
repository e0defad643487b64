//! The fleet of `testkit e2e` on separate processes: what it sees is right when all is well, and a gateway that goes is
//! survived.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use anyhow::Result;
use chatcluster_testkit::e2e::fleet::{Fleet, Size};
use chatcluster_testkit::e2e::{Entrance, Sources};
use chatcluster_testkit::{Deployment, WAIT, await_condition, install};

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_drained_and_one_that_is_killed_lose_and_repeat_nothing() -> Result<()> {
    let deployment = Deployment::on_shared_servers(1, 2, 2).await?;
    let entrance = Entrance {
        api: deployment.api_bases()[0].clone(),
        gateways: deployment.gateway_ws_urls().to_vec(),
        sources: Sources::LOOPBACK,
    };
    let key = std::fs::read(deployment.folder().join("core/signing-key.pem"))?;
    let size = Size { users: 30, devices: 2, conversations: 6, members: 10 };
    let mut fleet = Fleet::start(entrance, &key, size, install::quiet).await?;
    let acknowledged = |fleet: &Fleet| fleet.progress();

    fleet.send(40);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    deployment.process("gateway-0")?.stop().await?;
    let tally = fleet.conclude().await?;
    eprintln!("drained: {} {tally:?}", acknowledged(&fleet));
    assert!(tally.broken.is_empty(), "{:?}", tally.broken);
    assert!(tally.acknowledged > 20 && tally.delivered >= 20 * tally.acknowledged, "{tally:?}");
    assert!(tally.closed > 10 && tally.closed == tally.closed_resumable, "{tally:?}");
    assert_eq!(tally.reconnects.len(), tally.closed);

    deployment.process("gateway-0")?.start_again().await?;
    fleet.send(40);
    deployment.process("gateway-1")?.kill9().await?;
    await_condition("everybody at the other gateway", WAIT, || async {
        if fleet.online() == fleet.size() { Ok(()) } else { Err(fleet.progress()) }
    })
    .await?;
    let tally = fleet.conclude().await?;
    eprintln!("killed: {tally:?}");
    assert!(tally.broken.is_empty(), "{:?}", tally.broken);
    assert_eq!((tally.closed, tally.closed_resumable), (60, 0));
    assert_eq!(tally.gateways.keys().collect::<Vec<_>>(), ["gateway-0"]);
    fleet.stop().await;
    deployment.stop().await
}
