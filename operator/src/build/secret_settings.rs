//! What each process is told in secret: values as environment variables, PEM as files, each from its one key of a Secret.

use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, KeyToPath, ProjectedVolumeSource, SecretKeySelector, SecretProjection, Volume,
    VolumeProjection,
};

use crate::{
    crd::SecretKeyRef,
    secrets::{PASSWORD, USERNAME},
    validate::{Component, Source, ValidatedCluster},
};

/// Where the files are.
pub(super) const FOLDER: &str = "/etc/chatcluster-secrets";
pub(super) const VOLUME: &str = "secrets";
pub(super) const KAFKA_CA: &str = "/etc/chatcluster-secrets/kafka-ca.pem";
pub(super) const REDIS_CA: &str = "/etc/chatcluster-secrets/redis-ca.pem";
pub(super) const SIGNING_KEY_FILE: &str = "/etc/chatcluster-secrets/signing-key.pem";

/// For the owner and the pod's group.
const MODE: i32 = 0o440;

pub(super) fn environment(cluster: &ValidatedCluster, component: Component) -> Vec<EnvVar> {
    let mut all = vec![service_token(cluster)];
    if let Some((_, secret)) = &cluster.kafka.login {
        let key = |key: &str| SecretKeyRef { name: secret.clone(), key: key.to_owned() };
        all.push(variable("CHATCLUSTER_KAFKA_SASL_USERNAME", &key(USERNAME)));
        all.push(variable("CHATCLUSTER_KAFKA_SASL_PASSWORD", &key(PASSWORD)));
    }
    all.extend(of("CHATCLUSTER_REDIS_URL", &cluster.redis.url));
    if component == Component::Core {
        all.extend(of("CHATCLUSTER_DATABASE_URL", &cluster.database.url));
    }
    all
}

pub(super) fn service_token(cluster: &ValidatedCluster) -> EnvVar {
    variable("CHATCLUSTER_SERVICE_TOKEN", &cluster.auth.service_token)
}

/// `None`: it is in the configuration file.
fn of(name: &str, source: &Source) -> Option<EnvVar> {
    match source {
        Source::Inline(_) => None,
        Source::Secret(reference) => Some(variable(name, reference)),
    }
}

pub(super) fn variable(name: &str, SecretKeyRef { name: secret, key }: &SecretKeyRef) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector { name: secret.clone(), key: key.clone(), optional: None }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

/// The volume of the files, where there are any.
pub(super) fn volume(cluster: &ValidatedCluster, component: Component) -> Option<Volume> {
    let signing_key = (component == Component::Core).then_some(&cluster.auth.signing_key);
    let files =
        [(KAFKA_CA, cluster.kafka.ca.as_ref()), (REDIS_CA, cluster.redis.ca.as_ref()), (SIGNING_KEY_FILE, signing_key)];
    let sources: Vec<_> = files.into_iter().filter_map(|(path, reference)| Some(file(path, reference?))).collect();
    let projected = ProjectedVolumeSource { default_mode: Some(MODE), sources: Some(sources) };
    let is_needed = projected.sources.as_ref().is_some_and(|sources| !sources.is_empty());
    is_needed.then(|| Volume { name: VOLUME.to_owned(), projected: Some(projected), ..Volume::default() })
}

fn file(path: &str, reference: &SecretKeyRef) -> VolumeProjection {
    let path = path.strip_prefix(FOLDER).unwrap_or(path).trim_start_matches('/').to_owned();
    VolumeProjection {
        secret: Some(SecretProjection {
            name: reference.name.clone(),
            items: Some(vec![KeyToPath { key: reference.key.clone(), path, mode: None }]),
            optional: None,
        }),
        ..VolumeProjection::default()
    }
}
