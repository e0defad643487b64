//! Killed after any single call and started again, the operator reaches the same end.

use std::collections::BTreeMap;

use chatcluster_operator::{crd::ConditionStatus, kinds::Kind};
use chatcluster_testkit::{
    Redis,
    faults::{ApiProxy, Effect, Fault, Matching, TcpProxy},
    install,
    kafka::{Kafka, KafkaOptions},
    scratch::ScratchDir,
};
use serde_json::{Value, json};

use crate::support::{Operator, World, eventually};

const KINDS: [Kind; 8] = [
    Kind::ServiceAccount,
    Kind::ConfigMap,
    Kind::NetworkPolicy,
    Kind::Service,
    Kind::Job,
    Kind::Deployment,
    Kind::HorizontalPodAutoscaler,
    Kind::PodDisruptionBudget,
];

/// Everything declared, without what differs from run to run.
async fn state(world: &World) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for kind in KINDS {
        for object in world.dynamic(kind).list(&kube::api::ListParams::default()).await.unwrap() {
            let Some(owners) = &object.metadata.owner_references else { continue };
            assert_eq!(owners.len(), 1);
            let name = object.metadata.name.clone().unwrap();
            let mut data = object.data.clone();
            data.as_object_mut().unwrap().remove("status");
            for volatile in ["/spec/clusterIP", "/spec/clusterIPs", "/spec/ports"] {
                if kind == Kind::Service
                    && let Some(value) = data.pointer_mut(volatile)
                {
                    *value = Value::Null;
                }
            }
            if kind == Kind::Job {
                // the API server labels pods with the Job's uid
                data = Value::Null;
            }
            all.insert(format!("{kind:?} {name}"), data);
        }
    }
    all
}

fn manifest(world: &World) -> Value {
    let mut manifest = world.manifest("chat");
    manifest["spec"]["gateway"] = json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 4}});
    manifest["spec"]["deletionPolicy"] = json!("Delete");
    manifest
}

async fn settled(world: &World) {
    world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;
    world.until("chat", "RedisReady", ConditionStatus::True).await;
    let all = [
        (Kind::ServiceAccount, 3),
        (Kind::ConfigMap, 3),
        (Kind::Service, 5),
        (Kind::Job, 1),
        (Kind::Deployment, 3),
        (Kind::PodDisruptionBudget, 3),
        (Kind::HorizontalPodAutoscaler, 1),
        (Kind::NetworkPolicy, 6),
    ];
    eventually("nothing is missing", || async {
        for (kind, count) in all {
            if world.names(kind).await.iter().filter(|name| name.starts_with("chat-")).count() != count {
                return None;
            }
        }
        Some(())
    })
    .await;
    let replicas =
        || async { world.dynamic(Kind::Deployment).get("chat-gateway").await.ok()?.data["spec"]["replicas"].as_i64() };
    eventually("the gateways have their first number", || async { (replicas().await == Some(2)).then_some(()) }).await;
}

async fn operator_through(world: &World, proxy: &ApiProxy) -> Operator {
    let config = world.api.admin().through(&proxy.url()).config().await.unwrap();
    Operator::start(config, &["--watch-namespaces", &world.namespace]).await
}

/// One run, cut at call `n` if there is one. Answers with the calls made.
async fn run(n: Option<(u64, Effect)>) -> (u64, BTreeMap<String, Value>) {
    let world = World::new().await;
    let proxy = ApiProxy::start(&world.api).await.unwrap();
    let mut cut = false;
    if let Some((n, effect)) = n {
        proxy.inject(Fault::new(Matching::calls(), effect).nth(n));
    }
    let operator = operator_through(&world, &proxy).await;
    world.apply(&manifest(&world)).await;
    let finished = settled(&world);
    tokio::pin!(finished);
    loop {
        tokio::select! {
            () = &mut finished => break,
            () = tokio::time::sleep(std::time::Duration::from_millis(10)), if !cut => {
                if proxy.is_cut() {
                    cut = true;
                    // dropped is killed: nothing of it runs on
                    break;
                }
            }
        }
    }
    if cut {
        drop(operator);
        proxy.heal();
        let _operator = operator_through(&world, &proxy).await;
        settled(&world).await;
        return (proxy.requests().len() as u64, normalized(&world).await);
    }
    (proxy.requests().iter().filter(|request| !request.is_watch()).count() as u64, normalized(&world).await)
}

/// The prefixes differ from run to run.
async fn normalized(world: &World) -> BTreeMap<String, Value> {
    let replaced = |text: String| {
        text.replace(&world.namespace, "NAMESPACE")
            .replace(&world.kafka_prefix, "KAFKA")
            .replace(&world.redis_prefix, "REDIS")
    };
    let found = state(world).await;
    found
        .into_iter()
        .map(|(name, mut data)| {
            // hashes of what differs
            if let Some(annotations) = data.pointer_mut("/spec/template/metadata/annotations") {
                *annotations = Value::Null;
            }
            let name = if name.starts_with("Job") { "Job".to_owned() } else { name };
            (name, serde_json::from_str(&replaced(data.to_string())).unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_any_call_it_reaches_the_same_end() {
    let (calls, wanted) = run(None).await;
    assert!(calls > 20, "{calls}");
    println!("{calls} calls without a fault");
    // every call once, in turn before and after it was carried out; a few worlds at a time
    let mut points: Vec<(u64, Effect)> =
        (1..=calls).map(|n| (n, if n % 2 == 0 { Effect::CutBefore } else { Effect::CutAfter })).collect();
    while !points.is_empty() {
        let batch: Vec<_> = points.split_off(points.len().saturating_sub(6));
        let runs = batch.into_iter().map(|point| {
            let what = format!("{point:?}");
            async move { (what, run(Some(point)).await.1) }
        });
        for (point, found) in futures_util::future::join_all(runs).await {
            assert_eq!(found, wanted, "cut at {point}");
        }
    }
}

/// The same for what it says to Kafka and to Redis: everything is cut after `n` requests, the last of which is carried out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_any_request_to_kafka_or_redis_it_reaches_the_same_end() {
    let installed = install::ready(install::quiet).await.unwrap();
    let (to_kafka, to_redis) = (TcpProxy::start(1).await.unwrap(), TcpProxy::start(1).await.unwrap());
    let options = KafkaOptions { advertised_port: Some(to_kafka.port()), ..KafkaOptions::default() };
    let kafka = Kafka::start_as(&installed, options, ScratchDir::new("kafka").unwrap()).await.unwrap();
    let redis = Redis::start(&installed).await.unwrap();
    to_kafka.forward_to(kafka.proxied_port().unwrap());
    to_redis.forward_to(redis.port());
    let url = redis.url().replace(&format!(":{}", redis.port()), &format!(":{}", to_redis.port()));

    let mut runs = 0;
    for proxy in [&to_kafka, &to_redis] {
        for n in 1..=40 {
            let world = World::new().await;
            world.secret("redis", &json!({"url": url})).await;
            let labels = [
                ("app.kubernetes.io/managed-by", "chatcluster-operator"),
                ("app.kubernetes.io/component", "gateway"),
                ("chatcluster.dev/cluster", "chat"),
            ];
            world.api.make_pod(&world.namespace, "chat-gateway-1", &labels, false).await.unwrap();
            let mut manifest = world.manifest("chat");
            manifest["spec"]["kafka"]["bootstrapServers"] = json!(format!("127.0.0.1:{}", to_kafka.port()));
            manifest["spec"]["redis"]["urlSecretRef"] = json!({"name": "redis", "key": "url"});

            proxy.cut_after(n);
            let operator = world.operator().await;
            world.apply(&manifest).await;
            let both = async {
                world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;
                world.until("chat", "RedisReady", ConditionStatus::True).await;
            };
            let is_cut = eventually("it is cut", || async { proxy.is_cut().then_some(()) });
            let finished = tokio::select! {
                () = both => true,
                () = is_cut => false,
            };
            drop(operator);
            proxy.heal();
            let _operator = world.operator().await;
            world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;
            world.until("chat", "RedisReady", ConditionStatus::True).await;
            let topics = world.clusters().get("chat").await.unwrap().status.unwrap().topics;
            assert_eq!(topics.len(), 17, "cut after {n}");
            let stream = format!("{}chat:gatewayId:chat-gateway-1:stream", world.redis_prefix);
            let groups = redis.command(&["XINFO", "GROUPS", &stream]).await.unwrap();
            assert!(format!("{groups:?}").contains("gateway"), "cut after {n}: {groups:?}");
            runs += 1;
            if finished {
                // so many requests are not made
                break;
            }
        }
    }
    println!("{runs} places to be cut at");
    assert!(runs > 8, "{runs}");
}
