//! Upgrade, pause, deletion, and two operators at once.

use std::time::Duration;

use chatcluster_operator::{crd::ConditionStatus, kinds::Kind};
use k8s_openapi::api::{coordination::v1::Lease, events::v1::Event};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::support::{Operator, World, eventually, eventually_within};

async fn version(world: &World, deployment: &str) -> Option<String> {
    let found = world.dynamic(Kind::Deployment).get(deployment).await.ok()?;
    let image = found.data.pointer("/spec/template/spec/containers/0/image")?.as_str()?;
    image.rsplit_once(':').map(|(_, tag)| tag.to_owned())
}

async fn running(world: &World) {
    world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;
    let job = eventually("there is a migration", || async { world.names(Kind::Job).await.pop() }).await;
    world.api.set_job_complete(&world.namespace, &job).await.unwrap();
    for part in ["chat-core", "chat-worker", "chat-gateway"] {
        eventually("it exists", || async { version(world, part).await }).await;
        world.api.set_deployment_available(&world.namespace, part).await.unwrap();
    }
    world.until("chat", "Ready", ConditionStatus::True).await;
}

#[tokio::test]
async fn an_upgrade_goes_step_by_step_and_says_where_it_is() {
    let world = World::new().await;
    let _operator = world.operator().await;
    let mut manifest = world.manifest("chat");
    world.apply(&manifest).await;
    running(&world).await;
    world.until_reason("chat", "Upgraded", "UpToDate").await;

    manifest["spec"]["version"] = json!("2.0.0");
    world.apply(&manifest).await;
    world.until_reason("chat", "Upgraded", "Migrating").await;
    let versions = || async {
        let mut all = Vec::new();
        for part in ["chat-core", "chat-worker", "chat-gateway"] {
            all.push(version(&world, part).await.unwrap());
        }
        all.join(" ")
    };
    let jobs = world.dynamic(Kind::Job);
    let new_job = eventually("there is a new migration", || async {
        let jobs = jobs.list(&ListParams::default()).await.ok()?;
        jobs.items.into_iter().find(|job| job.data.to_string().contains("2.0.0")).and_then(|job| job.metadata.name)
    })
    .await;
    assert_eq!(versions().await, "1.0.0 1.0.0 1.0.0");
    world.until("chat", "Ready", ConditionStatus::True).await;

    world.api.set_job_failed(&world.namespace, &new_job).await.unwrap();
    world.until_reason("chat", "DatabaseReady", "MigrationFailed").await;
    assert_eq!(versions().await, "1.0.0 1.0.0 1.0.0");
    jobs.delete(&new_job, &DeleteParams::background()).await.unwrap();
    eventually("the migration is made again", || async {
        let job = jobs.get_opt(&new_job).await.ok()??;
        job.data.pointer("/status/conditions").is_none().then_some(())
    })
    .await;
    world.api.set_job_complete(&world.namespace, &new_job).await.unwrap();
    for (reason, part, expected) in [
        ("UpdatingCore", "chat-core", "2.0.0 1.0.0 1.0.0"),
        ("UpdatingWorker", "chat-worker", "2.0.0 2.0.0 1.0.0"),
        ("UpdatingGateway", "chat-gateway", "2.0.0 2.0.0 2.0.0"),
    ] {
        world.until_reason("chat", "Upgraded", reason).await;
        eventually("its image is the new one", || async { (version(&world, part).await? == "2.0.0").then_some(()) })
            .await;
        assert_eq!(versions().await, expected);
        world.api.set_deployment_available(&world.namespace, part).await.unwrap();
    }
    world.until_reason("chat", "Upgraded", "UpToDate").await;
    eventually("the old migration is gone", || async {
        (world.names(Kind::Job).await == [new_job.clone()]).then_some(())
    })
    .await;
    let status = world.clusters().get("chat").await.unwrap().status.unwrap();
    assert_eq!(status.version.as_deref(), Some("2.0.0"));
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let told = events.list(&ListParams::default()).await.unwrap();
    let reasons: Vec<String> = told.items.into_iter().filter_map(|event| event.reason).collect();
    for reason in ["Created", "Updated", "TopicCreated", "MigrationFailed", "UpdatingCore", "UpToDate"] {
        assert!(reasons.iter().any(|told| told == reason), "{reason} is not among {reasons:?}");
    }
}

#[tokio::test]
async fn paused_means_that_nothing_is_written_but_the_status() {
    let world = World::new().await;
    let _operator = world.operator().await;
    let mut manifest = world.manifest("chat");
    manifest["spec"]["paused"] = json!(true);
    world.apply(&manifest).await;
    world.until("chat", "Paused", ConditionStatus::True).await;
    let said = world.until_reason("chat", "KafkaTopicsReady", "NotApplied").await;
    assert!(said.message.contains("chat.message.all"), "{}", said.message);
    assert!(world.names(Kind::ConfigMap).await.iter().all(|name| !name.starts_with("chat-")));
    manifest["spec"]["paused"] = json!(false);
    world.apply(&manifest).await;
    running(&world).await;
    manifest["spec"]["paused"] = json!(true);
    world.apply(&manifest).await;
    world.until("chat", "Paused", ConditionStatus::True).await;
    world.dynamic(Kind::ConfigMap).delete("chat-core", &DeleteParams::default()).await.unwrap();
    world
        .api
        .set_deployment_rollout(
            &world.namespace,
            "chat-gateway",
            chatcluster_testkit::kubernetes::Rollout { updated: 2, available: 0 },
        )
        .await
        .unwrap();
    // the status goes on
    world.until_reason("chat", "GatewayAvailable", "Unavailable").await;
    assert!(world.dynamic(Kind::ConfigMap).get_opt("chat-core").await.unwrap().is_none());
}

#[tokio::test]
async fn deletion_cleans_up_when_it_was_asked_to() {
    let world = World::new().await;
    let _operator = world.operator().await;
    let mut manifest = world.manifest("chat");
    manifest["spec"]["deletionPolicy"] = json!("Delete");
    world.apply(&manifest).await;
    running(&world).await;
    let topic = format!("{}chat.message.all", world.kafka_prefix);
    let admin = world.kafka_admin();
    let exists = || async {
        admin.describe_topics(std::slice::from_ref(&topic)).await.ok()?.pop()?.ok().map(|found| found.is_some())
    };
    assert_eq!(exists().await, Some(true));
    world.clusters().delete("chat", &DeleteParams::default()).await.unwrap();
    eventually("it is gone", || async { world.clusters().get_opt("chat").await.ok()?.is_none().then_some(()) }).await;
    eventually("its topics are gone", || async { (!exists().await?).then_some(()) }).await;

    // Retain is the default, and waits for nothing
    world.apply(&world.manifest("other")).await;
    world.until("other", "KafkaTopicsReady", ConditionStatus::True).await;
    assert!(world.clusters().get("other").await.unwrap().metadata.finalizers.unwrap_or_default().is_empty());
    world.clusters().delete("other", &DeleteParams::default()).await.unwrap();
    eventually("it is gone", || async { world.clusters().get_opt("other").await.ok()?.is_none().then_some(()) }).await;
    let kept = [format!("{}other.message.all", world.kafka_prefix)];
    assert!(admin.describe_topics(&kept).await.unwrap()[0].as_ref().unwrap().is_some());
}

#[tokio::test]
async fn a_namespace_whose_secret_and_kafka_are_gone_goes_too() {
    let world = World::new().await;
    let _operator = world.operator().await;
    for (name, skip) in [("chat", false), ("skipped", true)] {
        let mut manifest = world.manifest(name);
        manifest["spec"]["deletionPolicy"] = json!("Delete");
        manifest["spec"]["kafka"]["bootstrapServers"] = json!("127.0.0.1:1");
        world.apply(&manifest).await;
        world.until_reason(name, "KafkaTopicsReady", "KafkaUnavailable").await;
        eventually("it has its finalizer", || async {
            let cluster = world.clusters().get(name).await.ok()?;
            (!cluster.metadata.finalizers?.is_empty()).then_some(())
        })
        .await;
        if skip {
            let patch = json!({"metadata": {"annotations": {"chatcluster.dev/skip-cleanup": "true"}}});
            world.clusters().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        }
    }
    world.api.kubectl(&["delete", "namespace", &world.namespace, "--wait=false"]).await.unwrap();
    // its content goes in any order: here the Secret first
    world.dynamic(Kind::Secret).delete("urls", &DeleteParams::default()).await.unwrap();
    let start = std::time::Instant::now();
    eventually_within("nothing holds the namespace up", Duration::from_secs(90), || async {
        world.api.empty_namespace(&world.namespace).await.ok()?.is_empty().then_some(())
    })
    .await;
    println!("the namespace was free after {:?}", start.elapsed());
    world.api.finish_namespace(&world.namespace).await.unwrap();
}

#[tokio::test]
async fn of_two_operators_one_works_and_the_other_takes_over() {
    let world = World::new().await;
    let start = |name: &'static str, lease: &'static str, duration: &'static str| {
        let world = &world;
        async move {
            let arguments = [
                "--watch-namespaces",
                &world.namespace,
                "--leader-election",
                "true",
                "--lease-namespace",
                &world.namespace,
                "--lease-name",
                lease,
                "--lease-duration",
                duration,
                "--node",
                name,
            ];
            Operator::start(world.api.config().await.unwrap(), &arguments).await
        }
    };
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let holder = || async { leases.get("short").await.ok()?.spec?.holder_identity };
    let first = start("first", "short", "3s").await;
    eventually("the first leads", || async { (holder().await? == "first").then_some(()) }).await;
    let second = start("second", "short", "3s").await;
    world.apply(&world.manifest("chat")).await;
    world.until("chat", "KafkaTopicsReady", ConditionStatus::True).await;
    assert_eq!(second.writes(), 0, "the second only waits");
    let killed = std::time::Instant::now();
    drop(first);
    eventually("the second leads", || async { (holder().await? == "second").then_some(()) }).await;
    println!("taken over {:?} after the leader was killed, with a lease of 3 s", killed.elapsed());
    world.dynamic(Kind::Service).delete("chat-core", &DeleteParams::default()).await.unwrap();
    eventually("the second works", || async { world.dynamic(Kind::Service).get("chat-core").await.ok() }).await;
    second.stop().await;

    // an orderly end hands over at once: whoever waits does not wait for this lease to run out
    let holder = || async { leases.get("patient").await.ok()?.spec?.holder_identity };
    let third = start("third", "patient", "2m").await;
    eventually("the third leads", || async { (holder().await? == "third").then_some(()) }).await;
    let fourth = start("fourth", "patient", "2m").await;
    third.stop().await;
    eventually("the fourth leads", || async { (holder().await? == "fourth").then_some(()) }).await;
    fourth.stop().await;

    // two that both believe to lead do no harm: they want the same
    let (one, two) = (world.operator().await, world.operator().await);
    let mut manifest = world.manifest("chat");
    manifest["spec"]["gateway"] = json!({"replicas": 5});
    world.apply(&manifest).await;
    eventually("both bring it about", || async {
        let found = world.dynamic(Kind::Deployment).get("chat-gateway").await.ok()?;
        (found.data["spec"]["replicas"] == 5).then_some(())
    })
    .await;
    let quiet = async {
        loop {
            let before = (one.writes(), two.writes());
            tokio::time::sleep(Duration::from_secs(5)).await;
            if (one.writes(), two.writes()) == before {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), quiet).await.expect("they fight");
}
