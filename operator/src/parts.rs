//! Core, workers, gateways and the migration as they are now, and what is to be said of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job, core::v1::Pod};
use kube::{Api, ResourceExt, api::ListParams};

use crate::{
    apply::{Applier, Owner},
    build,
    controller::Scope,
    crd::GatewayStatus,
    kinds::Kind,
    observe::{self, Availability},
    rollout::{Found, Migration, Stage},
    status::{About, Finding},
    validate::{Component, UsedBy, ValidatedCluster},
};

/// A failed migration is tried again after so long.
const MIGRATE_AGAIN: Duration = Duration::from_mins(3);
/// Enough to find one that says why.
const PODS_ASKED: u32 = 20;

/// The parts as the watches show them.
pub(crate) struct Parts {
    pub(crate) core: Option<Availability>,
    pub(crate) worker: Option<Availability>,
    pub(crate) gateway: Option<Availability>,
    jobs: BTreeMap<String, (Job, Arc<kube::core::DynamicObject>)>,
}

impl Parts {
    pub(crate) fn look(scope: &Scope, valid: &ValidatedCluster, owner: &Owner) -> Self {
        let part = |component: Component| {
            let name = valid.objects.component(component);
            let object = scope.caches.get(Kind::Deployment, &owner.namespace, name.as_str())?;
            observe::typed::<Deployment>(&object).map(|deployment| Availability::of(&deployment))
        };
        let jobs = scope.caches.of_cluster(Kind::Job, &owner.namespace, &owner.name);
        let jobs =
            jobs.into_iter().filter_map(|object| Some((object.name_any(), (observe::typed::<Job>(&object)?, object))));
        Self {
            core: part(Component::Core),
            worker: part(Component::Worker),
            gateway: part(Component::Gateway),
            jobs: jobs.collect(),
        }
    }

    /// Pods know better than their Deployment why they do not start. Asked only while some are missing.
    pub(crate) async fn ask_pods(&mut self, scope: &Scope, valid: &ValidatedCluster) {
        let parts = [
            (Component::Core, &mut self.core),
            (Component::Worker, &mut self.worker),
            (Component::Gateway, &mut self.gateway),
        ];
        for (component, part) in parts {
            let Some(part) = part.as_mut().filter(|part| !part.rolled_out && part.replicas > 0) else { continue };
            let api: Api<Pod> = Api::namespaced(scope.shared.client.clone(), &valid.objects.namespace);
            match api.list(&ListParams::default().labels(&selector(valid, component)).limit(PODS_ASKED)).await {
                Ok(pods) => part.complaint = observe::pods_complaint(&pods.items).or(part.complaint.take()),
                Err(error) => tracing::debug!(%error, "pods not read"),
            }
        }
    }

    pub(crate) fn found(&self) -> Found {
        let running = |part: &Option<Availability>| part.as_ref().map(Availability::running);
        Found { core: running(&self.core), worker: running(&self.worker), gateway: running(&self.gateway) }
    }

    /// Why the part that an upgrade is at does not get on, if it says so.
    pub(crate) fn complaint(&self, stage: Stage) -> Option<&str> {
        let part = match stage {
            Stage::UpdatingCore => &self.core,
            Stage::UpdatingWorker => &self.worker,
            Stage::UpdatingGateway => &self.gateway,
            Stage::Migrating | Stage::Done => return None,
        };
        part.as_ref()?.complaint.as_deref()
    }

    /// A migration other than `job` that has not ended: it must not be cut off, a schema half-way is no schema.
    pub(crate) fn is_migrating_otherwise(&self, job: &str) -> bool {
        self.jobs.iter().any(|(name, (found, _))| name != job && observe::migration(Some(found)) == Migration::Running)
    }

    pub(crate) fn migration(&self, job: &str) -> Migration {
        observe::migration(self.jobs.get(job).map(|(job, _)| job))
    }
}

/// Deletes a Job that failed some time ago; the next pass makes it again.
pub(crate) async fn retry_migration(scope: &Scope, owner: &Owner, parts: &Parts, job: &str) -> bool {
    let Some((failed, object)) = parts.jobs.get(job) else { return false };
    let Some(at) = observe::failed_at(failed) else { return false };
    if Timestamp::now().duration_since(at).as_secs() < i64::try_from(MIGRATE_AGAIN.as_secs()).unwrap_or(i64::MAX) {
        return false;
    }
    Applier::new(scope, owner).delete(Kind::Job, object).await.is_ok()
}

pub(crate) fn component(valid: &ValidatedCluster, about: About, found: Option<&Availability>) -> Finding {
    if found.is_none() && !valid.missing_secrets.is_empty() {
        let missing: BTreeSet<String> = valid.missing_secrets.iter().map(|(_, missing)| missing.to_string()).collect();
        let missing: Vec<String> = missing.into_iter().collect();
        return Finding::no(
            about,
            "SecretMissing",
            format!("the Deployment is made once they are there: {}", missing.join("; ")),
        );
    }
    observe::availability(about, found)
}

pub(crate) fn database(
    valid: &ValidatedCluster,
    migration: &Migration,
    core: Option<&Availability>,
    job: &str,
) -> Finding {
    let missing = valid.missing_secrets.iter().find(|(by, _)| *by == UsedBy::Database);
    match missing {
        Some((_, missing)) => Finding::no(About::DatabaseReady, "SecretMissing", missing.to_string()),
        None => observe::database(migration, core, job),
    }
}

pub(crate) fn gateway(found: &Availability, valid: &ValidatedCluster) -> GatewayStatus {
    GatewayStatus {
        replicas: found.replicas,
        ready: format!("{}/{}", found.ready, found.wanted),
        selector: selector(valid, Component::Gateway),
    }
}

/// The pods of a component, as `kubectl get pods -l` takes them.
fn selector(valid: &ValidatedCluster, component: Component) -> String {
    let labels = build::metadata::selector(valid, Some(component.as_str()));
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.join(",")
}
