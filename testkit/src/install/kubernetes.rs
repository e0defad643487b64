//! The programs of a Kubernetes cluster, built from the Go modules in `testkit/servers`, and Debian's etcd. Minutes of work
//! the first time, so they are separate from the other servers, and those that only a whole node needs are separate
//! from the API server that tests use.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::go_module::GoModule;
use super::{Progress, debian};

// Compiled in, so that an installed `testkit` binary works without the source tree.
const GO_MOD: &str = include_str!("../../servers/kubernetes/go.mod");
const KUBERNETES: [(&str, &str); 2] = [("go.mod", GO_MOD), ("go.sum", include_str!("../../servers/kubernetes/go.sum"))];
const ADDONS: [(&str, &str); 4] = [
    ("go.mod", include_str!("../../servers/addons/go.mod")),
    ("go.sum", include_str!("../../servers/addons/go.sum")),
    ("coredns/main.go", include_str!("../../servers/addons/coredns/main.go")),
    ("pause/main.go", include_str!("../../servers/addons/pause/main.go")),
];

/// Where the programs around a Kubernetes API server are.
#[derive(Clone, Debug)]
pub struct KubernetesTools {
    pub kube_apiserver: PathBuf,
    pub kubectl: PathBuf,
    pub helm: PathBuf,
    pub etcd: PathBuf,
}

/// What a whole node needs besides.
#[derive(Clone, Debug)]
pub struct NodeTools {
    pub api: KubernetesTools,
    /// kube-controller-manager, kube-scheduler, kubelet, kube-proxy.
    pub components: PathBuf,
    /// coredns, metrics-server, pause.
    pub addons: PathBuf,
    pub containerd: PathBuf,
    pub ctr: PathBuf,
}

fn api() -> Result<GoModule> {
    Ok(GoModule {
        name: "kubernetes",
        label: "kube-apiserver, kubectl and helm",
        oldest_go: (1, 24),
        files: &KUBERNETES,
        programs: &[
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "k8s.io/kubernetes/cmd/kubectl",
            "helm.sh/helm/v3/cmd/helm",
        ],
        linker_flags: linker_flags()?,
    })
}

fn components() -> Result<GoModule> {
    Ok(GoModule {
        name: "kubernetes-node",
        label: "kubelet, kube-proxy, kube-scheduler and kube-controller-manager",
        oldest_go: (1, 24),
        files: &KUBERNETES,
        programs: &[
            "k8s.io/kubernetes/cmd/kubelet",
            "k8s.io/kubernetes/cmd/kube-proxy",
            "k8s.io/kubernetes/cmd/kube-scheduler",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
        ],
        linker_flags: linker_flags()?,
    })
}

fn addons() -> GoModule {
    GoModule {
        name: "kubernetes-addons",
        label: "CoreDNS and metrics-server",
        oldest_go: (1, 26),
        files: &ADDONS,
        programs: &["./coredns", "./pause", "sigs.k8s.io/metrics-server/cmd/metrics-server"],
        linker_flags: "-s -w".to_owned(),
    }
}

pub(super) fn ensure(progress: Progress) -> Result<KubernetesTools> {
    let folder = api()?.ensure(progress)?;
    Ok(KubernetesTools {
        kube_apiserver: folder.join("kube-apiserver"),
        kubectl: folder.join("kubectl"),
        helm: folder.join("helm"),
        etcd: debian::program("etcd")?,
    })
}

pub(super) fn ensure_node(progress: Progress) -> Result<NodeTools> {
    Ok(NodeTools {
        api: ensure(progress)?,
        components: components()?.ensure(progress)?,
        addons: addons().ensure(progress)?,
        containerd: debian::program("containerd")?,
        ctr: debian::program("ctr")?,
    })
}

/// Whether [`ensure_node`] could work here.
pub(super) fn check_node() -> Result<()> {
    api()?.check()?;
    components()?.check()?;
    addons().check()
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
