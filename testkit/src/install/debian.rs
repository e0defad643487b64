//! Debian packages: which one brings what, and installing them without starting any service.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use super::Progress;
use super::lock::InstallLock;

/// Something we need and the packages that bring it.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    pub debian: &'static [&'static str],
    /// Programs, or absolute paths of files; all there means that nothing is to be installed.
    brings: &'static [&'static str],
}

pub(super) const REDIS: Package = Package { debian: &["redis-server"], brings: &["redis-server"] };
pub(super) const MARIADB: Package =
    Package { debian: &["mariadb-server"], brings: &["mariadbd", "mariadb-install-db", "mariadb"] };
/// Kafka 4 needs Java 17 or newer.
pub(super) const JAVA: Package = Package { debian: &["openjdk-17-jre-headless"], brings: &["java"] };
pub(super) const MAVEN: Package = Package { debian: &["maven"], brings: &["mvn"] };
pub(super) const ETCD: Package = Package { debian: &["etcd-server"], brings: &["etcd"] };
/// Runs pods.
pub(super) const CONTAINERD: Package =
    Package { debian: &["containerd", "runc"], brings: &["containerd", "ctr", "containerd-shim-runc-v2", "runc"] };
/// Gives pods their addresses.
pub(super) const CNI: Package = Package {
    debian: &["containernetworking-plugins"],
    brings: &["/usr/lib/cni/ptp", "/usr/lib/cni/host-local", "/usr/lib/cni/portmap", "/usr/lib/cni/loopback"],
};
/// kube-proxy and the plugin portmap call it.
pub(super) const IPTABLES: Package = Package { debian: &["iptables"], brings: &["iptables"] };
pub(super) const IPROUTE: Package = Package { debian: &["iproute2"], brings: &["ip"] };
/// Namespaces, mounts.
pub(super) const UTIL_LINUX: Package =
    Package { debian: &["util-linux", "mount"], brings: &["unshare", "nsenter", "setsid", "mount"] };
/// Lets a process believe in another time.
pub(super) const FAKETIME: Package = Package { debian: &["faketime"], brings: &["faketime"] };
/// librdkafka is compiled from source and links OpenSSL.
pub(super) const BUILD: Package = Package {
    debian: &["build-essential", "pkg-config", "libssl-dev"],
    brings: &["cc", "make", "pkg-config", "/usr/include/openssl/ssl.h"],
};

/// `PATH` of an unprivileged user lacks the folders of servers.
const MORE_FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/sbin"];

/// The full path of a program, if it is there.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(MORE_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

pub(super) fn program(name: &str) -> Result<PathBuf> {
    find_program(name).with_context(|| format!("{name} is missing although its package is installed"))
}

fn is_there(package: &Package) -> bool {
    package.brings.iter().all(|what| {
        if what.starts_with('/') {
            Path::new(what).exists() || multiarch_has(what)
        } else {
            find_program(what).is_some()
        }
    })
}

/// Some headers are only in the architecture's own folder.
fn multiarch_has(header: &str) -> bool {
    let tail = header.trim_start_matches("/usr/include/");
    Path::new("/usr/include").join(format!("{}-linux-gnu", std::env::consts::ARCH)).join(tail).exists()
}

/// The Debian packages that are not here, of these.
pub(super) fn missing(packages: &[Package]) -> Vec<&'static str> {
    packages.iter().filter(|package| !is_there(package)).flat_map(|package| package.debian.iter().copied()).collect()
}

/// Whether [`ensure`] could install something here.
pub(super) fn can_install() -> bool {
    find_program("apt-get").is_some() && rustix::process::geteuid().is_root()
}

/// Installs what is missing, or says in one line what a person has to install.
pub(super) fn ensure(packages: &[Package], progress: Progress) -> Result<()> {
    if missing(packages).is_empty() {
        return Ok(());
    }
    let _lock = InstallLock::acquire()?;
    // Looked at again: another process may have installed them while this one waited for the lock.
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !can_install() {
        bail!("missing on this machine: {names} (Debian package names); as root: apt-get install {names}");
    }
    progress(&format!("installing {names}"));
    if install(&missing)?.status.success() {
        return Ok(());
    }
    // A fresh machine has no package lists; one with stale lists asks for versions that are gone.
    progress("refreshing the package lists");
    let update = apt_get(&["update"])?;
    let installed = install(&missing)?;
    if !installed.status.success() {
        bail!("failed to install {names}:\n{}{}", text(&update), text(&installed));
    }
    Ok(())
}

fn install(packages: &[&str]) -> Result<Output> {
    apt_get(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

fn apt_get(args: &[&str]) -> Result<Output> {
    Command::new("apt-get")
        .args(["--quiet", "--option", "DPkg::Lock::Timeout=300"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // invoke-rc.d believes that this is single-user mode and starts no service.
        .env("RUNLEVEL", "1")
        .output()
        .context("failed to run apt-get")
}

fn text(output: &Output) -> String {
    let all = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = all.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
