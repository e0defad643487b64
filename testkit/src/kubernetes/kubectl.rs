//! kubectl, as a person would use it.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Access, ApiServer};

impl ApiServer {
    /// Runs kubectl as a user who may do everything, and answers its standard output. When it fails, the error carries
    /// what it said. Another user is `--as=<user>`.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.run_kubectl(arguments, &self.kubeconfig(), "").await
    }

    /// [`ApiServer::kubectl`] with this text as its standard input, for `apply -f -` and the like.
    pub async fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        self.run_kubectl(arguments, &self.kubeconfig(), input).await
    }

    /// [`ApiServer::kubectl`] as another user, with this text as its standard input.
    pub async fn kubectl_as(&self, access: &Access, arguments: &[&str], input: &str) -> Result<String> {
        let kubeconfig = self.write_kubeconfig(access)?;
        self.run_kubectl(arguments, &kubeconfig, input).await
    }

    /// `kubectl apply` of these manifests.
    pub async fn apply(&self, manifests: &str) -> Result<String> {
        self.kubectl_with(&["apply", "-f", "-"], manifests).await
    }

    async fn run_kubectl(&self, arguments: &[&str], kubeconfig: &Path, input: &str) -> Result<String> {
        run(&self.tools.kubectl, kubeconfig, &self.folder.path().join("kubectl"), arguments, input).await
    }
}

/// Runs kubectl and answers its standard output. `cache` is what it remembers of a server's resources, which would
/// outlive the server otherwise.
pub(crate) async fn run(
    kubectl: &Path,
    kubeconfig: &Path,
    cache: &Path,
    arguments: &[&str],
    input: &str,
) -> Result<String> {
    let mut child = Command::new(kubectl)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg("--cache-dir")
        .arg(cache)
        .args(arguments)
        // The server is on this machine.
        .env("NO_PROXY", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("failed to start kubectl")?;
    let mut stdin = child.stdin.take().context("kubectl without a standard input")?;
    // An error here is kubectl's end, and its own words say more about that.
    let feed = async {
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), feed);
    let output = output.context("failed to wait for kubectl")?;
    if !output.status.success() {
        bail!("kubectl {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
