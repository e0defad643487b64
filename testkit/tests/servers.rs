//! Every server starts, answers in its own protocol, comes back on the same port, and leaves no process behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by failing")]

use std::path::PathBuf;
use std::time::Instant;

use chatcluster_testkit::redis::{RedisOptions, Reply};
use chatcluster_testkit::scratch::ScratchDir;
use chatcluster_testkit::{Kafka, KafkaCluster, MariaDb, Redis, Servers, Supervised, install, kafka, mariadb};

fn is_there(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

fn pid(process: &Supervised) -> u32 {
    process.pid().expect("the server runs")
}

#[tokio::test]
async fn kafka_answers_restarts_and_leaves_nothing() {
    let installed = install::ready(install::quiet).await.unwrap();
    let start = Instant::now();
    let broker = Kafka::start(&installed).await.unwrap();
    println!("Kafka serves after {:?}", start.elapsed());
    assert!(kafka::api_versions(broker.port()).await.unwrap() > 30);

    let before = pid(broker.process());
    broker.process().crash_and_restart().await.unwrap();
    assert!(kafka::api_versions(broker.port()).await.unwrap() > 30);
    let after = pid(broker.process());
    assert!(before != after && !is_there(before));

    drop(broker);
    assert!(!is_there(after));
}

#[tokio::test]
async fn three_brokers_outlive_one() {
    let installed = install::ready(install::quiet).await.unwrap();
    let cluster = KafkaCluster::start(&installed, 3, &[]).await.unwrap();
    assert_eq!(cluster.bootstrap_servers().split(',').count(), 3);
    let [first, second, _] = cluster.brokers() else { panic!("three brokers") };
    first.process().kill9().await.unwrap();
    assert!(kafka::api_versions(second.port()).await.is_ok());
    first.process().start_again().await.unwrap();
}

#[tokio::test]
async fn redis_answers_and_forgets_over_a_restart() {
    let installed = install::ready(install::quiet).await.unwrap();
    let start = Instant::now();
    let redis = Redis::start(&installed).await.unwrap();
    println!("Redis serves after {:?}", start.elapsed());
    assert_eq!(redis.command(&["PING"]).await.unwrap(), Reply::Text("PONG".into()));
    redis.command(&["SET", "key", "value"]).await.unwrap();

    let before = pid(redis.process());
    redis.process().restart().await.unwrap();
    assert_eq!(redis.command(&["GET", "key"]).await.unwrap(), Reply::Nil);
    let after = pid(redis.process());
    assert!(before != after && !is_there(before));
    drop(redis);
    assert!(!is_there(after));
}

#[tokio::test]
async fn a_durable_redis_remembers_over_kill_9() {
    let installed = install::ready(install::quiet).await.unwrap();
    let options = RedisOptions { durable: true, ..RedisOptions::default() };
    let redis = Redis::start_with(&installed, options, ScratchDir::new("redis").unwrap()).await.unwrap();
    redis.command(&["SET", "key", "value"]).await.unwrap();
    redis.process().crash_and_restart().await.unwrap();
    assert_eq!(redis.command(&["GET", "key"]).await.unwrap(), Reply::Text("value".into()));
}

#[tokio::test]
async fn redis_refuses_strangers() {
    let installed = install::ready(install::quiet).await.unwrap();
    let redis = Redis::start(&installed).await.unwrap();
    let url = redis.url();
    assert!(url.starts_with("redis://:") && url.ends_with(&format!("@127.0.0.1:{}", redis.port())), "{url}");
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", redis.port())).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    tokio::io::AsyncWriteExt::write_all(&mut writer, b"PING\r\n").await.unwrap();
    let mut answer = [0; 7];
    tokio::io::AsyncReadExt::read_exact(&mut reader, &mut answer).await.unwrap();
    assert_eq!(&answer, b"-NOAUTH");
}

#[tokio::test]
async fn mariadb_greets_keeps_commits_over_kill_9_and_leaves_nothing() {
    let installed = install::ready(install::quiet).await.unwrap();
    let start = Instant::now();
    let folder = ScratchDir::new("mariadb").unwrap();
    let server = MariaDb::start_with(&installed, &mariadb::BINARY_LOG, folder).await.unwrap();
    println!("MariaDB serves after {:?}", start.elapsed());
    mariadb::greeting(server.port()).await.unwrap();
    let url = server.create_database("one_test").await.unwrap();
    assert!(url.starts_with("mysql://chatcluster:") && url.ends_with("/one_test"), "{url}");
    server.query("one_test", "CREATE TABLE t (n INT); INSERT INTO t VALUES (1), (NULL)").await.unwrap();

    let before = pid(server.process());
    server.process().crash_and_restart().await.unwrap();
    assert_eq!(server.query("one_test", "SELECT n FROM t").await.unwrap(), [["1"], ["NULL"]]);
    // What Debezium needs.
    let rows = server.query("mysql", "SELECT @@log_bin, @@binlog_format, @@binlog_row_image").await.unwrap();
    assert_eq!(rows, [["1", "ROW", "FULL"]]);
    let after = pid(server.process());
    assert!(before != after && !is_there(before));
    drop(server);
    assert!(!is_there(after));
}

#[tokio::test]
async fn a_frozen_server_keeps_its_port_and_thaws() {
    let installed = install::ready(install::quiet).await.unwrap();
    let redis = Redis::start(&installed).await.unwrap();
    redis.process().pause().unwrap();
    let brief = std::time::Duration::from_millis(200);
    assert!(tokio::time::timeout(brief, redis.command(&["PING"])).await.is_err());
    redis.process().resume().unwrap();
    assert_eq!(redis.command(&["PING"]).await.unwrap(), Reply::Text("PONG".into()));
    // SIGTERM reaches a frozen process as well.
    redis.process().pause().unwrap();
    redis.process().stop().await.unwrap();
}

#[tokio::test]
async fn tests_share_servers_in_namespaces_of_their_own() {
    let (servers, again) = tokio::join!(Servers::shared(), Servers::shared());
    let (servers, again) = (servers.unwrap(), again.unwrap());
    assert_eq!(servers.kafka.port(), again.kafka.port());
    let (one, two) = (servers.namespace().await.unwrap(), again.namespace().await.unwrap());
    assert_ne!(one.database_url, two.database_url);
    assert_ne!(one.kafka_prefix, two.kafka_prefix);
}
