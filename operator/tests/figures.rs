//! A hundred `ChatCluster`s for two quiet minutes cost no write but the Lease's, and what else they cost: figures of a
//! release build by `make bench-operator`. A process of its own, on a real API server, Kafka and Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

#[path = "operator/support.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
mod support;

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use chatcluster_operator::{crd::ConditionStatus, kinds::Kind};
use chatcluster_testkit::ports::free_port;
use kube::api::ListParams;
use tokio::process::{Child, Command};

use support::{World, condition, eventually};

struct Process {
    child: Child,
    port: u16,
}

impl Process {
    async fn start(world: &World) -> Self {
        let process = Self::launch(world);
        eventually("the operator leads", || async { process.metric("leader").await.filter(|leads| *leads > 0.0) })
            .await;
        process
    }

    fn launch(world: &World) -> Self {
        let port = free_port().unwrap();
        // another build of it may be measured
        let binary =
            std::env::var("CHATCLUSTER_OPERATOR").unwrap_or(env!("CARGO_BIN_EXE_chatcluster-operator").to_owned());
        let child = Command::new(binary)
            .args([
                "--listen",
                &format!("127.0.0.1:{port}"),
                "--watch-namespaces",
                &world.namespace,
                "--lease-namespace",
                &world.namespace,
            ])
            .env("KUBECONFIG", world.api.kubeconfig())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, port }
    }

    async fn text(&self) -> Option<String> {
        reqwest::get(format!("http://127.0.0.1:{}/metrics", self.port)).await.ok()?.text().await.ok()
    }

    /// Sum over all labels.
    async fn metric(&self, name: &str) -> Option<f64> {
        let name = format!("chatcluster_operator_{name}");
        let text = self.text().await?;
        let lines =
            text.lines().filter(|line| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).reduce(|sum, value| sum + value)
    }

    async fn writes(&self) -> f64 {
        let text = self.text().await.unwrap();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("chatcluster_operator_api_requests_total{") && !line.contains("\"get\""));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// KiB.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

async fn play_kubernetes(world: &World, name: &str) {
    let job = eventually("the migration exists", || async {
        let selector = ListParams::default().labels(&format!("chatcluster.dev/cluster={name}"));
        world.dynamic(Kind::Job).list(&selector).await.ok()?.items.pop()?.metadata.name
    })
    .await;
    world.api.set_job_complete(&world.namespace, &job).await.unwrap();
    for part in ["core", "worker", "gateway"] {
        world.api.set_deployment_available(&world.namespace, &format!("{name}-{part}")).await.unwrap();
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)].as_secs_f64() * 1000.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures() {
    let clusters = 100;
    let world = World::new().await;
    let operator = Process::start(&world).await;
    println!("resident without a ChatCluster: {} MiB", operator.resident() / 1024);

    let mut created = Vec::new();
    for index in 0..clusters {
        let name = format!("c{index}");
        let start = Instant::now();
        world.apply(&world.manifest(&name)).await;
        // the last objects in the order of applying
        let last = format!("{name}-worker");
        while world.dynamic(Kind::PodDisruptionBudget).get_opt(&last).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        created.push(start.elapsed());
        world.until(&name, "KafkaTopicsReady", ConditionStatus::True).await;
        play_kubernetes(&world, &name).await;
        world.until(&name, "Ready", ConditionStatus::True).await;
        if index == 0 {
            println!("resident with 1 ChatCluster: {} MiB", operator.resident() / 1024);
        }
    }
    created.sort();
    println!(
        "ChatCluster applied -> its last object there, {clusters} times: p50 {:.0} ms, p99 {:.0} ms",
        percentile(&created, 50),
        percentile(&created, 99)
    );
    println!("resident with {clusters} ChatClusters: {} MiB", operator.resident() / 1024);

    // settle, then two quiet minutes
    eventually("all are ready", || async {
        let all = world.clusters().list(&ListParams::default()).await.ok()?;
        all.iter().all(|it| condition(it, "Ready").is_some_and(|it| it.status == ConditionStatus::True)).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let numbers = || async {
        let count = operator.metric("reconciles_total").await.unwrap();
        let seconds = operator.metric("reconcile_duration_seconds_sum").await.unwrap();
        (count, seconds, operator.metric("api_requests_total").await.unwrap(), operator.writes().await)
    };
    let (before, mark) = (numbers().await, world.api.audit_mark().await.unwrap());
    tokio::time::sleep(Duration::from_mins(2)).await;
    let (after, calls) = (numbers().await, world.api.audit_since(mark).await.unwrap());
    let passes = after.0 - before.0;
    let written: Vec<String> = calls
        .iter()
        .filter(|call| call.is_write() && call.namespace == world.namespace)
        .map(|call| format!("{} {} {:?}", call.verb, call.resource, call.name))
        .collect();
    let standby = Process::launch(&world);
    eventually("the standby serves", || async { standby.text().await }).await;
    let Process { mut child, .. } = operator;
    let killed = Instant::now();
    child.kill().await.unwrap();
    while standby.metric("leader").await.is_none_or(|leads| leads < 1.0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "another operator leads {:.1} s after kill -9, with the default Lease of 15 s",
        killed.elapsed().as_secs_f64()
    );
    let beside: Vec<&String> = written.iter().filter(|call| !call.contains("leases")).collect();
    println!(
        "{clusters} ChatClusters, 120 s: {passes} passes, {:.2} ms and {:.2} API requests a pass, {} writes (the Lease's renewals: {})",
        (after.1 - before.1) / passes * 1000.0,
        (after.2 - before.2) / passes,
        after.3 - before.3,
        written.len() - beside.len(),
    );
    assert!(beside.is_empty(), "writes besides the Lease: {beside:?}");
}
