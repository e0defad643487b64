//! What a log collector reads: with `--log-format json` every line of every process is one object with the same members,
//! and no secret is in any.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use anyhow::{Context, Result};
use chatcluster_testkit::{Deployment, WAIT, client::Resume};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn every_line_is_an_object_and_none_has_a_secret() -> Result<()> {
    let settings = [("CHATCLUSTER_LOG_FORMAT", "json"), ("CHATCLUSTER_LOG_LEVEL", "debug,chatcluster=trace")];
    let builder = Deployment::builder().cores(1).workers(1).gateways(1);
    let deployment =
        settings.into_iter().fold(builder, |builder, (key, value)| builder.env(key, value)).start().await?;
    let ann = deployment.user("ann").await?;
    let (_, room) = ann.api.create_conversation("group", &[]).await?;
    let room = room["id"].as_str().context("no id")?.to_owned();
    let client = deployment.connect(&ann, 0, Resume::None).await?;
    client.send_and_ack(&room, "m1", "what people say to each other", WAIT).await?;
    client.wait_for(|frame| frame["type"] == "MESSAGE", WAIT).await?;
    let secrets = [ann.token.as_str(), &ann.refresh_token, deployment.service_token(), "what people say to each other"];
    deployment.stop().await?;

    for process in ["core-0", "worker-0", "gateway-0"] {
        let log = std::fs::read_to_string(deployment.folder().join(format!("{process}.log")))?;
        assert!(log.lines().count() > 3, "{process}: {log}");
        for line in log.lines() {
            let entry: Value = serde_json::from_str(line).with_context(|| format!("{process}: {line}"))?;
            for member in ["timestamp", "level", "target"] {
                assert!(entry[member].is_string(), "{process}: no {member} in {line}");
            }
            assert!(!secrets.iter().any(|secret| line.contains(secret)), "{process}: {line}");
        }
    }
    Ok(())
}
