//! The node's network: a cable between this machine and the node's own network namespace, and the plugins that connect
//! pods to it.
//!
//! Pods are connected point to point and everything between them is routed, so that Services work without the kernel's
//! bridge netfilter.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::layout::{ADDRESS, CABLE, CLIENTS, INTERFACE, Layout, OUTSIDE, PODS, SERVICES};

/// The file that containerd reads. Leases are in memory: they end with the pods.
pub(super) fn write_plugins(layout: &Layout) -> Result<()> {
    let document = json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni-leases",
                    "ranges": [[{"subnet": PODS}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    layout.write("cni/10-pods.conflist", &document.to_string()).map(drop)
}

/// Lays the cable into the network of this process. `state` is written on it, so that nobody else takes it away.
pub(super) fn connect(state: &Path, pid: u32) -> Result<()> {
    ip(None, &format!("link add {CABLE} type veth peer name {INTERFACE} netns {pid}"))?;
    let outside = format!(
        "link set {CABLE} alias {}\naddress add {OUTSIDE}/30 dev {CABLE}\nlink set {CABLE} up\n",
        state.display()
    );
    ip(None, &outside)?;
    // Calls from beside the pods to a Service need some route before kube-proxy's rules can turn them to a pod.
    let inside = format!(
        "link set lo up\naddress add {ADDRESS}/30 dev {INTERFACE}\nlink set {INTERFACE} up\n\
         route add {SERVICES} dev {INTERFACE}\nroute add local {}.{}.0.0/16 dev lo\n",
        CLIENTS.0, CLIENTS.1
    );
    ip(Some(pid), &inside)
}

/// Settings of the network of the calling process, which is the node's first.
pub(super) fn configure_from_within() -> Result<()> {
    for (setting, value) in [("ip_forward", "1"), ("conf/all/rp_filter", "0"), ("conf/default/rp_filter", "0")] {
        let path = format!("/proc/sys/net/ipv4/{setting}");
        std::fs::write(&path, value).with_context(|| format!("failed to set {path}"))?;
    }
    Ok(())
}

/// Takes the cable away, if it is of the node with this folder. From inside the node's network it cannot be reached; there
/// it goes with the network, once the last process in it, which is this one, has ended.
pub(super) fn disconnect(state: &Path) -> Result<()> {
    if owner()?.as_deref() == Some(state.to_string_lossy().as_ref()) && is_here()? {
        ip(None, &format!("link delete {CABLE}"))?;
    }
    Ok(())
}

/// `/sys` shows the network of whoever mounted it, `ip` that of this process.
fn is_here() -> Result<bool> {
    let mut looking = Command::new("ip");
    looking.args(["link", "show", "dev", CABLE]).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(looking.status().context("failed to run ip")?.success())
}

/// The folder of the node that runs on this machine.
pub(super) fn owner() -> Result<Option<String>> {
    let alias = Path::new("/sys/class/net").join(CABLE).join("ifalias");
    match std::fs::read_to_string(&alias) {
        Ok(alias) => Ok(Some(alias.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("failed to look at the cable to the node"),
    }
}

/// Whether the addresses are free on this machine.
pub(super) fn check() -> Result<()> {
    for address in [ADDRESS, OUTSIDE] {
        let output = Command::new("ip").args(["-4", "route", "show", "match", &address.to_string()]).output();
        let Ok(output) = output else { return Ok(()) };
        let routes = String::from_utf8_lossy(&output.stdout).into_owned();
        let taken = routes.lines().find(|route| !route.starts_with("default") && !route.starts_with("0.0.0.0/1 "));
        ensure!(
            taken.is_none(),
            "the node's address {address} is in use on this machine: {}",
            taken.unwrap_or_default()
        );
    }
    Ok(())
}

/// Runs lines of `ip`, here or in the network of a process.
fn ip(pid: Option<u32>, lines: &str) -> Result<()> {
    let mut command = match pid {
        Some(pid) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net=/proc/{pid}/ns/net")).args(["--", "ip"]);
            command
        }
        None => Command::new("ip"),
    };
    let command = command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("failed to run ip")?;
    let mut stdin = child.stdin.take().context("ip without a standard input")?;
    stdin.write_all(lines.as_bytes()).and_then(|()| stdin.write_all(b"\n")).context("failed to tell ip what to do")?;
    drop(stdin);
    let output = child.wait_with_output().context("failed to wait for ip")?;
    if !output.status.success() {
        bail!("failed to set up the node's network: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
