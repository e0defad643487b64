//! grep for one id shows one message's whole way.

use crate::{Deployment, Resume, WAIT, await_condition};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::participant::group;

pub async fn one_id_follows_a_message(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let at_ann = deployment.connect(&users[0], 0, Resume::None).await?;
    let at_bob = deployment.connect(&users[1], 1, Resume::None).await?;
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    at_ann
        .send_frame(json!({"type": "SEND", "clientMsgId": "m1", "conversationId": conversation, "content": "hi",
            "traceparent": format!("00-{trace_id}-b7ad6b7169203331-01")}))
        .await?;
    at_bob.wait_for(|frame| frame["type"] == "MESSAGE", WAIT).await?;
    let wanted = ["gateway.receive", "core.commit", "core.relay", "worker.xadd", "gateway.ack", "gateway.deliver"];
    await_condition("every hop in the logs", WAIT, || async {
        let mut hops = Vec::new();
        for process in deployment.processes() {
            for line in std::fs::read_to_string(process.log_path())?.lines().filter(|line| line.contains(trace_id)) {
                if let Ok(entry) = serde_json::from_str::<Value>(line) {
                    hops.push(entry["hop"].as_str().unwrap_or_default().to_owned());
                }
            }
        }
        let missing: Vec<_> = wanted.iter().filter(|hop| !hops.iter().any(|have| have == *hop)).collect();
        ensure!(missing.is_empty(), "missing {missing:?} in {hops:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await
}
