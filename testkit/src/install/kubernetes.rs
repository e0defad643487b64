//! kube-apiserver, kubectl and helm, built from the Go module that `testkit/servers/kubernetes` describes, and Debian's
//! etcd. Minutes of work the first time, so it is separate from the other servers and says where it is.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::lock::InstallLock;
use super::{Progress, debian, go};

/// Compiled in, so that an installed `testkit` binary works without the source tree.
const GO_MOD: &str = include_str!("../../servers/kubernetes/go.mod");
const GO_SUM: &str = include_str!("../../servers/kubernetes/go.sum");

const PROGRAMS: [&str; 3] =
    ["k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kubectl", "helm.sh/helm/v3/cmd/helm"];

/// Between two lines about how far the build is.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Where the programs around a Kubernetes API server are.
#[derive(Clone, Debug)]
pub struct KubernetesTools {
    pub kube_apiserver: PathBuf,
    pub kubectl: PathBuf,
    pub helm: PathBuf,
    pub etcd: PathBuf,
}

pub(super) fn ensure(progress: Progress) -> Result<KubernetesTools> {
    let cache = super::cache_folder()?;
    // Other versions are another folder, so two checkouts share a cache without a fight.
    let mut hasher = DefaultHasher::new();
    (GO_MOD, GO_SUM, linker_flags()?).hash(&mut hasher);
    let folder = cache.join(format!("kubernetes-{:016x}", hasher.finish()));
    if !folder.exists() {
        let go = go::program()?;
        let _lock = InstallLock::acquire()?;
        if !folder.exists() {
            build(&go, &cache, &folder, progress)?;
        }
    }
    Ok(KubernetesTools {
        kube_apiserver: folder.join("kube-apiserver"),
        kubectl: folder.join("kubectl"),
        helm: folder.join("helm"),
        etcd: debian::program("etcd")?,
    })
}

/// Builds into a temporary folder and renames it: the final folder is complete or not there at all.
fn build(go: &Path, cache: &Path, folder: &Path, progress: Progress) -> Result<()> {
    let work = tempfile::tempdir_in(cache).context("failed to create a folder in the cache")?;
    for (name, text) in [("go.mod", GO_MOD), ("go.sum", GO_SUM)] {
        std::fs::write(work.path().join(name), text).with_context(|| format!("failed to write {name}"))?;
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(go);
        command.arg(arguments[0]).args(&arguments[1..]).current_dir(work.path()).stdin(Stdio::null());
        // A person's go.work must not take part, and without C the programs run on any Linux.
        command.env("GOWORK", "off").env("CGO_ENABLED", "0");
        command
    };
    progress("fetching the Go modules of Kubernetes and Helm");
    let listed = run(&["list", "-deps"]).args(PROGRAMS).output().context("failed to run go list")?;
    if !listed.status.success() {
        bail!("failed to fetch the Go modules:\n{}", String::from_utf8_lossy(&listed.stderr).trim());
    }
    let packages = String::from_utf8_lossy(&listed.stdout).lines().count();
    progress(&format!("building kube-apiserver, kubectl and helm: {packages} Go packages, minutes of work, once"));
    let programs = work.path().join("programs");
    std::fs::create_dir(&programs).context("failed to create the folder of the programs")?;
    let flags = linker_flags()?;
    let mut command = run(&["build", "-v", "-trimpath", "-ldflags", &flags, "-o"]);
    watch(command.arg(&programs).args(PROGRAMS), packages, progress)?;
    std::fs::rename(&programs, folder).with_context(|| format!("failed to move the programs to {}", folder.display()))
}

/// Runs a verbose `go build`, which names each package it compiles on standard error.
fn watch(command: &mut Command, packages: usize, progress: Progress) -> Result<()> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("failed to run go build")?;
    let lines = BufReader::new(child.stderr.take().context("no standard error of go build")?).lines();
    let (mut compiled, mut said, mut reported) = (0_usize, Vec::new(), Instant::now());
    for line in lines {
        let line = line.context("failed to read what go build says")?;
        if line.contains(' ') {
            said.push(line);
        } else {
            compiled += 1;
        }
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            progress(&format!("building kube-apiserver, kubectl and helm: {compiled} of {packages} packages"));
        }
    }
    if !child.wait().context("failed to wait for go build")?.success() {
        bail!("failed to build Kubernetes' programs:\n{}", said[said.len().saturating_sub(20)..].join("\n"));
    }
    Ok(())
}

/// The release process of Kubernetes sets its version like this; a client would see v0.0.0 otherwise, and charts and
/// operators look at it. Taken from go.mod, so that there is one place that names the version.
fn linker_flags() -> Result<String> {
    let version_of = |module: &str| {
        let line = GO_MOD.lines().find_map(|line| line.trim().strip_prefix(module));
        line.map(str::trim).with_context(|| format!("no version of {module} in go.mod"))
    };
    let kubernetes = version_of("k8s.io/kubernetes ")?;
    let helm = version_of("helm.sh/helm/v3 ")?;
    let mut parts = kubernetes.trim_start_matches('v').split('.');
    let (major, minor) = parts.next().zip(parts.next()).context("an odd version of Kubernetes in go.mod")?;
    Ok(format!(
        "-s -w -X k8s.io/component-base/version.gitVersion={kubernetes} \
         -X k8s.io/component-base/version.gitMajor={major} -X k8s.io/component-base/version.gitMinor={minor} \
         -X helm.sh/helm/v3/internal/version.version={helm}"
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_comes_from_go_mod() {
        let flags = super::linker_flags().unwrap();
        assert!(flags.contains("version.gitVersion=v1.") && flags.contains("version.gitMajor=1 "), "{flags}");
        assert!(flags.contains("internal/version.version=v3."), "{flags}");
    }
}
