//! Names of a `ChatCluster` and its objects. An [`ObjectName`] is made here only, so that no other text becomes one.

use std::fmt;

use kube::ResourceExt;

use super::{Component, Invalid};
use crate::crd::{ChatCluster, MAX_NAME};

/// The name of a `ChatCluster`: an RFC 1035 label, short enough for what objects' names add to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterName(String);

impl ClusterName {
    pub fn parse(name: &str) -> Result<Self, Invalid> {
        let fits = (1..=MAX_NAME).contains(&name.len());
        let starts = name.starts_with(|first: char| first.is_ascii_lowercase());
        let ends = !name.ends_with('-');
        if fits && starts && ends && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Ok(Self(name.to_owned()));
        }
        let reason = format!(
            "{name:?} must have at most {MAX_NAME} lower-case letters, digits and hyphens, and start with a letter: \
             Services are named after it"
        );
        Err(Invalid::new("metadata.name", reason))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an object that the operator makes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(String);

impl ObjectName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ObjectName> for String {
    fn from(name: ObjectName) -> Self {
        name.0
    }
}

/// What the objects of one `ChatCluster` are called, and where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectNames {
    pub namespace: String,
    pub cluster: ClusterName,
}

impl ObjectNames {
    pub fn of(cluster: &ChatCluster) -> Result<Self, Invalid> {
        let namespace = cluster.namespace().ok_or_else(|| {
            Invalid::new("metadata.namespace", "is missing: the object does not come from an API server")
        })?;
        Ok(Self { namespace, cluster: ClusterName::parse(&cluster.name_any())? })
    }

    fn with(&self, suffix: &str) -> ObjectName {
        ObjectName(format!("{}-{suffix}", self.cluster))
    }

    /// Deployment, Service, service account, configuration, autoscaler, budget and policy of one component all bear it.
    pub fn component(&self, component: Component) -> ObjectName {
        self.with(component.as_str())
    }

    /// Service of user events.
    pub fn user_events(&self) -> ObjectName {
        self.with("user-events")
    }

    /// Secret that the operator makes once: the key that signs tokens, and the service token.
    pub fn keys(&self) -> ObjectName {
        self.with("keys")
    }

    /// What belongs to no component: Ingress and monitoring.
    pub fn whole(&self) -> ObjectName {
        ObjectName(self.cluster.to_string())
    }

    /// Job that brings the schema up to date. `fingerprint`: of what it runs; a Job cannot be changed, so another one
    /// has another name.
    pub fn migration(&self, fingerprint: &str) -> ObjectName {
        self.with(&format!("migrate-{fingerprint}"))
    }

    /// Network policy for one purpose, such as `default-deny`.
    pub fn policy(&self, purpose: &'static str) -> ObjectName {
        self.with(purpose)
    }

    /// Service whose name stands for the addresses of all of core's pods: gRPC connections live long, so that callers
    /// balance their calls themselves.
    pub fn core_pods(&self) -> ObjectName {
        self.with("core-pods")
    }

    /// Host name of core inside the Kubernetes cluster.
    pub fn core_host(&self) -> String {
        format!("{}.{}.svc", self.component(Component::Core), self.namespace)
    }

    /// Host name of all of core's pods inside the Kubernetes cluster.
    pub fn core_pods_host(&self) -> String {
        format!("{}.{}.svc", self.core_pods(), self.namespace)
    }
}

/// Checks the name of an object that others made.
pub(super) fn object_name(field: &str, name: &str) -> Result<(), Invalid> {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if name.len() <= 253 && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(Invalid::new(field, format!("{name:?} is no name of an object: lower-case letters, digits, '-' and '.'")))
}
