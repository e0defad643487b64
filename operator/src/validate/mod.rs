//! Spec and Secrets in, [`ValidatedCluster`] out: everything is parsed here, once, into types that later steps believe.
//!
//! The API server has checked most of it already; a definition from before a rule, or a server without these rules,
//! has not, so nothing is taken for granted. A Secret that is missing is no mistake of the manifest: it is noted, and
//! what depends on it is absent.

mod address;
mod auth;
mod autoscaling;
mod component;
mod database;
mod gateway;
mod gateway_limits;
mod kafka;
mod metadata;
mod names;
mod quantity;
mod redis;
mod secret_use;
#[cfg(test)]
pub(crate) mod tests;
mod topics;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

pub(crate) use self::secret_use::fingerprint;
pub use self::{
    address::HostPort,
    auth::{Auth, KeySet},
    autoscaling::{Autoscaling, Scaling},
    component::{Component, Core, Pods, Resources, Worker},
    database::Database,
    gateway::{Gateway, Ingress},
    gateway_limits::GatewayLimits,
    kafka::{Kafka, KafkaConnection, claimed_topics},
    names::{ClusterName, ObjectName, ObjectNames},
    quantity::{Quantity, QuantityError},
    redis::Redis,
    secret_use::{SecretHashes, Source, UsedBy},
};
use crate::{
    crd::{ChatCluster, DeletionPolicy, FanoutSpec, PullPolicy},
    secrets::{Missing, Secrets},
};

/// Why a manifest cannot be worked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// Path of the field, such as `spec.kafka.prefix`.
    pub field: String,
    pub reason: String,
}

impl Invalid {
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

/// A `ChatCluster` that makes sense.
#[derive(Debug, Clone)]
pub struct ValidatedCluster {
    /// Namespace, name, and the names of its objects.
    pub objects: ObjectNames,
    /// For the objects: controller, and blocking the owner's deletion.
    pub owner: OwnerReference,
    pub generation: i64,
    pub paused: bool,
    pub deletion_policy: DeletionPolicy,
    /// Image tag that is asked for; what runs now is up to the rollout.
    pub version: String,
    pub images: Images,
    pub kafka: Kafka,
    pub redis: Redis,
    pub database: Database,
    /// How long rows of the outbox stay for an external relay; `None`: core publishes them.
    pub outbox_keep: Option<String>,
    pub fanout: FanoutSpec,
    pub auth: Auth,
    pub core: Core,
    pub worker: Worker,
    pub gateway: Gateway,
    /// Deny all traffic but the edges that are needed?
    pub network_policy: bool,
    /// Labels of the monitoring objects; `None`: none are made.
    pub monitoring: Option<BTreeMap<String, String>>,
    pub logging: Logging,
    /// What pods and operator need of Secrets and is not there. While this is not empty, pods cannot start.
    pub missing_secrets: Vec<(UsedBy, Missing)>,
    pub secret_hashes: SecretHashes,
}

/// Where images come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    pub registry: String,
    pub pull_policy: PullPolicy,
    /// Names of Secrets.
    pub pull_secrets: Vec<String>,
}

/// What the processes log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    pub level: String,
    pub otlp: Option<Otlp>,
}

/// Where traces go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otlp {
    pub url: String,
    pub address: HostPort,
}

/// Parses `cluster` with what was read of the Secrets it names and of the one that the operator makes.
pub fn validate(cluster: &ChatCluster, secrets: &Secrets) -> Result<ValidatedCluster, Invalid> {
    let spec = &cluster.spec;
    let objects = ObjectNames::of(cluster)?;
    let owner = cluster
        .controller_owner_ref(&())
        .map(|owner| OwnerReference { block_owner_deletion: Some(true), ..owner })
        .ok_or_else(|| Invalid::new("metadata.uid", "is missing: the object does not come from an API server"))?;
    let mut used = secret_use::SecretUse::new(secrets);
    let kafka = kafka::kafka(&spec.kafka, &mut used)?;
    let redis = redis::redis(&spec.redis, &mut used)?;
    let database = database::database(&spec.database, &mut used)?;
    let auth = auth::auth(&spec.auth, &objects, &mut used)?;
    let (missing_secrets, secret_hashes) = used.finish();
    Ok(ValidatedCluster {
        owner,
        generation: cluster.metadata.generation.unwrap_or_default(),
        paused: spec.paused,
        deletion_policy: spec.deletion_policy,
        version: version(&spec.version)?,
        images: images(spec)?,
        kafka,
        redis,
        database,
        outbox_keep: database::outbox_keep(&spec.outbox)?,
        fanout: fanout(&spec.fanout)?,
        auth,
        core: component::core(&spec.core)?,
        worker: component::worker(&spec.worker)?,
        gateway: gateway::gateway(&spec.gateway)?,
        network_policy: spec.network_policy.enabled,
        monitoring: monitoring(spec)?,
        logging: logging(spec)?,
        missing_secrets,
        secret_hashes,
        objects,
    })
}

/// A comma would make two names of one where the gateways read the list.
fn fanout(spec: &FanoutSpec) -> Result<FanoutSpec, Invalid> {
    match spec.open_rooms.iter().position(|name| name.is_empty() || name.contains([',', ' '])) {
        None => Ok(spec.clone()),
        Some(index) => Err(Invalid::new(format!("spec.fanout.openRooms[{index}]"), "is no name of a room")),
    }
}

fn version(text: &str) -> Result<String, Invalid> {
    let mut bytes = text.bytes();
    let starts = bytes.next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'_');
    if !starts || text.len() > 128 || !bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return Err(Invalid::new("spec.version", format!("{text:?} cannot be the tag of an image")));
    }
    Ok(text.to_owned())
}

fn images(spec: &crate::crd::ChatClusterSpec) -> Result<Images, Invalid> {
    let image = &spec.image;
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/:".contains(&byte);
    let registry = &image.registry;
    if registry.is_empty() || registry.ends_with('/') || !registry.bytes().all(is_part) {
        let reason =
            format!("{registry:?} is no registry; write one such as ghcr.io/chatcluster, without a slash at its end");
        return Err(Invalid::new("spec.image.registry", reason));
    }
    let pull_secrets = image.pull_secrets.iter().enumerate().map(|(index, secret)| {
        names::object_name(&format!("spec.image.pullSecrets[{index}].name"), &secret.name)?;
        Ok(secret.name.clone())
    });
    Ok(Images {
        registry: registry.clone(),
        pull_policy: image.pull_policy,
        pull_secrets: pull_secrets.collect::<Result<_, Invalid>>()?,
    })
}

fn monitoring(spec: &crate::crd::ChatClusterSpec) -> Result<Option<BTreeMap<String, String>>, Invalid> {
    let labels = &spec.monitoring.labels;
    metadata::labels("spec.monitoring.labels", labels)?;
    Ok(spec.monitoring.enabled.then(|| labels.clone()))
}

fn logging(spec: &crate::crd::ChatClusterSpec) -> Result<Logging, Invalid> {
    let level = chatcluster_service::config::log_directives(&spec.logging.level)
        .map_err(|reason| Invalid::new("spec.logging.level", reason))?;
    let otlp = spec.logging.otlp_endpoint.as_ref().map(|url| {
        let address = address::http(url).map_err(|reason| Invalid::new("spec.logging.otlpEndpoint", reason))?;
        Ok(Otlp { url: url.clone(), address })
    });
    Ok(Logging { level, otlp: otlp.transpose()? })
}
