//! `up`: writes what the components read, starts the first process of the node, and waits until all of it works. Every
//! step is one that may be done again.

use std::io::Write;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Node as ApiNode, ServiceAccount};
use kube::Api;
use serde_json::{Value, json};

use super::layout::{ADDRESS, DNS_READY_PORT, Layout, METRICS_PORT, NAME};
use super::record::{Process, Record};
use super::supervisor::{GO, PLAN, Plan, Programs, THE_REST};
use super::{Node, api_server, certificates, cgroups, check, containerd, controller_manager, dns, etcd, images};
use super::{kubeconfig, kubelet, metrics, network, proxy, scheduler, stop};
use crate::condition::await_condition;
use crate::deployment::Binaries;
use crate::install::{self, NodeTools, Progress};
use crate::process::tail;

/// Seconds on an idle machine; two loaded cores are slow.
const WITHIN: Duration = Duration::from_mins(3);

/// Between two looks: those who are looked at need the processors more.
const INTERVAL: Duration = Duration::from_millis(100);

pub(super) async fn up(layout: Layout, progress: Progress) -> Result<Node> {
    let running = |layout: &Layout| anyhow::Ok(Record::read(layout)?.filter(Record::is_alive));
    if running(&layout)?.is_none() {
        check::check()?;
    }
    let install = move || install::node(progress);
    let tools = tokio::task::spawn_blocking(install).await.context("the installer panicked")??;
    let _lock = stop::lock()?;
    if let Some(record) = running(&layout)? {
        progress("the node runs already; looking whether all of it works");
        let node = Node { layout, tools, record };
        complete(&node, None, progress).await?;
        return Ok(node);
    }
    let (record, words) = start(&layout, &tools, progress).await?;
    let node = Node { layout, tools, record };
    complete(&node, Some(words), progress).await?;
    Ok(node)
}

async fn start(layout: &Layout, tools: &NodeTools, progress: Progress) -> Result<(Record, ChildStdin)> {
    // What a killed node or an earlier start of the machine left.
    stop::clear(layout).await?;
    if let Some(owner) = network::owner()? {
        bail!("another node runs on this machine, with its state in {owner}");
    }
    network::check()?;
    layout.create()?;
    certificates::ensure(layout)?;
    kubeconfig::write(layout)?;
    network::write_plugins(layout)?;
    let plan = plan(layout, tools)?;
    layout.write(PLAN, &serde_json::to_string(&plan)?)?;
    cgroups::create()?;
    progress("starting etcd, containerd and Kubernetes' six programs");
    launch(layout)
}

fn plan(layout: &Layout, tools: &NodeTools) -> Result<Plan> {
    let api = tools.api.kube_apiserver.parent().context("kube-apiserver without a folder")?;
    Ok(Plan {
        programs: Programs { api: api.to_owned(), components: tools.components.clone(), addons: tools.addons.clone() },
        first: vec![
            etcd::daemon(&tools.api.etcd),
            containerd::daemon(&tools.containerd, layout)?,
            api_server::daemon(),
        ],
        then: vec![
            controller_manager::daemon(),
            kubelet::daemon(layout)?,
            scheduler::daemon(),
            proxy::daemon(),
            dns::daemon(layout)?,
            metrics::daemon(),
        ],
    })
}

/// Starts the supervisor in namespaces of its own and in a session of its own, so that it outlives this program and the
/// terminal, and writes it down before it does anything.
fn launch(layout: &Layout) -> Result<(Record, ChildStdin)> {
    let log = std::fs::File::create(layout.log("supervisor")).context("failed to create the supervisor's log")?;
    let errors = log.try_clone().context("failed to share the supervisor's log")?;
    let mut command = Command::new("setsid");
    command
        .args(["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(testkit()?)
        .args(["cluster", "supervise", "--state-dir"])
        .arg(layout.state())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(errors);
    let mut child = command.spawn().context("failed to run setsid and unshare")?;
    let mut stdin = child.stdin.take().context("the supervisor without a standard input")?;
    let record = written_down(layout, child.id());
    let outcome = record.and_then(|record| {
        network::connect(layout.state(), record.init.pid())?;
        writeln!(stdin, "{GO}").context("failed to tell the supervisor to go")?;
        Ok(record)
    });
    if outcome.is_err() {
        // With its first process dead there is no node; the error says more than another one would.
        let _ = child.kill();
        let _ = child.wait();
    }
    Ok((outcome?, stdin))
}

/// The program that has the supervisor in it: this one, or the one beside this test.
fn testkit() -> Result<PathBuf> {
    let own = std::env::current_exe().context("failed to find this executable")?;
    if own.file_name().is_some_and(|name| name == "testkit") { Ok(own) } else { Binaries::locate()?.path("testkit") }
}

fn written_down(layout: &Layout, pid: u32) -> Result<Record> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let outer = Process::of(pid).context("unshare ended at once")?;
    // setsid became unshare, and unshare forks its child once the namespaces are there; the child then is itself for a
    // moment before it is the testkit.
    let init = loop {
        let child = outer.children().first().copied();
        if let Some(child) = child.filter(|child| child.program().is_some_and(|name| name == "testkit")) {
            break child;
        }
        if !outer.is_alive() || Instant::now() > deadline {
            bail!("failed to start the node's first process: {}", tail(&layout.log("supervisor"), 5));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let record = Record::new(outer, init)?;
    record.write(layout)?;
    Ok(record)
}

/// Waits for each part in the order in which they come, and brings what the cluster must hold. `words` is for a node
/// that was just started.
async fn complete(node: &Node, words: Option<ChildStdin>, progress: Progress) -> Result<()> {
    let start = Instant::now();
    let done = |what: &str| progress(&format!("{what} ({:.1} s)", start.elapsed().as_secs_f32()));
    wait(node, "the API server", "kube-apiserver", || api_is_ready(node)).await?;
    done("the API server serves");
    if let Some(mut words) = words {
        writeln!(words, "{THE_REST}").context("failed to tell the supervisor to start the rest")?;
    }
    // The namespace of the add-ons comes a moment after the API server.
    apply(node, [dns::manifests(), metrics::manifests()].concat()).await?;
    images::ensure_pause(&node.layout, &node.tools).await.map_err(|error| explained(node, "containerd", &error))?;
    wait(node, "the node to be ready", "kubelet", || node_is_ready(node)).await?;
    wait(node, "service accounts", "kube-controller-manager", || accounts_are_made(node)).await?;
    done("the node is ready");
    wait(node, "DNS", "coredns", dns_is_ready).await?;
    done("names resolve");
    // An API without a server disturbs everybody who asks which APIs there are, helm and some controllers among them.
    wait(node, "metrics-server", "metrics-server", || metrics_server_answers(node)).await?;
    apply(node, vec![metrics::api(&node.layout)?]).await?;
    wait(node, "metrics", "metrics-server", || metrics_are_served(node)).await?;
    done("metrics are served");
    Ok(())
}

async fn apply(node: &Node, manifests: Vec<Value>) -> Result<()> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests}).to_string();
    wait(node, "the add-ons", "kube-apiserver", || node.apply(&list)).await.map(drop)
}

async fn wait<T, F: Future<Output = Result<T>>>(
    node: &Node,
    what: &str,
    daemon: &str,
    mut check: impl FnMut() -> F,
) -> Result<T> {
    let outcome = await_condition(what, WITHIN, || {
        let alive = node.record.is_alive();
        let check = check();
        async move {
            if !alive {
                return Ok(Err(anyhow::anyhow!("the node's first process ended")));
            }
            let outcome = check.await;
            if outcome.is_err() {
                tokio::time::sleep(INTERVAL).await;
            }
            outcome.map(Ok)
        }
    });
    outcome.await.and_then(|inner| inner).map_err(|error| explained(node, daemon, &error))
}

fn explained(node: &Node, daemon: &str, error: &anyhow::Error) -> anyhow::Error {
    let log = |name: &str| {
        let path = node.layout.log(name);
        format!("\n--- end of {}:\n{}", path.display(), tail(&path, 15))
    };
    anyhow::anyhow!("{error:#}{}{}", log(daemon), log("supervisor"))
}

async fn api_is_ready(node: &Node) -> Result<()> {
    let request = http::Request::get("/readyz").body(Vec::new()).context("an odd request")?;
    node.client().await?.request_text(request).await.map(drop).context("the API server is not ready")
}

async fn node_is_ready(node: &Node) -> Result<()> {
    let api: Api<ApiNode> = Api::all(node.client().await?);
    let conditions = api.get(NAME).await.context("no Node")?.status.and_then(|status| status.conditions);
    let ready = conditions.unwrap_or_default().into_iter().find(|condition| condition.type_ == "Ready");
    let ready = ready.context("the node says nothing")?;
    ensure!(ready.status == "True", "{}", ready.message.unwrap_or_default());
    Ok(())
}

/// Without the one called `default`, no pod is let into a namespace.
async fn accounts_are_made(node: &Node) -> Result<()> {
    let api: Api<ServiceAccount> = Api::default_namespaced(node.client().await?);
    api.get("default").await.map(drop).context("no service account in the namespace default")
}

async fn dns_is_ready() -> Result<()> {
    let http = reqwest::Client::builder().no_proxy().build().context("failed to make a client")?;
    let answer = http.get(format!("http://{ADDRESS}:{DNS_READY_PORT}/ready")).send().await.context("no answer")?;
    ensure!(answer.status().is_success(), "CoreDNS answered {}", answer.status());
    Ok(())
}

/// Not `/readyz`: that is an error for as long as no pod runs.
async fn metrics_server_answers(node: &Node) -> Result<()> {
    let authority = std::fs::read(node.layout.pki("ca.crt")).context("failed to read the authority's certificate")?;
    let authority = reqwest::Certificate::from_pem(&authority).context("an odd certificate")?;
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build();
    let url = format!("https://{ADDRESS}:{METRICS_PORT}/livez");
    let answer = http.context("failed to make a client")?.get(url).send().await.context("no answer")?;
    ensure!(answer.status().is_success(), "metrics-server answered {}", answer.status());
    Ok(())
}

async fn metrics_are_served(node: &Node) -> Result<()> {
    let request =
        http::Request::get("/apis/metrics.k8s.io/v1beta1/nodes").body(Vec::new()).context("an odd request")?;
    let answer = node.client().await?.request_text(request).await.context("no metrics")?;
    ensure!(answer.contains("\"cpu\""), "no metrics of the node yet");
    Ok(())
}
