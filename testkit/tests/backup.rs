//! The rehearsal of a disaster: the database is lost with everything in it, and brought back by `scripts/backup` from a
//! snapshot and the binary logs. Nothing that was acknowledged is missing, and clients go on where they were.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use chatcluster_testkit::{
    Deployment, Kafka, MariaDb, Redis, Servers, WAIT,
    client::{Client, Resume},
    install,
    mariadb::BINARY_LOG,
    scratch::ScratchDir,
};

/// Runs the script; answers what it said, or fails with it.
async fn backup(deployment: &Deployment, arguments: &[&str]) -> Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/backup");
    let on = deployment.namespace().context("no servers")?;
    let mut command = Command::new(script);
    command.args(arguments).env("CHATCLUSTER_DATABASE_URL", &on.database_url);
    command.env("CHATCLUSTER_SIGNING_KEY_FILE", deployment.folder().join("core/signing-key.pem"));
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "{said}");
    ensure!(!said.contains(&on.database_url), "it shows the password");
    Ok(said)
}

async fn send(client: &Client, room: &str, numbers: std::ops::RangeInclusive<u64>) -> Result<()> {
    for number in numbers {
        let acknowledged = client.send_and_ack(room, &format!("m{number}"), &format!("message {number}"), WAIT).await?;
        ensure!(acknowledged["seq"] == number, "{acknowledged}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_is_brought_back_with_all_that_was_acknowledged() -> Result<()> {
    let installed = install::ready(install::quiet).await?;
    let folder = ScratchDir::new("mariadb")?;
    let data = folder.path().join("data");
    let (kafka, redis, mariadb) = tokio::try_join!(
        Kafka::start(&installed),
        Redis::start(&installed),
        MariaDb::start_with(&installed, &BINARY_LOG, folder),
    )?;
    let servers = Arc::new(Servers { kafka, more_brokers: Vec::new(), redis, mariadb });
    let deployment = Deployment::builder().cores(1).workers(1).gateways(1).servers(servers).start().await?;
    let (ann, bob) = (deployment.user("ann").await?, deployment.user("bob").await?);
    let (_, room) = ann.api.create_conversation("dm", &[&bob.id]).await?;
    let room = room["id"].as_str().context("no id")?.to_owned();
    let sender = deployment.connect(&ann, 0, Resume::None).await?;
    let reader = deployment.connect(&bob, 0, Resume::None).await?;
    send(&sender, &room, 1..=20).await?;

    let kept = ScratchDir::new("backup")?;
    let snapshot = kept.path().join("snapshot").display().to_string();
    backup(&deployment, &["create", &snapshot]).await?;
    assert!(kept.path().join("snapshot/signing-key.pem").is_file(), "tokens outlive the machine, too");
    let refused = backup(&deployment, &["restore", &snapshot]).await.unwrap_err().to_string();
    assert!(refused.contains("is not empty"), "{refused}");
    send(&sender, &room, 21..=30).await?;
    reader.wait_for(|frame| frame["seq"] == 30, WAIT).await?;
    let place = reader.resume();

    // the disaster: core dies, and the database with it. What is left are the snapshot and the logs up to then
    deployment.process("core-0")?.kill9().await?;
    deployment.query("FLUSH BINARY LOGS").await?;
    let mut logs: Vec<PathBuf> = std::fs::read_dir(&data)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    let is_log = |name: &str| name.strip_prefix("binlog.").is_some_and(|number| number.parse::<u32>().is_ok());
    logs.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_log));
    logs.sort();
    logs.pop();
    let name = deployment.namespace().context("no servers")?.database_name.clone();
    deployment.servers().context("no servers")?.mariadb.drop_database(&name).await?;

    backup(&deployment, &["restore", &snapshot]).await?;
    let logs: Vec<String> = logs.iter().map(|log| log.display().to_string()).collect();
    let arguments: Vec<&str> = ["replay", &snapshot].into_iter().chain(logs.iter().map(String::as_str)).collect();
    let said = backup(&deployment, &arguments).await?;
    assert!(said.contains("1 conversations, 30 events in order"), "{said}");

    deployment.process("core-0")?.start_again().await?;
    send(&sender, &room, 31..=33).await?;
    reader.wait_for(|frame| frame["seq"] == 33, WAIT).await?;
    // another device of bob's goes on from its place, and one that begins anew reads everything
    let again = deployment.connect(&bob, 0, place).await?;
    again.wait_for(|frame| frame["seq"] == 33, WAIT).await?;
    assert_eq!(again.seqs_of(&room), [31, 32, 33]);
    let (_, history) = bob.api.history(&room, 0, 100).await?;
    assert_eq!(history["messages"].as_array().map(Vec::len), Some(33));

    // a dump that was cut off is not taken for a backup
    let dump = kept.path().join("snapshot/database.sql.gz");
    let bytes = std::fs::read(&dump)?;
    std::fs::write(&dump, &bytes[..bytes.len() / 2])?;
    assert!(backup(&deployment, &["verify", &snapshot]).await.unwrap_err().to_string().contains("not what they were"));
    deployment.stop().await
}
