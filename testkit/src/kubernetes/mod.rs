//! A real Kubernetes API: etcd and kube-apiserver on free ports, nothing else. No node, no scheduler and no controllers
//! run, so Deployments do not roll out, Jobs do not finish and nothing is garbage collected, unless a test says so with
//! [`stand_in`]'s methods or keeps [`ApiServer::controllers`]. What clients did is in [`ApiServer::audit`].
//!
//! ```no_run
//! # async fn demo() -> anyhow::Result<()> {
//! use chatcluster_testkit::kubernetes::ApiServer;
//!
//! let api = ApiServer::shared().await?; // one a test binary; `start` for a test that hurts it
//! let namespace = api.namespace().await?;
//! api.apply(&format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, namespace: {namespace}}}}}")).await?;
//! let mark = api.audit_mark().await?;
//! let client = api.client().await?; // kube::Client, may do everything
//! // ... let the code under test work ...
//! let writes = api.audit_since(mark).await?.into_iter().filter(|call| call.is_write());
//! assert_eq!(writes.count(), 0);
//! # drop(client); Ok(()) }
//! ```

mod access;
mod audit;
mod configuration;
mod controllers;
pub(crate) mod kubectl;
pub mod stand_in;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use tokio::sync::OnceCell;

pub use self::access::Access;
pub use self::audit::{Call, Mark};
pub use self::controllers::Controllers;
pub use self::stand_in::Rollout;

use crate::certificates::Authority;
use crate::install::{self, KubernetesTools};
use crate::ports::free_port;
use crate::process::{Probe, Spec, Supervised};
use crate::scratch::ScratchDir;
use crate::servers::random_name;

/// From start to the first answer; the API server answers after 3 s on an idle machine.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// A running API server with its etcd. Both are killed when dropped.
#[derive(Debug)]
pub struct ApiServer {
    // Before etcd, so that it is killed first and does not fill its log with failures.
    server: Supervised,
    etcd: Supervised,
    tools: KubernetesTools,
    port: u16,
    authority: Authority,
    /// A person's; may do everything.
    admin: Access,
    /// That of [`stand_in`], another name in the audit log; may do everything as well.
    stand_in: Access,
    folder: ScratchDir,
}

impl ApiServer {
    /// One of its own: for tests that stop or freeze it.
    pub async fn start() -> Result<Self> {
        let tools = install::kubernetes_ready(install::quiet).await?;
        Self::start_with(&tools, ScratchDir::new("kubernetes")?).await
    }

    /// The one of this test binary, started by the first test that asks. Do not stop or freeze it.
    pub async fn shared() -> Result<Arc<Self>> {
        static SHARED: OnceCell<Arc<ApiServer>> = OnceCell::const_new();
        SHARED.get_or_try_init(|| async { Self::start().await.map(Arc::new) }).await.cloned()
    }

    pub async fn start_with(tools: &KubernetesTools, folder: ScratchDir) -> Result<Self> {
        let (etcd_port, port) = (free_port()?, free_port()?);
        let etcd = Supervised::start(etcd(tools, &folder, etcd_port)?, etcd_probe(etcd_port)).await?;
        let authority = Authority::new()?;
        let url = format!("https://127.0.0.1:{port}");
        let access = |user: &str| Access::new(&url, Some(authority.pem()), random_name(32), user);
        let (admin, stand_in) = (access("admin"), access("testkit"));
        let arguments = configuration::write(folder.path(), port, etcd_port, &authority, &[&admin, &stand_in])?;
        std::fs::write(folder.path().join("kubeconfig"), admin.kubeconfig()).context("failed to write a kubeconfig")?;
        let spec = Spec {
            name: "kube-apiserver".into(),
            program: tools.kube_apiserver.clone(),
            args: arguments,
            env: Vec::new(),
            log: folder.path().join("kube-apiserver.log"),
            ready_within: READY_WITHIN,
        };
        let server = Supervised::start(spec, probe(&authority, &admin)?).await?;
        Ok(Self { server, etcd, tools: tools.clone(), port, authority, admin, stand_in, folder })
    }

    /// `https://127.0.0.1:port`; its certificate is signed by [`ApiServer::authority`].
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The folder with the logs, the audit log and the kubeconfig.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where kubectl, helm and the servers are.
    pub fn tools(&self) -> &KubernetesTools {
        &self.tools
    }

    /// A file for `KUBECONFIG`, of a user who may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// The API server, for stop, kill, pause and restart.
    pub fn process(&self) -> &Supervised {
        &self.server
    }

    pub fn etcd(&self) -> &Supervised {
        &self.etcd
    }
}

fn etcd(tools: &KubernetesTools, folder: &ScratchDir, port: u16) -> Result<Spec> {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", free_port()?));
    let data = folder.path().join("etcd").display().to_string();
    let options = [
        ("--name", "one"),
        ("--data-dir", &data),
        ("--listen-client-urls", &client),
        ("--advertise-client-urls", &client),
        ("--listen-peer-urls", &peer),
        ("--initial-advertise-peer-urls", &peer),
        ("--initial-cluster", &format!("one={peer}")),
        ("--logger", "zap"),
        ("--log-outputs", "stderr"),
        ("--log-level", "warn"),
    ];
    Ok(Spec {
        name: "etcd".into(),
        program: tools.etcd.clone(),
        args: options.iter().map(|(option, value)| format!("{option}={value}")).collect(),
        env: Vec::new(),
        log: folder.path().join("etcd.log"),
        ready_within: READY_WITHIN,
    })
}

fn etcd_probe(port: u16) -> Probe {
    Arc::new(move || {
        async move {
            let answer = reqwest::get(format!("http://127.0.0.1:{port}/health")).await.context("failed to ask etcd")?;
            ensure!(answer.status().is_success(), "etcd answered {}", answer.status());
            Ok(())
        }
        .boxed()
    })
}

/// Ready, and with the namespace that everybody expects, which a loop inside the server makes a moment later.
fn probe(authority: &Authority, admin: &Access) -> Result<Probe> {
    let trusted = reqwest::Certificate::from_der(authority.der()).context("failed to read the authority")?;
    let admin = admin.clone();
    Ok(Arc::new(move || {
        let (trusted, admin) = (trusted.clone(), admin.clone());
        async move {
            // A client for each look: a connection pool would belong to the runtime of the test that started the server.
            let http =
                reqwest::Client::builder().tls_certs_only([trusted]).build().context("failed to make a client")?;
            for path in ["/readyz", "/api/v1/namespaces/default"] {
                let request = http.get(format!("{}{path}", admin.url())).bearer_auth(admin.token());
                let answer = request.send().await.context("failed to ask the API server")?;
                ensure!(answer.status().is_success(), "{path} was answered with {}", answer.status());
            }
            Ok(())
        }
        .boxed()
    }))
}
