//! The message-path acceptance suite through the Services. Its clients come from two addresses that the Service keeps at
//! two different gateways.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::super::Entrance;
use super::super::platform::{NAME, NAMESPACE};
use super::{Figures, RATE, Stage};
use crate::acceptance::{participant::group, through_ports};
use crate::torture::tokens::Tokens;
use crate::{Client, Deployment, Resume, WAIT, await_condition};

/// Two cores have other things to do.
const TOGETHER: usize = 4;
/// Addresses tried until one leads to another gateway than the first.
const TRIES: usize = 64;

/// An acceptance test's name, and what came of it.
type Outcome = (&'static str, Result<()>);

pub(super) async fn run(stage: &mut Stage) -> Result<Figures> {
    // the suite is the load
    stage.fleet.send(RATE / 5);
    let entrance = stage.platform.entrance().await?;
    let (ways, names) = two_ways(&entrance).await?;
    stage.say(&format!("clients at {} and {}", names[0], names[1]));
    let urls: Vec<String> = ways.iter().map(|way| way.url.clone()).collect();
    let deployment = || Deployment::elsewhere(vec![entrance.api.clone()], urls.clone());
    let runs = through_ports().into_iter().map(|(name, acceptance)| -> BoxFuture<'static, Outcome> {
        let deployment = deployment();
        Box::pin(async move { (name, async { acceptance(&deployment?).await }.await) })
    });
    let runs: Vec<_> = runs.collect();
    let outcomes: Vec<_> = futures_util::stream::iter(runs).buffer_unordered(TOGETHER).collect().await;
    let mut failed: Vec<String> = Vec::new();
    for (name, outcome) in &outcomes {
        if let Err(error) = outcome {
            failed.push(format!("{name}: {error:#}"));
        }
    }
    let tokens = Tokens::of_key(&stage.platform.signing_key().await?, &crate::Api::new(&entrance.api)?).await?;
    if let Err(error) = closed_at_expiry(&deployment()?, &tokens).await {
        failed.push(format!("a session is closed when its token ends: {error:#}"));
    }
    if let Err(error) = one_id_follows_a_message(stage, &deployment()?).await {
        failed.push(format!("one id follows a message: {error:#}"));
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(vec![("acceptance checks", (outcomes.len() + 2) as f64)])
}

/// A port here that leads to the gateways' Service, always from the same address.
struct Way {
    url: String,
    forwarder: JoinHandle<()>,
}

impl Drop for Way {
    fn drop(&mut self) {
        self.forwarder.abort();
    }
}

impl Way {
    async fn open(entrance: &Entrance, source: Ipv4Addr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port")?;
        let url = format!("ws://{}/ws", listener.local_addr()?);
        let entrance = entrance.clone();
        let forwarder = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let entrance = entrance.clone();
                tokio::spawn(async move {
                    let Some(to) = entrance.gateways.first() else { return };
                    let Ok(mut server) = entrance.connect(to, source).await else { return };
                    // either end closes both
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Ok(Self { url, forwarder })
    }
}

/// Two ways that lead to different gateways, and their names.
async fn two_ways(entrance: &Entrance) -> Result<([Way; 2], [String; 2])> {
    let probe = Deployment::elsewhere(vec![entrance.api.clone()], Vec::new())?.user("prober").await?;
    let mut first: Option<(Way, String)> = None;
    for _ in 0..TRIES {
        let way = Way::open(entrance, entrance.sources.any()).await?;
        let client = Client::connect(&way.url, &probe.token, Resume::None).await?;
        let session = client.session()["sessionId"].as_str().unwrap_or_default();
        let gateway = session.split('~').next().unwrap_or_default().to_owned();
        match first {
            None => first = Some((way, gateway)),
            Some((one, name)) if name != gateway => return Ok(([one, way], [name, gateway])),
            Some(_) => {}
        }
    }
    bail!("{TRIES} addresses all led to the same gateway")
}

async fn closed_at_expiry(deployment: &Deployment, tokens: &Tokens) -> Result<()> {
    let ann = deployment.user("ann").await?;
    let url = deployment.gateway_ws_urls().first().context("no gateway")?;
    let token = tokens.issue(&ann.id, Duration::from_secs(4))?;
    let client = Client::connect(url, &token, Resume::None).await?;
    let closed = client.closed(WAIT).await?;
    ensure!(closed.as_ref().is_some_and(|(code, _)| *code == 4410), "{closed:?}");
    let refused = Client::connect(url, &token, Resume::None).await;
    ensure!(refused.as_ref().is_err_and(|error| format!("{error:#}").contains("token_expired")), "{refused:?}");
    Ok(())
}

/// In the logs of the pods.
async fn one_id_follows_a_message(stage: &Stage, deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let [ann, bob] = users.as_slice() else { bail!("not two users") };
    let at_ann = deployment.connect(ann, 0, Resume::None).await?;
    let at_bob = deployment.connect(bob, 1, Resume::None).await?;
    let trace_id = "0af7651916cd43dd8448eb211c80319d";
    let send = json!({"type": "SEND", "clientMsgId": "m1", "conversationId": conversation, "content": "hi",
        "traceparent": format!("00-{trace_id}-b7ad6b7169203331-01")});
    at_ann.send_frame(send).await?;
    at_bob.wait_for(|frame| frame["type"] == "MESSAGE", WAIT).await?;
    let selector = format!("--selector=app.kubernetes.io/instance={NAME}");
    let arguments = ["logs", "--namespace", NAMESPACE, &selector, "--since=2m", "--tail=-1", "--max-log-requests=20"];
    await_condition("every hop in the logs", WAIT, || async {
        let logs = stage.platform.cluster.kubectl(&arguments).await?;
        let of_ours = || logs.lines().filter(|line| line.contains(trace_id));
        let hops = ["gateway.receive", "core.commit", "core.relay", "worker.xadd", "gateway.ack", "gateway.deliver"];
        let missing: Vec<_> = hops.iter().filter(|hop| !of_ours().any(|line| line.contains(*hop))).collect();
        ensure!(missing.is_empty(), "missing {missing:?} in {} lines", of_ours().count());
        anyhow::Ok(())
    })
    .await
}
