//! containerd with its CRI plugin, and runc.

use std::path::Path;

use anyhow::Result;

use super::daemon::Daemon;
use super::images::PAUSE;
use super::layout::{Layout, inside};

/// As its clients in the node see it.
pub(super) fn socket() -> String {
    inside("containerd.sock")
}

pub(super) fn daemon(program: &Path, layout: &Layout) -> Result<Daemon> {
    let socket = socket();
    let networks = inside("cni");
    // restrict_oom_score_adj: without CAP_SYS_RESOURCE, as in many virtual machines, runc cannot lower a process's
    // score, and ends with "can't get final child's PID from pipe".
    let text = format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]

[grpc]
address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{networks}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"#
    );
    let config = layout.write("containerd.toml", &text)?;
    Ok(Daemon::installed(program, "containerd", &[("config", config), ("log-level", "warn".into())]))
}
