//! The same over TLS and with passwords, all of it from Secrets; and what the brokers should not do is warned about.

use chatcluster_operator::{crd::ConditionStatus, kinds::Kind};
use chatcluster_testkit::{
    install,
    kafka::{Kafka, KafkaOptions, KafkaUser, Operation, Resource},
    redis::{Redis, RedisOptions, Tls},
    scratch::ScratchDir,
};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use serde_json::json;

use crate::support::{World, eventually};

#[tokio::test]
async fn kafka_with_a_login_and_redis_over_tls_are_provisioned_from_secrets() {
    let world = World::new().await;
    let installed = install::ready(install::quiet).await.unwrap();
    let user = KafkaUser::new("operator");
    let options = KafkaOptions {
        users: vec![user.clone()],
        properties: vec![("auto.create.topics.enable".into(), "true".into())],
        ..KafkaOptions::default()
    };
    let kafka = Kafka::start_as(&installed, options, ScratchDir::new("kafka").unwrap()).await.unwrap();
    let redis_options = RedisOptions { tls: Tls::Only, ..RedisOptions::default() };
    let redis = Redis::start_with(&installed, redis_options, ScratchDir::new("redis").unwrap()).await.unwrap();
    world.secret("kafka-user", &json!({"username": "operator", "password": "wrong"})).await;
    world
        .secret("authorities", &json!({"kafka": kafka.authority().unwrap(), "redis": redis.authority().unwrap()}))
        .await;
    world.secret("redis-tls", &json!({"url": redis.url()})).await;
    let _operator = world.operator().await;
    let mut manifest = world.manifest("chat");
    let prefix = manifest["spec"]["kafka"]["prefix"].clone();
    manifest["spec"]["kafka"] = json!({
        "bootstrapServers": kafka.secured_bootstrap_servers().unwrap(),
        "prefix": prefix,
        "replicationFactor": 1,
        "tls": {"caSecretRef": {"name": "authorities", "key": "kafka"}},
        "credentialsSecretRef": {"name": "kafka-user"},
    });
    manifest["spec"]["redis"]["urlSecretRef"] = json!({"name": "redis-tls", "key": "url"});
    manifest["spec"]["redis"]["caSecretRef"] = json!({"name": "authorities", "key": "redis"});
    world.apply(&manifest).await;
    world.until("chat", "RedisReady", ConditionStatus::True).await;
    let said = world.until("chat", "KafkaTopicsReady", ConditionStatus::False).await;
    assert!(!said.message.contains(&user.password), "{}", said.message);

    // the right password, and then the right to do it
    world.secret("kafka-user", &json!({"username": "operator", "password": user.password})).await;
    let all = [
        (Resource::Cluster, Operation::DescribeConfigs),
        (Resource::Topics { prefix: prefix.as_str().unwrap() }, Operation::All),
    ];
    kafka.allow("operator", &all).await.unwrap();
    world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    eventually("auto-creation is warned about", || async {
        let told = events.list(&ListParams::default()).await.ok()?;
        told.items.iter().any(|event| event.reason.as_deref() == Some("AutoCreateEnabled")).then_some(())
    })
    .await;
    // pods get the same, by reference
    let core = world.dynamic(Kind::Deployment).get("chat-core").await.unwrap().data.to_string();
    assert!(core.contains("kafka-user") && core.contains("authorities") && !core.contains(&user.password));
}
