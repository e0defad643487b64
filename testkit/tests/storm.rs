//! Everybody connects at once, as after an outage: five thousand sessions with a contact each are registered, reported and
//! told of, while two people chat on the same gateways. Figures of the dialogue are printed beside those of a quiet time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use chatcluster_testkit::{
    Deployment, WAIT, await_condition,
    client::{Client, Resume},
    crowd::Crowd,
};
use futures_util::{StreamExt, stream};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

const CONNECTIONS: usize = 5_000;
/// Upgrades under way at the same time.
const AT_ONCE: usize = 256;
/// Between two messages of the dialogue.
const PAUSE: Duration = Duration::from_millis(20);

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.filter_map(|it| Some(it.ok()?.path())).collect();
    let here = entries.iter().find(|path| path.file_name().is_some_and(|own| own == name)).cloned();
    here.or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|path| find(path, name)))
}

/// Signs tokens as core does: five thousand logins would measure the hashing of passwords.
struct Tokens {
    key: EncodingKey,
    header: Header,
}

impl Tokens {
    async fn of(deployment: &Deployment) -> Result<Self> {
        let pem = std::fs::read(find(deployment.folder(), "signing-key.pem").context("core has no key")?)?;
        let (_, keys) = deployment.api()?.get("/.well-known/jwks.json").await?;
        let kid = keys["keys"][0]["kid"].as_str().map(str::to_owned);
        Ok(Self { key: EncodingKey::from_ed_pem(&pem)?, header: Header { kid, ..Header::new(Algorithm::EdDSA) } })
    }

    fn issue(&self, user: &str) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let claims = json!({"iss": "chatcluster", "aud": "chatcluster", "sub": user, "workspaceId": "default",
            "iat": now, "exp": now + 3_600});
        Ok(encode(&self.header, &claims, &self.key)?)
    }
}

/// Sends until told to stop, and answers how long each message took to the other one.
async fn dialogue(
    from: Arc<Client>,
    to: Arc<Client>,
    room: String,
    name: &str,
    stop: Arc<AtomicBool>,
) -> Vec<Duration> {
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let (at, start) = (to.history().len(), Instant::now());
        let id = format!("{name}{}", took.len());
        from.send_message(&room, &id, "hello").await.unwrap();
        to.wait_from(at, |frame| frame["clientMsgId"] == id.as_str(), WAIT).await.unwrap();
        took.push(start.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    took.sort();
    took
}

fn shown(what: &str, took: &[Duration]) -> String {
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)].as_secs_f64() * 1000.0;
    format!("{what}: {} messages, p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms", took.len(), at(50), at(99), at(100))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_connections_delays_no_message() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let deployment = Deployment::on_shared_servers(1, 1, 2).await?;
    let (ann, bob) = (deployment.user("ann").await?, deployment.user("bob").await?);
    let (_, room) = ann.api.create_conversation("dm", &[&bob.id]).await?;
    let room = room["id"].as_str().context("no id")?.to_owned();
    // everybody has a dm with a neighbour, and so one who is told that they came
    for sql in [
        format!(
            "INSERT INTO users (id, workspace_id, display_name, created_at) \
             SELECT CONCAT('storm-', seq), 'default', 'x', 0 FROM seq_0_to_{}",
            CONNECTIONS - 1
        ),
        format!(
            "INSERT INTO conversations (id, workspace_id, kind, creator_id, created_at) \
             SELECT CONCAT('pair-', seq), 'default', 'dm', CONCAT('storm-', 2 * seq), 0 FROM seq_0_to_{}",
            CONNECTIONS / 2 - 1
        ),
        format!(
            "INSERT INTO conversation_members (conversation_id, user_id, joined_seq, joined_at) \
             SELECT CONCAT('pair-', seq DIV 2), CONCAT('storm-', seq), 0, 0 FROM seq_0_to_{}",
            CONNECTIONS - 1
        ),
    ] {
        deployment.query(&sql).await?;
    }
    let from = Arc::new(deployment.connect(&ann, 0, Resume::None).await?);
    let to = Arc::new(deployment.connect(&bob, 1, Resume::None).await?);

    let talk = |name: &'static str| {
        let stop = Arc::new(AtomicBool::new(false));
        (tokio::spawn(dialogue(from.clone(), to.clone(), room.clone(), name, stop.clone())), stop)
    };
    let for_a_while = async |name, seconds| {
        let (talking, stop) = talk(name);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        stop.store(true, Ordering::Relaxed);
        talking.await
    };
    // the first messages of a new platform wait for connections of its own
    for_a_while("first", 2).await?;
    let quiet = for_a_while("quiet", 4).await?;

    let tokens = Tokens::of(&deployment).await?;
    let (stormy, stop) = talk("stormy");
    let (start, urls, crowd) = (Instant::now(), deployment.gateway_ws_urls().to_vec(), Crowd::new()?);
    let connecting = stream::iter(0..CONNECTIONS).map(move |i| {
        let (url, token) = (urls[i % urls.len()].clone(), tokens.issue(&format!("storm-{i}")));
        async move { Client::connect(&url, &token?, Resume::None).await }
    });
    let clients = crowd.handle().spawn(connecting.buffer_unordered(AT_ONCE).collect::<Vec<Result<Client>>>()).await?;
    let connected = start.elapsed();
    let clients: Vec<Client> = clients.into_iter().collect::<Result<_>>()?;
    // gateways report their connections in batches: the last of them may still be on its way
    let sample: Vec<String> = (0..500).map(|i| format!("storm-{}", i * 10)).collect();
    let online = || async {
        let (_, presence) = ann.api.get(&format!("/v1/presence?userIds={}", sample.join(","))).await?;
        let list = presence["presence"].as_array().context("no list")?;
        let online = list.iter().filter(|it| it["online"] == true).count();
        ensure!(online == 500, "{online} of 500 are online");
        Ok(())
    };
    await_condition("everybody who is connected is online", WAIT, online).await?;
    let all_online = start.elapsed();
    stop.store(true, Ordering::Relaxed);
    let stormy = stormy.await?;

    // a neighbour that is not connected yet is told by core when it asks
    let told = clients.iter().filter(|it| it.history().received().iter().any(|frame| frame["type"] == "PRESENCE"));
    println!("{}\n{}", shown("quiet", &quiet), shown("storm", &stormy));
    println!(
        "{CONNECTIONS} connected in {:.1} s ({:.0} a second), {} told that their neighbour came too, all online after {:.1} s",
        connected.as_secs_f64(),
        CONNECTIONS as f64 / connected.as_secs_f64(),
        told.count(),
        all_online.as_secs_f64()
    );
    let p99 = stormy[stormy.len() * 99 / 100];
    assert!(p99 < Duration::from_secs(1), "messages waited: p99 {p99:?}");
    drop(clients);
    deployment.stop().await
}
