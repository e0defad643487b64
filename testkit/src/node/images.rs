//! Giving the node images, and the one that every pod begins with.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::process::Command;

use super::layout::Layout;
use crate::condition::await_condition;
use crate::images::digest::hex;
use crate::install::NodeTools;

/// Keeps the namespaces of a pod; its only program does nothing.
pub(super) const PAUSE: &str = "docker.io/local/pause:1";

/// From its start until containerd answers.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Makes the image of [`PAUSE`] and gives it to the node, unless it has it.
pub(super) async fn ensure_pause(layout: &Layout, tools: &NodeTools) -> Result<()> {
    let present = await_condition("containerd to answer", ANSWERS_WITHIN, || async {
        ctr(layout, tools, &["images", "list", "--quiet"]).await
    });
    if present.await?.lines().any(|name| name == PAUSE) {
        return Ok(());
    }
    let archive = layout.path("tmp/pause.tar");
    std::fs::write(&archive, pause(&tools.addons.join("pause"))?).context("failed to write the pause image")?;
    import(layout, tools, &archive).await
}

pub(super) async fn import(layout: &Layout, tools: &NodeTools, archive: &Path) -> Result<()> {
    let path = archive.display().to_string();
    ctr(layout, tools, &["images", "import", &path]).await.map(drop)
}

async fn ctr(layout: &Layout, tools: &NodeTools, arguments: &[&str]) -> Result<String> {
    let output = Command::new(&tools.ctr)
        .arg("--address")
        .arg(layout.containerd_socket())
        .args(["--namespace", "k8s.io"])
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await
        .context("failed to run ctr")?;
    if !output.status.success() {
        bail!("ctr {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An archive as `docker save` writes it, of one layer with one static program.
fn pause(program: &Path) -> Result<Vec<u8>> {
    let program = std::fs::read(program).with_context(|| format!("failed to read {}", program.display()))?;
    let layer = tar(&[("pause", &program)])?;
    let digest = hex(&layer);
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]);
    tar(&[
        ("config.json", config.to_string().as_bytes()),
        ("layer.tar", &layer),
        ("manifest.json", manifest.to_string().as_bytes()),
    ])
}

fn tar(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, *content).with_context(|| format!("failed to add {name}"))?;
    }
    tar.into_inner().context("failed to end an archive")
}
