//! Servers that ask who you are: Kafka with SASL over TLS and ACLs, Redis with TLS and users, and a Redis Cluster.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by failing")]

use std::time::{Duration, Instant};

use chatcluster_testkit::kafka::{KafkaOptions, KafkaUser, Operation, Resource};
use chatcluster_testkit::redis::{RedisOptions, RedisUser, Reply, Tls};
use chatcluster_testkit::scratch::ScratchDir;
use chatcluster_testkit::{Kafka, Redis, RedisCluster, WAIT, await_condition, install};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;

fn logged_in(kafka: &Kafka, user: &KafkaUser, mechanism: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka.secured_bootstrap_servers().unwrap())
        .set("security.protocol", "SASL_SSL")
        .set("ssl.ca.location", kafka.authority_file().unwrap().display().to_string())
        .set("sasl.mechanism", mechanism)
        .set("sasl.username", &user.name)
        .set("sasl.password", &user.password);
    config
}

async fn create(admin: &AdminClient<DefaultClientContext>, topic: &str) -> Result<(), RDKafkaErrorCode> {
    let topic = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    let mut results = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
    results.remove(0).map(drop).map_err(|(_, code)| code)
}

#[tokio::test]
async fn kafka_lets_in_who_has_the_password_and_allows_what_the_acls_say() {
    let installed = install::ready(install::quiet).await.unwrap();
    let (ann, bob) = (KafkaUser::new("ann"), KafkaUser::new("bob"));
    let options = KafkaOptions { users: vec![ann.clone(), bob.clone()], ..KafkaOptions::default() };
    let start = Instant::now();
    let kafka = Kafka::start_as(&installed, options, ScratchDir::new("kafka").unwrap()).await.unwrap();
    println!("a secured Kafka serves after {:?}", start.elapsed());

    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let admin: AdminClient<_> = logged_in(&kafka, &ann, mechanism).create().unwrap();
        let topic = format!("ann.{mechanism}");
        assert_eq!(create(&admin, &topic).await, Err(RDKafkaErrorCode::TopicAuthorizationFailed));
        let allowed = [(Resource::Topic(&topic), Operation::Create), (Resource::Topic(&topic), Operation::Write)];
        kafka.allow("ann", &allowed).await.unwrap();
        let created = || async { create(&admin, &topic).await };
        await_condition("the ACL to count", WAIT, created).await.unwrap();
        let producer: FutureProducer = logged_in(&kafka, &ann, mechanism).create().unwrap();
        producer.send(FutureRecord::to(&topic).key("k").payload("v"), WAIT).await.unwrap();
        let other: FutureProducer = logged_in(&kafka, &bob, mechanism).create().unwrap();
        let refused = other.send(FutureRecord::to(&topic).key("k").payload("v"), WAIT).await.unwrap_err().0;
        assert_eq!(refused.rdkafka_error_code(), Some(RDKafkaErrorCode::TopicAuthorizationFailed));
    }

    let stranger = KafkaUser { password: "wrong".into(), ..ann };
    let stranger: BaseConsumer = logged_in(&kafka, &stranger, "PLAIN").create().unwrap();
    assert!(stranger.fetch_metadata(None, Duration::from_secs(3)).is_err());
    // The open listener still sees everything.
    let open: BaseConsumer = ClientConfig::new().set("bootstrap.servers", kafka.bootstrap_servers()).create().unwrap();
    assert!(open.fetch_metadata(None, WAIT).unwrap().topics().iter().any(|topic| topic.name() == "ann.PLAIN"));
}

#[tokio::test]
async fn redis_speaks_tls_beside_or_only() {
    let installed = install::ready(install::quiet).await.unwrap();
    for tls in [Tls::Beside, Tls::Only] {
        let options = RedisOptions { tls, ..RedisOptions::default() };
        let redis = Redis::start_with(&installed, options, ScratchDir::new("redis").unwrap()).await.unwrap();
        assert_eq!(redis.command(&["PING"]).await.unwrap(), Reply::Text("PONG".into()));
        assert_eq!(redis.port() == 0, tls == Tls::Only);
        assert_eq!(redis.url().starts_with("rediss://"), tls == Tls::Only);
        assert!(redis.authority().unwrap().contains("BEGIN CERTIFICATE"));
        redis.process().crash_and_restart().await.unwrap();
        assert_eq!(redis.command(&["PING"]).await.unwrap(), Reply::Text("PONG".into()));
    }
}

#[tokio::test]
async fn a_user_of_redis_may_do_what_its_rules_say() {
    let installed = install::ready(install::quiet).await.unwrap();
    let user = RedisUser::new("ann", "~a:* &* +@all -@dangerous");
    let options = RedisOptions { users: vec![user.clone()], ..RedisOptions::default() };
    let redis = Redis::start_with(&installed, options, ScratchDir::new("redis").unwrap()).await.unwrap();
    assert_eq!(redis.command_as(&user, &["SET", "a:1", "x"]).await.unwrap(), Reply::Text("OK".into()));
    assert!(redis.command_as(&user, &["SET", "b:1", "x"]).await.unwrap_err().to_string().contains("NOPERM"));
    assert!(redis.command_as(&user, &["FLUSHALL"]).await.unwrap_err().to_string().contains("NOPERM"));
    let stranger = RedisUser::new("ann", "");
    assert!(redis.command_as(&stranger, &["PING"]).await.unwrap_err().to_string().contains("WRONGPASS"));
}

#[tokio::test]
async fn a_redis_cluster_has_every_slot_and_notices_a_dead_node() {
    let installed = install::ready(install::quiet).await.unwrap();
    let start = Instant::now();
    let cluster = RedisCluster::start(&installed, RedisOptions::default()).await.unwrap();
    println!("a Redis Cluster serves after {:?}", start.elapsed());
    for key in ["a", "b", "c", "d", "e", "f"] {
        cluster.command(&["SET", key, key]).await.unwrap();
        assert_eq!(cluster.command(&["GET", key]).await.unwrap(), Reply::Text(key.into()));
    }
    let [first, second, third] = cluster.nodes() else { panic!("three nodes") };
    for node in [first, second, third] {
        assert!(matches!(node.command(&["DBSIZE"]).await.unwrap(), Reply::Number(1..)));
    }
    third.process().kill9().await.unwrap();
    let down = || async {
        match first.command(&["CLUSTER", "INFO"]).await.unwrap() {
            Reply::Text(info) if info.contains("cluster_state:fail") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    await_condition("the others to notice", WAIT, down).await.unwrap();
    third.process().start_again().await.unwrap();
    let up = || async { second.command(&["CLUSTER", "INFO"]).await };
    let whole = || async {
        match up().await.unwrap() {
            Reply::Text(info) if info.contains("cluster_state:ok") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    await_condition("the cluster to be whole again", WAIT, whole).await.unwrap();
}
