//! One API server, Kafka and Redis for all tests here; a namespace, prefixes and an operator for each.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use chatcluster_operator::{
    client,
    crd::{self, ChatCluster, Condition, ConditionStatus},
    kinds::Kind,
    metrics::OperatorMetrics,
    options::Options,
    run,
};
use chatcluster_service::{
    config,
    metrics::Metrics,
    shutdown::Shutdown,
    telemetry::{self, Telemetry},
};
use chatcluster_testkit::{ApiServer, Servers, WAIT, await_condition};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::OnceCell, task::JoinHandle};

/// Everything around one `ChatCluster` under test.
pub(crate) struct World {
    pub(crate) api: Arc<ApiServer>,
    pub(crate) servers: Arc<Servers>,
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// Of topics and groups.
    pub(crate) kafka_prefix: String,
    pub(crate) redis_prefix: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        let (api, servers) = tokio::try_join!(ApiServer::shared(), Servers::shared()).unwrap();
        install_definition(&api).await;
        let namespace = api.namespace().await.unwrap();
        let client = api.client().await.unwrap();
        let names = servers.namespace().await.unwrap();
        let world = Self {
            client,
            namespace,
            kafka_prefix: names.kafka_prefix,
            redis_prefix: names.redis_prefix,
            api,
            servers,
        };
        let urls =
            json!({"redis": world.servers.redis.url(), "database": "mysql://user:secret@database.example:3306/chat"});
        world.secret("urls", &urls).await;
        world
    }

    /// A manifest that works. Tests change what they are about.
    pub(crate) fn manifest(&self, name: &str) -> Value {
        json!({
            "apiVersion": "chatcluster.dev/v1alpha1",
            "kind": "ChatCluster",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "version": "1.0.0",
                "kafka": {
                    "bootstrapServers": self.servers.kafka.bootstrap_servers(),
                    "prefix": format!("{}{name}.", self.kafka_prefix),
                    "replicationFactor": 1,
                },
                "redis": {"urlSecretRef": {"name": "urls", "key": "redis"}, "prefix": format!("{}{name}:", self.redis_prefix)},
                "database": {"urlSecretRef": {"name": "urls", "key": "database"}},
            },
        })
    }

    pub(crate) async fn secret(&self, name: &str, data: &Value) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        self.dynamic(Kind::Secret).patch(name, &test_manager(), &Patch::Apply(secret)).await.unwrap();
    }

    pub(crate) fn dynamic(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind.api())
    }

    pub(crate) fn clusters(&self) -> Api<ChatCluster> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) async fn apply(&self, manifest: &Value) -> ChatCluster {
        let name = manifest["metadata"]["name"].as_str().unwrap();
        self.clusters().patch(name, &test_manager(), &Patch::Apply(manifest)).await.unwrap()
    }

    /// An operator for this namespace, with nobody else around.
    pub(crate) async fn operator(&self) -> Operator {
        Operator::start(self.api.config().await.unwrap(), &["--watch-namespaces", &self.namespace]).await
    }

    /// What the chart allows the operator in this namespace, and no more.
    pub(crate) async fn restricted(&self) -> kube::Config {
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/chatcluster");
        let watched = format!("watchNamespaces={{{}}}", self.namespace);
        let rendered = std::process::Command::new(&self.api.tools().helm)
            .args([
                "template",
                "chatcluster",
                chart,
                "--namespace",
                &self.namespace,
                "--set",
                &watched,
                "--kube-version",
                "1.34.4",
            ])
            .args(["--show-only", "templates/rbac.yaml", "--show-only", "templates/serviceaccount.yaml"])
            .output()
            .unwrap();
        assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
        let manifests = String::from_utf8(rendered.stdout).unwrap();
        self.api.apply(&manifests).await.unwrap();
        let account = manifests.split("kind: ServiceAccount").nth(1).unwrap().split("name: ").nth(1).unwrap();
        let account = account.split_whitespace().next().unwrap();
        self.api.service_account(&self.namespace, account).await.unwrap().config().await.unwrap()
    }

    /// Waits until the condition has this status.
    pub(crate) async fn until(&self, name: &str, kind: &str, status: ConditionStatus) -> Condition {
        let what = format!("{name}: {kind} is {status:?}");
        eventually(&what, || async {
            let found = condition(&self.clusters().get(name).await.ok()?, kind)?;
            (found.status == status).then_some(found)
        })
        .await
    }

    /// Waits until the condition has this reason.
    pub(crate) async fn until_reason(&self, name: &str, kind: &str, reason: &str) -> Condition {
        let what = format!("{name}: {kind} says {reason}");
        eventually(&what, || async {
            let found = condition(&self.clusters().get(name).await.ok()?, kind)?;
            (found.reason == reason).then_some(found)
        })
        .await
    }

    /// Into Kafka, past the operator.
    pub(crate) fn kafka_admin(&self) -> chatcluster_kafka_admin::Admin {
        let options = chatcluster_kafka_admin::ConnectionOptions {
            bootstrap_servers: self.servers.kafka.bootstrap_servers(),
            security: chatcluster_kafka_admin::Security::Plaintext,
            sasl: None,
            timeout: Duration::from_secs(10),
        };
        chatcluster_kafka_admin::Admin::new(&options).unwrap()
    }

    /// Names of all objects of a kind.
    pub(crate) async fn names(&self, kind: Kind) -> Vec<String> {
        let list = self.dynamic(kind).list(&kube::api::ListParams::default()).await.unwrap();
        list.items.into_iter().filter_map(|object| object.metadata.name).collect()
    }
}

pub(crate) fn test_manager() -> PatchParams {
    PatchParams::apply("test").force()
}

pub(crate) fn condition(cluster: &ChatCluster, kind: &str) -> Option<Condition> {
    cluster.status.as_ref()?.conditions.iter().find(|condition| condition.kind == kind).cloned()
}

async fn install_definition(api: &ApiServer) {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    INSTALLED
        .get_or_init(|| async {
            let definitions: Api<CustomResourceDefinition> = Api::all(api.client().await.unwrap());
            let name = "chatclusters.chatcluster.dev";
            definitions.patch(name, &test_manager(), &Patch::Apply(crd::definition())).await.unwrap();
            eventually("the definition is established", || async {
                let conditions = definitions.get(name).await.ok()?.status?.conditions?;
                conditions.iter().any(|it| it.type_ == "Established" && it.status == "True").then_some(())
            })
            .await;
        })
        .await;
}

/// A running operator. Ends when dropped, as abruptly as a killed process.
pub(crate) struct Operator {
    pub(crate) metrics: Metrics,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Operator {
    pub(crate) async fn start(config: kube::Config, arguments: &[&str]) -> Self {
        let metrics = Metrics::new("operator");
        let counted = OperatorMetrics::new(&metrics);
        let client = client::with_config(config, &counted).unwrap();
        let mut all = vec!["operator", "--resync-interval", "2s", "--call-timeout", "3s"];
        if !arguments.contains(&"--leader-election") {
            all.extend(["--leader-election", "false"]);
        }
        all.extend(arguments);
        let options: Options = config::try_parse_from(all.iter().map(Into::into).collect::<Vec<_>>()).unwrap();
        show_log(&options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shutdown = Shutdown::manual();
        let task = tokio::spawn(run::serve(options, client, listener, metrics.clone(), counted, shutdown.clone()));
        Self { metrics, shutdown, task }
    }

    /// As SIGTERM does it.
    pub(crate) async fn stop(mut self) {
        self.shutdown.request();
        tokio::time::timeout(Duration::from_secs(10), &mut self.task).await.unwrap().unwrap().unwrap();
    }

    /// Requests to the API server so far, by verb.
    pub(crate) fn requests(&self) -> BTreeMap<String, u64> {
        let text = self.metrics.encode();
        let lines =
            text.lines().filter_map(|line| line.strip_prefix("chatcluster_operator_api_requests_total{verb=\""));
        lines
            .filter_map(|line| line.split_once("\"} "))
            .map(|(verb, count)| (verb.to_owned(), count.parse().unwrap()))
            .collect()
    }

    /// Requests that write, without those that renew the Lease: nothing else is replaced.
    pub(crate) fn writes(&self) -> u64 {
        self.requests().iter().filter(|(verb, _)| !matches!(verb.as_str(), "get" | "put")).map(|(_, count)| count).sum()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `CHATCLUSTER_TEST_LOG=1` shows what operators log.
fn show_log(options: &Options) {
    static LOG: OnceLock<Telemetry> = OnceLock::new();
    if std::env::var_os("CHATCLUSTER_TEST_LOG").is_some() {
        LOG.get_or_init(|| telemetry::init("operator", &options.log).unwrap());
    }
}

/// Waits until `check` finds something.
pub(crate) async fn eventually<T, F, Fut>(what: &str, check: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    eventually_within(what, WAIT, check).await
}

pub(crate) async fn eventually_within<T, F, Fut>(what: &str, within: Duration, mut check: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let checked = || {
        let found = check();
        async move { found.await.ok_or("not yet") }
    };
    await_condition(what, within, checked).await.unwrap()
}
