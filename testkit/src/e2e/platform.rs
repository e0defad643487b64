//! The platform in a cluster: installing it, changing it as a person would, and looking at it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use serde_json::{Value, json};

use super::Entrance;
use super::backing::{Backing, Login};
use super::cluster::Cluster;
use super::manifest::manifest;
use crate::await_condition;
use crate::images;
use crate::install::Progress;

pub(crate) const NAMESPACE: &str = "chat";
/// Of the `ChatCluster` in the example.
pub(crate) const NAME: &str = "chat";
/// Where the operator is.
pub(crate) const SYSTEM: &str = "chatcluster-system";
pub(super) const DEFINITION: &str = "chatclusters.chatcluster.dev";
const RELEASE: &str = "chatcluster";
const CHART: &str = "charts/chatcluster";
/// What a gateway asks for; an autoscaler's target is a part of it.
pub(crate) const GATEWAY_CPU: &str = "100m";
/// For whatever rolls out.
pub(crate) const ROLLED_OUT_WITHIN: Duration = Duration::from_mins(3);

/// A kind of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Core,
    Worker,
    Gateway,
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Core, Self::Worker, Self::Gateway];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Worker => "worker",
            Self::Gateway => "gateway",
        }
    }

    fn deployment(self) -> String {
        format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}-{}", self.name())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) ip: String,
    pub(crate) image: String,
    pub(crate) ready: bool,
    /// It was told to go.
    pub(crate) ending: bool,
    pub(crate) restarts: u64,
}

pub(crate) struct Platform {
    pub(crate) cluster: Cluster,
    pub(crate) backing: Backing,
    pub(crate) say: Progress,
}

impl Platform {
    /// `helm install`, and waits until the operator is ready.
    pub(crate) async fn install_operator(&self, tag: &str) -> Result<()> {
        self.helm("install", tag, &["--create-namespace"]).await
    }

    /// `helm upgrade` with these settings besides.
    pub(crate) async fn upgrade_operator(&self, tag: &str, settings: &[&str]) -> Result<()> {
        self.helm("upgrade", tag, settings).await
    }

    async fn helm(&self, verb: &str, tag: &str, more: &[&str]) -> Result<()> {
        let repository = format!("image.repository={}/chatcluster-operator", images::LOCAL_REGISTRY);
        let tag = format!("image.tag={tag}");
        let mut arguments = vec![verb, RELEASE, CHART, "--namespace", SYSTEM, "--wait", "--timeout", "3m"];
        // secrets are looked at more often than anybody would need
        for setting in [&repository, &tag, "operator.resyncInterval=10s"] {
            arguments.extend(["--set", setting]);
        }
        arguments.extend(more);
        self.cluster.helm(&arguments).await.map(drop)
    }

    /// `helm uninstall`, and waits.
    pub(crate) async fn uninstall_operator(&self) -> Result<()> {
        self.cluster.helm(&["uninstall", RELEASE, "--namespace", SYSTEM, "--wait", "--timeout", "2m"]).await.map(drop)
    }

    /// `kubectl apply` of the example, in a namespace of its own under the restricted policy of Pod Security.
    pub(crate) async fn apply(&self, login: &Login, version: &str) -> Result<()> {
        let restricted = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": restricted}});
        self.kubectl_apply(&namespace).await?;
        let manifest = manifest(&self.cluster, &self.backing, login, version).await?;
        self.kubectl_apply(&manifest).await
    }

    async fn kubectl_apply(&self, manifest: &Value) -> Result<()> {
        self.cluster
            .kubectl_with(&["apply", "--namespace", NAMESPACE, "--filename=-"], &manifest.to_string())
            .await
            .map(drop)
    }

    /// The Secrets of the example with another login.
    pub(crate) async fn set_login(&self, login: &Login) -> Result<()> {
        let urls = [("chat-redis", self.backing.redis_url(login)), ("chat-database", self.backing.database_url(login))];
        for (name, url) in urls {
            let patch = json!({"stringData": {"url": url}}).to_string();
            self.cluster.kubectl(&["patch", "secret", name, "--namespace", NAMESPACE, "--patch", &patch]).await?;
        }
        Ok(())
    }

    /// `kubectl patch chatcluster`.
    pub(crate) async fn patch(&self, patch: &Value) -> Result<()> {
        let patch = patch.to_string();
        let arguments = ["patch", "chatcluster", NAME, "--namespace", NAMESPACE, "--type=merge", "--patch", &patch];
        self.cluster.kubectl(&arguments).await.map(drop)
    }

    /// `kubectl scale chatcluster`.
    pub(crate) async fn scale_gateways(&self, replicas: u32) -> Result<()> {
        let replicas = format!("--replicas={replicas}");
        self.cluster.kubectl(&["scale", "chatcluster", NAME, "--namespace", NAMESPACE, &replicas]).await.map(drop)
    }

    pub(crate) async fn pods(&self, part: Part) -> Result<Vec<Pod>> {
        let selector = format!("app.kubernetes.io%2Finstance%3D{NAME},app.kubernetes.io%2Fcomponent%3D{}", part.name());
        self.pods_of(NAMESPACE, &selector).await
    }

    pub(crate) async fn operators(&self) -> Result<Vec<Pod>> {
        self.pods_of(SYSTEM, "app.kubernetes.io%2Fname%3Dchatcluster-operator").await
    }

    async fn pods_of(&self, namespace: &str, selector: &str) -> Result<Vec<Pod>> {
        let pods = self.cluster.list(&format!("/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")).await?;
        Ok(pods.iter().map(pod).collect())
    }

    /// Until exactly so many pods of a part are there, all up to date and ready, and none is on its way out. `version`: of
    /// their images, when it matters.
    pub(crate) async fn settled(&self, part: Part, count: u64, version: Option<&str>) -> Result<Vec<Pod>> {
        let what = format!("{count} ready pods of {}", part.name());
        await_condition(&what, ROLLED_OUT_WITHIN, || async {
            let deployment = self.cluster.get(&part.deployment()).await?.context("no Deployment")?;
            let (spec, status) = (&deployment["spec"], &deployment["status"]);
            let seen = status["observedGeneration"].as_u64() >= deployment["metadata"]["generation"].as_u64();
            let counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
            let counts = counts.map(|name| status[name].as_u64().unwrap_or_default());
            let pods = self.pods(part).await?;
            let image = pods.first().map_or("", |pod| &pod.image);
            let right =
                version.is_none_or(|version| pods.iter().all(|pod| pod.image.ends_with(&format!(":{version}"))));
            let all = pods.len() as u64 == count && pods.iter().all(|pod| pod.ready && !pod.ending);
            let done = seen && spec["replicas"] == count && counts == [count; 4] && all && right;
            if done {
                return Ok(pods);
            }
            pause().await;
            bail!("wanted {}, is/updated/ready/available {counts:?}, {} pods, {image}", spec["replicas"], pods.len());
        })
        .await
    }

    /// Until the operator says of this very spec that everything works.
    pub(crate) async fn ready(&self) -> Result<()> {
        await_condition("the ChatCluster to be Ready", ROLLED_OUT_WITHIN, || async {
            let chat = self.chat().await?;
            let (generation, status) = (&chat["metadata"]["generation"], &chat["status"]);
            let ready = condition(&chat, "Ready");
            if status["observedGeneration"] == *generation && ready["status"] == "True" {
                return Ok(());
            }
            pause().await;
            bail!("generation {generation}: {}", condition_text(&chat))
        })
        .await
    }

    /// Until all of it runs this version.
    pub(crate) async fn upgraded(&self, version: &str) -> Result<()> {
        await_condition(&format!("version {version} to be rolled out"), ROLLED_OUT_WITHIN, || async {
            let chat = self.chat().await?;
            if chat["status"]["version"] == version {
                return Ok(());
            }
            pause().await;
            bail!("{}", condition_text(&chat))
        })
        .await
    }

    pub(crate) async fn chat(&self) -> Result<Value> {
        let path = format!("/apis/chatcluster.dev/v1alpha1/namespaces/{NAMESPACE}/chatclusters/{NAME}");
        self.cluster.get(&path).await?.context("there is no ChatCluster")
    }

    /// The Services of core and of the gateways.
    pub(crate) async fn entrance(&self) -> Result<Entrance> {
        let service = |name: &'static str| async move {
            let path = format!("/api/v1/namespaces/{NAMESPACE}/services/{NAME}-{name}");
            let service = self.cluster.get(&path).await?.with_context(|| format!("no Service {name}"))?;
            let address = service["spec"]["clusterIP"].as_str().context("a Service without an address")?.to_owned();
            let port = service["spec"]["ports"][0]["port"].as_u64().context("a Service without a port")?;
            anyhow::Ok(format!("{address}:{port}"))
        };
        Ok(Entrance {
            api: format!("http://{}", service("core").await?),
            gateways: vec![format!("ws://{}/ws", service("gateway").await?)],
            sources: self.cluster.sources(),
        })
    }

    /// Core's key, by which tokens for hundreds of users can be signed without as many logins.
    pub(crate) async fn signing_key(&self) -> Result<Vec<u8>> {
        let secret = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{NAME}-keys");
        let secret = self.cluster.get(&secret).await?.context("no Secret with keys")?;
        let text = secret["data"]["signing-key.pem"].as_str().context("no signing key")?;
        base64::engine::general_purpose::STANDARD.decode(text).context("the signing key is not base64")
    }

    /// Ends a pod: in an orderly way, or at once.
    pub(crate) async fn delete_pod(&self, namespace: &str, name: &str, at_once: bool) -> Result<()> {
        let mut arguments = vec!["delete", "pod", name, "--namespace", namespace, "--wait=false"];
        if at_once {
            arguments.extend(["--grace-period=0", "--force"]);
        }
        self.cluster.kubectl(&arguments).await.map(drop)
    }

    /// No container of the platform has crashed and been started again.
    pub(crate) async fn restarts(&self) -> Result<u64> {
        let mut all = 0;
        for part in Part::ALL {
            all += self.pods(part).await?.iter().map(|pod| pod.restarts).sum::<u64>();
        }
        Ok(all)
    }

    /// What a person looks at when something does not work.
    pub(crate) async fn describe(&self) -> String {
        let mut text = String::new();
        let looks: [&[&str]; 4] = [
            &["get", "pods,deployments,jobs", "--all-namespaces", "--output=wide"],
            &["get", "chatcluster", NAME, "--namespace", NAMESPACE, "--output=jsonpath={.status.conditions}"],
            &["get", "events", "--namespace", NAMESPACE, "--sort-by=.lastTimestamp"],
            &["logs", "--namespace", SYSTEM, "--selector=app.kubernetes.io/name=chatcluster-operator", "--tail=20"],
        ];
        for look in looks {
            let said = self.cluster.kubectl(look).await.unwrap_or_else(|error| format!("{error:#}"));
            let lines: Vec<&str> = said.lines().collect();
            text.push_str(&lines[lines.len().saturating_sub(30)..].join("\n"));
            text.push('\n');
        }
        text
    }
}

/// Between two looks: the machine has better to do.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

fn condition<'a>(chat: &'a Value, kind: &str) -> &'a Value {
    let conditions = chat["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

/// What does not hold, and why.
fn condition_text(chat: &Value) -> String {
    let conditions = chat["status"]["conditions"].as_array().into_iter().flatten();
    let not = conditions.filter(|condition| condition["status"] != "True");
    let text: Vec<_> = not.map(|one| format!("{} {}: {}", one["type"], one["reason"], one["message"])).collect();
    if text.is_empty() { "nothing is amiss".to_owned() } else { text.join("; ") }
}

fn pod(pod: &Value) -> Pod {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let containers = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    Pod {
        name: text(&pod["metadata"]["name"]),
        uid: text(&pod["metadata"]["uid"]),
        ip: text(&pod["status"]["podIP"]),
        image: text(&pod["spec"]["containers"][0]["image"]),
        ready: conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True"),
        ending: !pod["metadata"]["deletionTimestamp"].is_null(),
        restarts: containers.map(|container| container["restartCount"].as_u64().unwrap_or_default()).sum(),
    }
}

/// Takes away what a run that was interrupted has left on a cluster that goes on.
pub(crate) async fn clear(cluster: &Cluster, say: Progress) -> Result<()> {
    let leftover = cluster.list("/api/v1/namespaces").await?.iter().any(|namespace| {
        let name = &namespace["metadata"]["name"];
        *name == NAMESPACE || *name == SYSTEM
    });
    if !leftover {
        return Ok(());
    }
    say("taking away what an earlier run has left");
    let arguments = ["delete", "chatclusters", "--all", "--namespace", NAMESPACE, "--timeout=30s"];
    if let Err(error) = cluster.kubectl(&arguments).await {
        // there may be no such kind any more
        say(&format!("{error:#}"));
    }
    cluster.helm(&["uninstall", RELEASE, "--namespace", SYSTEM, "--ignore-not-found", "--wait"]).await?;
    let definition = ["delete", "customresourcedefinition", DEFINITION, "--ignore-not-found"];
    cluster.kubectl(&definition).await?;
    let namespaces = ["delete", "namespace", NAMESPACE, SYSTEM, "--ignore-not-found", "--timeout=2m"];
    cluster.kubectl(&namespaces).await.map(drop)
}

/// None of `before` is left.
pub(crate) fn replaced(before: &[Pod], after: &[Pod]) -> Result<()> {
    for pod in before {
        ensure!(!after.iter().any(|other| other.uid == pod.uid), "{} is still there", pod.name);
    }
    Ok(())
}
