//! Something is away, missing, changed behind the operator's back, or answers with errors.

use std::time::Duration;

use chatcluster_operator::{crd::ConditionStatus, kinds::Kind};
use chatcluster_testkit::{
    faults::{Answer, ApiProxy, Effect, Fault, Matching, TcpProxy},
    install,
    kafka::{Kafka, KafkaOptions},
    scratch::ScratchDir,
};
use kube::api::DeleteParams;
use serde_json::json;

use crate::support::{Operator, World, eventually};

#[tokio::test]
async fn kafka_away_at_create_is_said_and_made_good() {
    let world = World::new().await;
    let installed = install::ready(install::quiet).await.unwrap();
    let kafka = Kafka::start_as(&installed, KafkaOptions::default(), ScratchDir::new("kafka").unwrap()).await.unwrap();
    kafka.process().stop().await.unwrap();
    let _operator = world.operator().await;
    let mut manifest = world.manifest("chat");
    manifest["spec"]["kafka"]["bootstrapServers"] = json!(kafka.bootstrap_servers());
    world.apply(&manifest).await;
    let said = world.until_reason("chat", "KafkaTopicsReady", "KafkaUnavailable").await;
    assert!(said.message.contains(&kafka.bootstrap_servers()), "{}", said.message);
    // the rest is made meanwhile
    eventually("the deployments exist", || async { (world.names(Kind::Deployment).await.len() == 3).then_some(()) })
        .await;
    kafka.process().start_again().await.unwrap();
    world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;
}

#[tokio::test]
async fn a_secret_that_is_missing_and_comes_and_changes() {
    let world = World::new().await;
    let _operator = world.operator().await;
    let mut manifest = world.manifest("chat");
    manifest["spec"]["database"]["urlSecretRef"]["name"] = json!("later");
    world.apply(&manifest).await;
    let said = world.until_reason("chat", "DatabaseReady", "SecretMissing").await;
    assert!(said.message.contains("Secret later does not exist"), "{}", said.message);
    assert!(world.names(Kind::Deployment).await.is_empty(), "pods could not start");
    world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;

    let first = "mysql://chat:first@database.example/chat";
    world.secret("later", &json!({"database": first, "other": "1"})).await;
    let hash = || async {
        let found = world.dynamic(Kind::Deployment).get("chat-core").await.ok()?;
        let annotations = found.data.pointer("/spec/template/metadata/annotations")?.to_string();
        Some(annotations)
    };
    let before = eventually("the deployments are made", hash).await;
    eventually("all of them are", || async { (world.names(Kind::Deployment).await.len() == 3).then_some(()) }).await;
    let worker = world.dynamic(Kind::Deployment).get("chat-worker").await.unwrap().metadata.generation;

    // a key that nobody uses rolls nothing; one that is used rolls who uses it
    world.secret("later", &json!({"database": first, "other": "2"})).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(hash().await.unwrap(), before);
    world.secret("later", &json!({"database": "mysql://chat:second@database.example/chat", "other": "2"})).await;
    eventually("core's pods are replaced", || async { (hash().await? != before).then_some(()) }).await;
    assert_eq!(world.dynamic(Kind::Deployment).get("chat-worker").await.unwrap().metadata.generation, worker);

    // gone again: what runs is not touched
    let after = hash().await.unwrap();
    world.dynamic(Kind::Secret).delete("later", &DeleteParams::default()).await.unwrap();
    world.until_reason("chat", "DatabaseReady", "SecretMissing").await;
    assert_eq!(hash().await.unwrap(), after);
    assert_eq!(world.names(Kind::Deployment).await.len(), 3);
}

#[tokio::test]
async fn the_api_server_answers_with_errors_now_and_then() {
    let world = World::new().await;
    let proxy = ApiProxy::start(&world.api).await.unwrap();
    for status in [409, 429, 500] {
        let mut answer = Answer::new(status);
        answer.retry_after = Some(Duration::from_secs(1));
        for n in [1, 2, 4, 7, 11, 16] {
            proxy.inject(Fault::new(Matching::writes(), Effect::Answer(answer.clone())).nth(n));
        }
        proxy.inject(Fault::new(Matching::calls().verb("GET"), Effect::Answer(answer)).nth(3));
    }
    let config = world.api.admin().through(&proxy.url()).config().await.unwrap();
    let _operator = Operator::start(config, &["--watch-namespaces", &world.namespace]).await;
    world.apply(&world.manifest("chat")).await;
    world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;
    eventually("everything exists", || async {
        let all = [
            (Kind::Deployment, 3),
            (Kind::Service, 5),
            (Kind::ConfigMap, 3),
            (Kind::Job, 1),
            (Kind::PodDisruptionBudget, 3),
        ];
        for (kind, count) in all {
            if world.names(kind).await.iter().filter(|name| name.starts_with("chat-")).count() != count {
                return None;
            }
        }
        Some(())
    })
    .await;
    world.until_reason("chat", "Ready", "Unavailable").await;
}

#[tokio::test]
async fn redis_that_evicts_is_reported_and_one_that_is_away_too() {
    let world = World::new().await;
    let installed = install::ready(install::quiet).await.unwrap();
    let redis = chatcluster_testkit::Redis::start(&installed).await.unwrap();
    let proxy = TcpProxy::start(redis.port()).await.unwrap();
    let url = redis.url().replace(&format!(":{}", redis.port()), &format!(":{}", proxy.port()));
    world.secret("redis", &json!({"url": url})).await;
    let _operator = world.operator().await;
    let mut manifest = world.manifest("chat");
    manifest["spec"]["redis"]["urlSecretRef"] = json!({"name": "redis", "key": "url"});
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await.unwrap();
    world.apply(&manifest).await;
    let said = world.until_reason("chat", "RedisReady", "EvictionPolicy").await;
    assert!(said.message.contains("allkeys-lru") && said.message.contains("noeviction"), "{}", said.message);
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await.unwrap();
    world.until("chat", "RedisReady", ConditionStatus::True).await;
    proxy.cut();
    let said = world.until_reason("chat", "RedisReady", "RedisUnavailable").await;
    assert!(!said.message.contains(url.split(['@', ':']).nth(2).unwrap()), "the password is in {}", said.message);
    proxy.heal();
    world.until("chat", "RedisReady", ConditionStatus::True).await;
}

#[tokio::test]
async fn topics_changed_behind_its_back() {
    let world = World::new().await;
    let _operator = world.operator().await;
    world.apply(&world.manifest("chat")).await;
    world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;
    let status = world.clusters().get("chat").await.unwrap().status.unwrap();
    let topic = status.topics.iter().find(|topic| topic.role == "typing").unwrap().clone();
    assert_eq!((topic.partitions, topic.name.ends_with("chat.typing-events")), (3, true));

    let admin = world.kafka_admin();
    admin.delete_topics(std::slice::from_ref(&topic.name)).await.unwrap();
    eventually("it is made again, with another id", || async {
        let status = world.clusters().get("chat").await.ok()?.status?;
        let now = status.topics.iter().find(|now| now.role == "typing")?;
        (now.id != topic.id).then_some(())
    })
    .await;
    let change = chatcluster_kafka_admin::ConfigChange::new(&topic.name)
        .set("retention.ms", "1234567")
        .set("max.message.bytes", "2000000");
    admin.alter_configs_incrementally(&[change]).await.unwrap();
    eventually("its retention is back, and what is not ours stays", || async {
        let configs = admin.topic_configs(std::slice::from_ref(&topic.name)).await.ok()?;
        let config = configs.into_iter().next()?.ok()?;
        let value = |key: &str| config.get(key).and_then(|it| it.value.clone());
        (value("retention.ms")? == "60000" && value("max.message.bytes")? == "2000000").then_some(())
    })
    .await;
    admin.grow(&topic.name, 5).await.unwrap();
    eventually("that it was enlarged is told", || async {
        let status = world.clusters().get("chat").await.ok()?.status?;
        let now = status.topics.iter().find(|now| now.role == "typing")?;
        (now.partitions == 5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn two_clusters_on_one_topic_are_told_so_and_the_older_one_keeps_it() {
    let world = World::new().await;
    let _operator = world.operator().await;
    world.apply(&world.manifest("first")).await;
    world.until("first", "KafkaTopicsReady", ConditionStatus::True).await;
    let mut second = world.manifest("second");
    second["spec"]["kafka"]["prefix"] = world.manifest("first")["spec"]["kafka"]["prefix"].clone();
    // creation times have seconds
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world.apply(&second).await;
    let said = world.until_reason("second", "KafkaTopicsReady", "TopicConflict").await;
    assert!(said.message.contains("/first"), "{}", said.message);

    let mut third = world.manifest("third");
    third["spec"]["redis"]["prefix"] = world.manifest("first")["spec"]["redis"]["prefix"].clone();
    world.apply(&third).await;
    let said = world.until_reason("third", "RedisReady", "PrefixConflict").await;
    assert!(said.message.contains("/first"), "{}", said.message);
    world.until("first", "KafkaTopicsReady", ConditionStatus::True).await;
}
