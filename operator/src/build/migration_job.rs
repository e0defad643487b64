//! The Job that brings the database's schema up to date before core of that version runs.
//!
//! A Job's pods cannot be changed, so its name carries a fingerprint of them: another version, image, database or
//! password makes another Job, and one that failed for a wrong password is tried again when it is right.

use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{Container, EnvVar, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    metadata::{self, MIGRATION},
    pod_template, secret_settings,
};
use crate::validate::{Component, Source, ValidatedCluster, fingerprint};

const DATABASE_URL: &str = "CHATCLUSTER_DATABASE_URL";
/// Pods tried, ten seconds to six minutes apart: about a quarter of an hour.
const RETRIES: i32 = 6;
/// A migration of a large table takes its time; one that hangs must not for ever.
const DEADLINE_SECONDS: i64 = 6 * 3600;

pub fn build(cluster: &ValidatedCluster, version: &str) -> Job {
    let template = template(cluster, version);
    let fingerprint = fingerprint(what_it_does(&template).iter().map(String::as_str));
    let name = cluster.objects.migration(fingerprint.get(..10).unwrap_or(&fingerprint));
    let mut object = metadata::object_meta(cluster, name, None);
    object.labels = Some(metadata::with_version(metadata::labels(cluster, Some(MIGRATION)), version));
    Job {
        metadata: object,
        spec: Some(JobSpec {
            active_deadline_seconds: Some(DEADLINE_SECONDS),
            backoff_limit: Some(RETRIES),
            template,
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// What makes it another migration: the image and the database. Resources or labels of pods do not, and must not end one
/// that runs.
fn what_it_does(template: &PodTemplateSpec) -> Vec<String> {
    let containers = || template.spec.iter().flat_map(|pod| &pod.containers);
    let variables = containers().flat_map(|container| container.env.iter().flatten());
    let url = variables.filter(|variable| variable.name == DATABASE_URL).map(|variable| format!("{variable:?}"));
    let images = containers().filter_map(|container| container.image.clone());
    let annotations = template.metadata.iter().filter_map(|metadata| metadata.annotations.as_ref());
    let secret = annotations.filter_map(|annotations| annotations.get(pod_template::SECRETS_HASH).cloned());
    images.chain(url).chain(secret).collect()
}

fn template(cluster: &ValidatedCluster, version: &str) -> PodTemplateSpec {
    let url = match &cluster.database.url {
        Source::Inline(url) => EnvVar { name: DATABASE_URL.to_owned(), value: Some(url.clone()), ..EnvVar::default() },
        Source::Secret(reference) => secret_settings::variable(DATABASE_URL, reference),
    };
    let container = Container {
        name: MIGRATION.to_owned(),
        image: Some(pod_template::image(cluster, Component::Core, version)),
        image_pull_policy: Some(pod_template::pull_policy(cluster)),
        args: Some(["--migrate-only", "--log-format=json"].map(str::to_owned).to_vec()),
        // core wants its service token whatever it does
        env: Some(vec![url, secret_settings::service_token(cluster)]),
        resources: Some(pod_template::resources(&cluster.core.pods.resources)),
        ..Container::default()
    };
    let pods = &cluster.core.pods;
    let mut spec = pod_template::hardened(cluster, Component::Core, pods, container);
    // failed pods stay, and with them their logs
    spec.restart_policy = Some("Never".to_owned());
    let mut labels = pods.labels.clone();
    labels.extend(metadata::with_version(metadata::labels(cluster, Some(MIGRATION)), version));
    let mut annotations = pods.annotations.clone();
    annotations.insert(pod_template::SECRETS_HASH.to_owned(), cluster.secret_hashes.database.clone());
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() }),
        spec: Some(spec),
    }
}
