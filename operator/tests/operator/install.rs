//! A manifest becomes a platform.

use std::time::Duration;

use chatcluster_operator::{crd::ConditionStatus, kinds::Kind};

use crate::support::{Operator, World, eventually};

#[tokio::test]
async fn one_manifest_makes_everything_and_the_status_tells_the_truth() {
    let world = World::new().await;
    let lease =
        ["--leader-election", "true", "--lease-namespace", &world.namespace, "--watch-namespaces", &world.namespace];
    let operator = Operator::start(world.restricted().await, &lease).await;
    world.apply(&world.manifest("chat")).await;

    let job = eventually("the migration Job exists", || async { world.names(Kind::Job).await.pop() }).await;
    let topics = world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;
    assert_eq!(topics.reason, "Provisioned");
    world.until("chat", "RedisReady", ConditionStatus::True).await;
    assert_eq!(world.until("chat", "Ready", ConditionStatus::False).await.reason, "Unavailable");
    for kind in [Kind::Deployment, Kind::ServiceAccount, Kind::ConfigMap] {
        assert_eq!(world.names(kind).await.iter().filter(|name| name.starts_with("chat-")).count(), 3, "{kind:?}");
    }
    assert_eq!(
        world.names(Kind::Service).await,
        ["chat-core", "chat-core-pods", "chat-gateway", "chat-user-events", "chat-worker"]
    );
    assert_eq!(world.names(Kind::PodDisruptionBudget).await.len(), 3);
    assert!(world.names(Kind::NetworkPolicy).await.len() >= 3);
    assert!(world.names(Kind::Secret).await.contains(&"chat-keys".to_owned()));

    // the rest of Kubernetes does its part
    world.api.set_job_complete(&world.namespace, &job).await.unwrap();
    for deployment in ["chat-core", "chat-worker", "chat-gateway"] {
        world.api.set_deployment_available(&world.namespace, deployment).await.unwrap();
    }
    world.until("chat", "Ready", ConditionStatus::True).await;
    let shown = world.api.kubectl(&["get", "chatcluster", "-n", &world.namespace]).await.unwrap();
    let columns: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(&columns[..4], ["chat", "True", "2/2", "1.0.0"], "{shown}");

    // a gateway pod appears, and its stream with it
    let labels = [
        ("app.kubernetes.io/managed-by", "chatcluster-operator"),
        ("app.kubernetes.io/component", "gateway"),
        ("chatcluster.dev/cluster", "chat"),
    ];
    world.api.make_pod(&world.namespace, "chat-gateway-1", &labels, false).await.unwrap();
    let stream = format!("{}chat:gatewayId:chat-gateway-1:stream", world.redis_prefix);
    eventually("the stream has its group", || async {
        let groups = world.servers.redis.command(&["XINFO", "GROUPS", &stream]).await.ok()?;
        format!("{groups:?}").contains("gateway").then_some(())
    })
    .await;
    world.api.remove_pod(&world.namespace, "chat-gateway-1").await.unwrap();
    eventually("the stream is gone with its pod", || async {
        let found = world.servers.redis.command(&["EXISTS", &stream]).await.ok()?;
        (found == chatcluster_testkit::redis::Reply::Number(0)).then_some(())
    })
    .await;

    // passes go on, and write nothing
    world.until("chat", "Ready", ConditionStatus::True).await;
    let passes = || {
        let text = operator.metrics.encode();
        text.lines()
            .filter(|line| line.contains("reconciles_total"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum::<u64>()
    };
    let quiet = async {
        loop {
            let before = (operator.writes(), passes());
            eventually("two more passes", || async { (passes() >= before.1 + 2).then_some(()) }).await;
            if operator.writes() == before.0 {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), quiet).await.expect("passes never stop writing");
    operator.stop().await;
}
