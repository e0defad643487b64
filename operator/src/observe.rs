//! What the objects that are there say: which versions run, how many pods are available, how far the migration is. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job, core::v1::Pod};
use kube::core::DynamicObject;

use crate::{
    build::metadata::VERSION_LABEL,
    crd::ConditionStatus,
    rollout::{Migration, Running},
    status::{About, Finding},
};

/// Typed again. An object of ours that the type does not fit is as good as none: it will be applied anew.
pub(crate) fn typed<K: serde::de::DeserializeOwned>(object: &DynamicObject) -> Option<K> {
    serde_json::to_value(object).and_then(serde_json::from_value).ok()
}

/// How a deployment does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Availability {
    pub(crate) version: String,
    pub(crate) wanted: i32,
    pub(crate) replicas: i32,
    pub(crate) ready: i32,
    pub(crate) available: i32,
    /// All pods are of the Deployment's template.
    pub(crate) updated: bool,
    pub(crate) rolled_out: bool,
    /// What Kubernetes says of why it does not get on.
    pub(crate) complaint: Option<String>,
}

impl Availability {
    pub(crate) fn of(deployment: &Deployment) -> Self {
        let spec = deployment.spec.clone().unwrap_or_default();
        let status = deployment.status.clone().unwrap_or_default();
        let version = version(deployment).unwrap_or_default();
        let wanted = spec.replicas.unwrap_or(1);
        let is_seen = status.observed_generation >= deployment.metadata.generation;
        let updated = status.updated_replicas.unwrap_or(0);
        let (replicas, available) = (status.replicas.unwrap_or(0), status.available_replicas.unwrap_or(0));
        let complaint = status.conditions.iter().flatten().find_map(|condition| {
            let stuck = condition.type_ == "Progressing" && condition.status == "False";
            let refused = condition.type_ == "ReplicaFailure" && condition.status == "True";
            (stuck || refused).then(|| condition.message.clone().unwrap_or_default())
        });
        Self {
            version,
            wanted,
            replicas,
            ready: status.ready_replicas.unwrap_or(0),
            available,
            updated: is_seen && updated >= wanted && replicas == updated,
            rolled_out: is_seen && updated >= wanted && replicas == updated && available >= wanted,
            complaint,
        }
    }

    pub(crate) fn running(&self) -> Running {
        Running { version: self.version.clone(), updated: self.updated, rolled_out: self.rolled_out }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.available >= self.wanted
    }

    /// Half of the pods carry the load while the others start.
    fn is_enough(&self) -> bool {
        self.available > 0 && self.available * 2 >= self.wanted
    }

    pub(crate) fn finding(&self, about: About) -> Finding {
        let count = format!("{} of {} pods available", self.available, self.wanted);
        if self.is_whole() {
            return Finding::yes(about, "Available", count);
        }
        let message = match &self.complaint {
            Some(complaint) => format!("{count}: {complaint}"),
            None => format!("{count}; `kubectl describe pods` says what holds the others up"),
        };
        if self.is_enough() {
            return Finding::yes(about, "SomeUnavailable", message);
        }
        Finding::no(about, "Unavailable", message)
    }
}

/// The version stands in three places, and a hand may have changed one of them: two that agree are right.
fn version(deployment: &Deployment) -> Option<String> {
    let template = &deployment.spec.as_ref()?.template;
    let image = template.spec.as_ref()?.containers.first()?.image.as_deref()?;
    let tag = image.rsplit_once(':').map(|(_, tag)| tag.to_owned());
    let label = |labels: Option<&BTreeMap<String, String>>| labels?.get(VERSION_LABEL).cloned();
    let (own, pods) = (label(deployment.metadata.labels.as_ref()), label(template.metadata.as_ref()?.labels.as_ref()));
    if own.is_some() && own == pods { own } else { tag }
}

/// Why a pod does not start, in its own words: not scheduled, no image, crashing.
pub(crate) fn pods_complaint(pods: &[Pod]) -> Option<String> {
    pods.iter().find_map(|pod| {
        let (name, status) = (pod.metadata.name.as_deref().unwrap_or_default(), pod.status.as_ref()?);
        let waiting = status.container_statuses.iter().flatten().find_map(|container| {
            let waiting = container.state.as_ref()?.waiting.as_ref()?;
            let reason = waiting.reason.as_deref().filter(|reason| !STARTING.contains(reason))?;
            let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
            let ended = ended.map(|ended| format!(", it ended with code {}", ended.exit_code)).unwrap_or_default();
            let message = waiting.message.as_deref().unwrap_or_default();
            Some(format!("pod {name}: {reason}{ended} {message}").trim_end().to_owned())
        });
        let unscheduled = status.conditions.iter().flatten().find_map(|condition| {
            let is = condition.type_ == "PodScheduled" && condition.status == "False";
            is.then(|| format!("pod {name} is not scheduled: {}", condition.message.as_deref().unwrap_or_default()))
        });
        waiting.or(unscheduled)
    })
}

/// What a pod waits for on a good day.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// A deployment that is not there, or how it does.
pub(crate) fn availability(about: About, found: Option<&Availability>) -> Finding {
    match found {
        Some(found) => found.finding(about),
        None => Finding::no(about, "NotCreated", "the Deployment does not exist yet"),
    }
}

pub(crate) fn migration(job: Option<&Job>) -> Migration {
    let Some(job) = job else { return Migration::NotStarted };
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    for condition in conditions.filter(|condition| condition.status == "True") {
        match condition.type_.as_str() {
            "Complete" => return Migration::Done,
            "Failed" => return Migration::Failed(condition.message.clone().unwrap_or_default()),
            _ => {}
        }
    }
    Migration::Running
}

/// When the Job failed for good.
pub(crate) fn failed_at(job: &Job) -> Option<jiff::Timestamp> {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut failed = conditions.filter(|condition| condition.type_ == "Failed" && condition.status == "True");
    failed.next().and_then(|condition| condition.last_transition_time.as_ref()).map(|time| time.0)
}

/// The database, as the migration and core see it: the operator itself does not speak to it.
pub(crate) fn database(migration: &Migration, core: Option<&Availability>, job: &str) -> Finding {
    let about = About::DatabaseReady;
    match migration {
        Migration::Done => Finding::yes(about, "Migrated", "the schema is up to date"),
        Migration::Failed(why) => Finding::no(
            about,
            "MigrationFailed",
            format!("Job {job} failed ({why}); `kubectl logs job/{job}` says why; it is tried again every few minutes"),
        ),
        // an upgrade's migration is under way, and core serves meanwhile
        _ if core.is_some_and(|core| core.available > 0) => {
            Finding::yes(about, "Migrating", format!("Job {job} brings the schema up to date"))
        }
        _ => Finding {
            about,
            status: ConditionStatus::Unknown,
            reason: "Migrating",
            message: format!("Job {job} has not finished yet"),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(generation: i64, observed: i64, numbers: [i32; 5]) -> Availability {
        let [wanted, replicas, updated, ready, available] = numbers;
        let object = json!({
            "metadata": {"name": "x", "generation": generation},
            "spec": {"replicas": wanted, "selector": {}, "template": {"metadata": {}, "spec": {"containers": [{"name": "core", "image": "r:5000/a/core:1.2"}]}}},
            "status": {"observedGeneration": observed, "replicas": replicas, "updatedReplicas": updated, "readyReplicas": ready, "availableReplicas": available},
        });
        Availability::of(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn rolled_out_means_all_of_them_seen_new_and_available() {
        assert!(deployment(2, 2, [2, 2, 2, 2, 2]).rolled_out);
        assert!(!deployment(3, 2, [2, 2, 2, 2, 2]).rolled_out, "the change was not seen yet");
        assert!(!deployment(2, 2, [2, 3, 2, 3, 3]).rolled_out, "an old pod is left");
        assert!(!deployment(2, 2, [2, 2, 2, 1, 1]).rolled_out);
        assert_eq!(deployment(2, 2, [2, 2, 2, 2, 2]).version, "1.2");
    }

    #[test]
    fn half_of_the_pods_are_enough_and_none_are_not() {
        let status = |numbers| deployment(1, 1, numbers).finding(About::CoreAvailable).status;
        assert_eq!(status([2, 2, 2, 2, 2]), ConditionStatus::True);
        assert_eq!(status([2, 2, 2, 1, 1]), ConditionStatus::True);
        assert_eq!(status([3, 3, 3, 1, 1]), ConditionStatus::False);
        assert_eq!(status([1, 1, 1, 0, 0]), ConditionStatus::False);
    }

    #[test]
    fn a_pod_says_why_it_does_not_start() {
        let pod = |status: serde_json::Value| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap()
        };
        let waiting = |reason: &str| {
            json!({"containerStatuses": [{"name": "core", "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"waiting": {"reason": reason, "message": "why"}}}]})
        };
        assert_eq!(pods_complaint(&[pod(waiting("ContainerCreating"))]), None);
        let told = pods_complaint(&[pod(json!({})), pod(waiting("ImagePullBackOff"))]);
        assert_eq!(told.as_deref(), Some("pod p: ImagePullBackOff why"));
        let unscheduled = json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node"}]});
        assert_eq!(pods_complaint(&[pod(unscheduled)]).as_deref(), Some("pod p is not scheduled: no node"));
    }

    #[test]
    fn a_job_is_done_failed_or_running() {
        let job = |conditions: serde_json::Value| -> Job {
            serde_json::from_value(json!({"metadata": {}, "status": {"conditions": conditions}})).unwrap()
        };
        assert_eq!(migration(None), Migration::NotStarted);
        assert_eq!(migration(Some(&job(json!([])))), Migration::Running);
        assert_eq!(migration(Some(&job(json!([{"type": "Complete", "status": "True"}])))), Migration::Done);
        let failed = job(json!([{"type": "Failed", "status": "True", "message": "why"}]));
        assert_eq!(migration(Some(&failed)), Migration::Failed("why".into()));
    }
}
