//! The binary itself, over Kafka, Redis and MariaDB.

use std::{path::PathBuf, sync::Arc, time::Duration};

use chatcluster_testkit::{
    Api, Servers, Supervised, WAIT, await_condition,
    ports::free_port,
    process::{Probe, Spec},
};
use chatcluster_transport::event_log::kafka::{KafkaOptions, provision};
use futures_util::FutureExt;
use serde_json::json;

fn probe(base: &str) -> Probe {
    let api = Api::new(base).unwrap();
    Arc::new(move || {
        let api = api.clone();
        async move {
            let (status, body) = api.get("/readyz").await?;
            anyhow::ensure!(status == 200, "{status} {body}");
            Ok(())
        }
        .boxed()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_sends_survive_a_kill_and_leave_for_kafka() {
    let servers = Servers::start().await.unwrap();
    let on = servers.namespace().await.unwrap();
    let kafka = KafkaOptions {
        kafka_bootstrap_servers: on.kafka_bootstrap_servers.clone(),
        kafka_prefix: on.kafka_prefix.clone(),
        ..KafkaOptions::default()
    };
    provision::apply(&kafka, None).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (listen, grpc) = (free_port().unwrap(), free_port().unwrap());
    let base = format!("http://127.0.0.1:{listen}");
    let env = [
        ("CHATCLUSTER_LISTEN", format!("127.0.0.1:{listen}")),
        ("CHATCLUSTER_GRPC_LISTEN", format!("127.0.0.1:{grpc}")),
        ("CHATCLUSTER_DATABASE_URL", on.database_url.clone()),
        ("CHATCLUSTER_KAFKA_BOOTSTRAP_SERVERS", on.kafka_bootstrap_servers.clone()),
        ("CHATCLUSTER_KAFKA_PREFIX", on.kafka_prefix.clone()),
        ("CHATCLUSTER_REDIS_URL", on.redis_url.clone()),
        ("CHATCLUSTER_REDIS_PREFIX", on.redis_prefix.clone()),
        ("CHATCLUSTER_SERVICE_TOKEN", "a-service-token-of-tests".into()),
        ("CHATCLUSTER_DATA_DIR", folder.path().display().to_string()),
    ];
    let spec = Spec {
        name: "core".into(),
        program: PathBuf::from(env!("CARGO_BIN_EXE_chatcluster-core")),
        args: Vec::new(),
        env: env.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        log: folder.path().join("core.log"),
        ready_within: Duration::from_mins(1),
    };
    let core = Supervised::start(spec, probe(&base)).await.unwrap();
    let api = Api::new(&base).unwrap();
    let ann = api.user("ann").await.unwrap();
    let (_, room) = ann.api.create_conversation("group", &[]).await.unwrap();
    let room = room["id"].as_str().unwrap().to_owned();
    let mut acknowledged = 0;
    for i in 0..50 {
        if i == 25 {
            core.crash_and_restart().await.unwrap();
        }
        // the token is still good: the key was kept
        let (status, answer) = ann.api.send(&room, &format!("m{i}"), "hello").await.unwrap();
        assert_eq!(status, 201, "{answer}\n{}", core.log_tail(20));
        acknowledged += 1;
        assert_eq!(answer["seq"], acknowledged);
    }
    let emptied = async || {
        await_condition("an empty outbox", WAIT, || async {
            let rows = servers.mariadb.query(&on.database_name, "SELECT COUNT(*) FROM message_producer_outbox").await;
            let rows = rows.unwrap();
            if rows == [["0"]] { Ok(()) } else { Err(format!("{rows:?}")) }
        })
        .await
        .unwrap();
    };
    emptied().await;
    let (_, ready) = api.get("/readyz").await.unwrap();
    for dependency in ["database", "kafka", "redis"] {
        assert_eq!(ready["dependencies"][dependency]["up"], json!(true), "{ready}");
    }
    // neither Kafka nor Redis holds a send up
    servers.kafka.process().pause().unwrap();
    servers.redis.process().pause().unwrap();
    let (status, answer) = ann.api.send(&room, "while-away", "hello").await.unwrap();
    assert_eq!(status, 201, "{answer}");
    servers.kafka.process().resume().unwrap();
    servers.redis.process().resume().unwrap();
    emptied().await;
    core.stop().await.unwrap();
    let log = std::fs::read_to_string(core.log_path()).unwrap();
    assert!(log.contains("core stopped") && !log.contains("a-service-token-of-tests"), "{log}");
}
