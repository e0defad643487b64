//! Who talks to the API server: kubeconfigs and clients for a user, a service account, through a proxy or not.

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;

use super::ApiServer;

/// A server's address, what to trust, and a bearer token.
#[derive(Clone)]
pub struct Access {
    url: String,
    /// PEM; `None` for plain HTTP, as a proxy of [`crate::faults`] speaks it.
    authority: Option<String>,
    token: String,
    user: String,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("url", &self.url).field("user", &self.user).finish_non_exhaustive()
    }
}

impl Access {
    pub(super) fn new(url: &str, authority: Option<String>, token: String, user: &str) -> Self {
        Self { url: url.to_owned(), authority, token, user: user.to_owned() }
    }

    /// The same user by another way: the URL of a proxy that speaks plain HTTP.
    #[must_use]
    pub fn through(&self, url: &str) -> Self {
        Self { url: url.to_owned(), authority: None, ..self.clone() }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// The name in the audit log.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The text of a kubeconfig: JSON, which is YAML as well.
    pub fn kubeconfig(&self) -> String {
        self.document().to_string()
    }

    fn document(&self) -> serde_json::Value {
        use base64::Engine;
        let mut cluster = json!({"server": self.url});
        if let Some(authority) = &self.authority {
            let encoded = base64::engine::general_purpose::STANDARD.encode(authority);
            cluster["certificate-authority-data"] = encoded.into();
        }
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "testkit", "cluster": cluster}],
            "users": [{"name": self.user, "user": {"token": self.token}}],
            "contexts": [{"name": "testkit", "context": {"cluster": "testkit", "user": self.user}}],
            "current-context": "testkit",
        })
    }

    /// For code that makes its own client.
    pub async fn config(&self) -> Result<kube::Config> {
        let kubeconfig: Kubeconfig = serde_json::from_value(self.document()).context("failed to make a kubeconfig")?;
        let options = KubeConfigOptions::default();
        kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.context("failed to read the kubeconfig")
    }

    /// A client of its own. It belongs to the runtime it was made in: do not keep it from one test to the next.
    pub async fn client(&self) -> Result<kube::Client> {
        kube::Client::try_from(self.config().await?).context("failed to make a client")
    }
}

impl ApiServer {
    /// A user who may do everything.
    pub fn admin(&self) -> &Access {
        &self.admin
    }

    /// A client that may do everything.
    pub async fn client(&self) -> Result<kube::Client> {
        self.admin.client().await
    }

    /// For code that makes its own client and may do everything.
    pub async fn config(&self) -> Result<kube::Config> {
        self.admin.config().await
    }

    /// A token of the service account as a pod of it would have, for trying what its RBAC rules allow. The account is
    /// made when it is missing. In the audit log it is `system:serviceaccount:<namespace>:<name>`.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Access> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.stand_in.client().await?, namespace);
        if accounts.get_opt(name).await.context("failed to look for the service account")?.is_none() {
            let mut account = ServiceAccount::default();
            account.metadata.name = Some(name.to_owned());
            let made = accounts.create(&PostParams::default(), &account).await;
            made.with_context(|| format!("failed to make the service account {namespace}/{name}"))?;
        }
        let spec = TokenRequestSpec { expiration_seconds: Some(86_400), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await;
        let answer = answer.with_context(|| format!("failed to ask for a token of {namespace}/{name}"))?;
        let token = answer.status.context("a token request without an answer")?.token;
        let user = format!("system:serviceaccount:{namespace}:{name}");
        Ok(Access::new(&self.url(), Some(self.authority.pem()), token, &user))
    }

    /// A kubeconfig file for another program, beside the logs.
    pub fn write_kubeconfig(&self, access: &Access) -> Result<std::path::PathBuf> {
        let name = format!("kubeconfig-{}", crate::servers::random_name(8));
        let path = self.folder.path().join(name);
        std::fs::write(&path, access.kubeconfig()).with_context(|| format!("failed to write {}", path.display()))?;
        Ok(path)
    }
}
