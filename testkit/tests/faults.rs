//! The proxies count what goes through them and break it where they are told to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by failing")]

use std::time::Duration;

use chatcluster_testkit::faults::{Answer, ApiProxy, Effect, Fault, Matching, TcpProxy};
use chatcluster_testkit::kafka::KafkaOptions;
use chatcluster_testkit::redis::RedisOptions;
use chatcluster_testkit::scratch::ScratchDir;
use chatcluster_testkit::{ApiServer, Kafka, Redis, WAIT, await_condition, install};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn maps(api: &ApiServer, proxy: &ApiProxy, namespace: &str) -> Api<ConfigMap> {
    let access = api.service_account(namespace, "operator").await.unwrap();
    let binding = format!("{namespace}-operator");
    let subject = format!("--serviceaccount={namespace}:operator");
    api.kubectl(&["create", "clusterrolebinding", &binding, "--clusterrole=cluster-admin", &subject]).await.unwrap();
    let direct: Api<ConfigMap> = Api::namespaced(access.client().await.unwrap(), namespace);
    let list = || async { direct.list(&ListParams::default()).await };
    await_condition("the role to count", WAIT, list).await.unwrap();
    let access = access.through(&proxy.url());
    Api::namespaced(access.client().await.unwrap(), namespace)
}

fn map(name: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    map
}

fn code(error: kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

#[tokio::test]
async fn the_nth_request_is_answered_as_told_and_the_others_pass() {
    let api = ApiServer::shared().await.unwrap();
    let proxy = ApiProxy::start(&api).await.unwrap();
    let namespace = api.namespace().await.unwrap();
    let maps = maps(&api, &proxy, &namespace).await;
    proxy.inject(Fault::new(Matching::writes().path("/configmaps"), Effect::Answer(Answer::new(409))).nth(2));
    maps.create(&PostParams::default(), &map("one")).await.unwrap();
    let refused = maps.create(&PostParams::default(), &map("two")).await.unwrap_err();
    assert_eq!(code(refused), Some(409));
    maps.create(&PostParams::default(), &map("two")).await.unwrap();
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 2);
    assert_eq!(proxy.counts().get("POST"), Some(&3));

    // Not by kube's client, which waits for as long as it is told and tries again.
    let proxied = reqwest::Client::new();
    proxy.inject(Fault::new(Matching::all(), Effect::Answer(Answer::too_many_requests(Duration::from_secs(7)))));
    let answer = proxied.get(format!("{}/version", proxy.url())).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!((&body["kind"], &body["reason"]), (&json!("Status"), &json!("TooManyRequests")));
    proxy.heal();
    maps.get("one").await.unwrap();
}

#[tokio::test]
async fn a_cut_comes_before_or_after_the_server_has_done_it() {
    let api = ApiServer::shared().await.unwrap();
    let proxy = ApiProxy::start(&api).await.unwrap();
    let namespace = api.namespace().await.unwrap();
    let maps = maps(&api, &proxy, &namespace).await;
    let direct: Api<ConfigMap> = Api::namespaced(api.client().await.unwrap(), &namespace);
    for (effect, name, done) in [(Effect::CutBefore, "before", false), (Effect::CutAfter, "after", true)] {
        proxy.inject(Fault::new(Matching::writes(), effect).nth(1));
        let patch = Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}));
        let cut = maps.patch(name, &PatchParams::apply("test"), &patch).await.unwrap_err();
        assert_eq!(code(cut), None);
        assert!(proxy.is_cut() && maps.get("other").await.is_err());
        assert_eq!(direct.get_opt(name).await.unwrap().is_some(), done);
        proxy.heal();
        maps.patch(name, &PatchParams::apply("test"), &patch).await.unwrap();
    }
}

#[tokio::test]
async fn watches_stream_and_end_with_a_cut() {
    let api = ApiServer::shared().await.unwrap();
    let proxy = ApiProxy::start(&api).await.unwrap();
    let namespace = api.namespace().await.unwrap();
    let maps = maps(&api, &proxy, &namespace).await;
    let mut events = Box::pin(maps.watch(&WatchParams::default(), "0").await.unwrap());
    maps.create(&PostParams::default(), &map("one")).await.unwrap();
    let seen = tokio::time::timeout(WAIT, async {
        loop {
            match events.next().await.expect("the watch is open").unwrap() {
                WatchEvent::Added(map) if map.metadata.name.as_deref() == Some("one") => return,
                _ => (),
            }
        }
    });
    seen.await.expect("the event comes while the watch is open");
    assert_eq!(proxy.counts().get("WATCH"), Some(&1));
    proxy.cut();
    let end = tokio::time::timeout(WAIT, async { while let Some(Ok(_)) = events.next().await {} }).await;
    end.expect("the watch ends");
}

#[tokio::test]
async fn a_tcp_proxy_counts_cuts_and_heals() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = TcpProxy::start(listener.local_addr().unwrap().port()).await.unwrap();
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let mut word = [0; 4];
    client.write_all(b"ping").await.unwrap();
    server.read_exact(&mut word).await.unwrap();
    server.write_all(b"pong").await.unwrap();
    client.read_exact(&mut word).await.unwrap();
    let counted = || async {
        let traffic = proxy.traffic();
        let seen = (traffic.connections, traffic.segments, traffic.bytes_to_server, traffic.bytes_to_client);
        if seen == (1, 1, 4, 4) { Ok(()) } else { Err(format!("{traffic:?}")) }
    };
    await_condition("the bytes to be counted", WAIT, counted).await.unwrap();

    proxy.cut_after(1);
    client.write_all(b"last").await.unwrap();
    server.read_exact(&mut word).await.unwrap();
    assert_eq!((&word, client.read(&mut [0; 4]).await.unwrap_or(0)), (b"last", 0));
    assert!(proxy.is_cut());
    let mut refused = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    assert_eq!(refused.read(&mut [0; 4]).await.unwrap_or(0), 0);
    proxy.heal();
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    client.write_all(b"back").await.unwrap();
    server.read_exact(&mut word).await.unwrap();
}

#[tokio::test]
async fn redis_can_be_cut_off() {
    let installed = install::ready(install::quiet).await.unwrap();
    let options = RedisOptions { password: None, ..RedisOptions::default() };
    let redis = Redis::start_with(&installed, options, ScratchDir::new("redis").unwrap()).await.unwrap();
    let proxy = TcpProxy::start(redis.port()).await.unwrap();
    let ping = || async {
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        let _ = client.write_all(b"PING\r\n").await;
        let mut answer = String::new();
        let mut buffer = [0; 7];
        if client.read_exact(&mut buffer).await.is_ok() {
            answer.push_str(&String::from_utf8_lossy(&buffer));
        }
        answer
    };
    assert_eq!(ping().await, "+PONG\r\n");
    proxy.cut();
    assert_eq!(ping().await, "");
    proxy.heal();
    assert_eq!(ping().await, "+PONG\r\n");
}

#[tokio::test]
async fn all_that_a_client_of_kafka_says_goes_through_the_proxy() {
    let installed = install::ready(install::quiet).await.unwrap();
    let proxy = TcpProxy::start(0).await.unwrap();
    let options = KafkaOptions { advertised_port: Some(proxy.port()), ..KafkaOptions::default() };
    let kafka = Kafka::start_as(&installed, options, ScratchDir::new("kafka").unwrap()).await.unwrap();
    proxy.forward_to(kafka.proxied_port().unwrap());
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", format!("127.0.0.1:{}", proxy.port()));
    let admin: AdminClient<_> = config.create().unwrap();
    let topic = NewTopic::new("t", 1, TopicReplication::Fixed(1));
    admin.create_topics([&topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let consumer: BaseConsumer = config.create().unwrap();
    let metadata = consumer.fetch_metadata(Some("t"), WAIT).unwrap();
    assert_eq!(metadata.brokers()[0].port(), i32::from(proxy.port()));

    proxy.cut();
    assert!(consumer.fetch_metadata(Some("t"), Duration::from_secs(2)).is_err());
    let direct: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap_servers()).create().unwrap();
    assert_eq!(direct.fetch_metadata(Some("t"), WAIT).unwrap().brokers()[0].port(), i32::from(kafka.port()));
    proxy.heal();
    consumer.fetch_metadata(Some("t"), WAIT).unwrap();
}
