//! Events: what a person sees at the end of `kubectl describe`.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client, Resource, ResourceExt,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

use crate::{
    crd::{ChatCluster, ChatClusterStatus, ConditionStatus},
    kinds::MANAGER,
};

#[derive(Clone)]
pub(crate) struct Events {
    client: Client,
    reporter: Reporter,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) warning: bool,
    pub(crate) reason: String,
    pub(crate) note: String,
}

impl News {
    pub(crate) fn normal(reason: impl Into<String>, note: impl Into<String>) -> Self {
        Self { warning: false, reason: reason.into(), note: note.into() }
    }

    pub(crate) fn warning(reason: impl Into<String>, note: impl Into<String>) -> Self {
        Self { warning: true, reason: reason.into(), note: note.into() }
    }
}

impl Events {
    pub(crate) fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter { controller: MANAGER.to_owned(), instance: Some(instance.to_owned()) };
        Self { client, reporter }
    }

    /// Best effort: an Event that cannot be written holds nothing up.
    pub(crate) async fn tell(&self, cluster: &ChatCluster, news: &[News]) {
        let about: ObjectReference = cluster.object_ref(&());
        for News { warning, reason, note } in news {
            let cluster = cluster.name_any();
            tracing::info!(cluster, namespace = about.namespace, reason, note, "event");
            let event = Event {
                type_: if *warning { EventType::Warning } else { EventType::Normal },
                reason: reason.clone(),
                note: Some(note.chars().take(1000).collect()),
                action: "Reconcile".to_owned(),
                secondary: None,
            };
            // a recorder of its own: one that remembers would repeat the first note of a reason instead of this one
            let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
            if let Err(error) = recorder.publish(&event, &about).await {
                tracing::warn!(%error, reason, "event not written");
            }
        }
    }
}

/// Conditions that changed are news.
pub(crate) fn of_conditions(before: Option<&ChatClusterStatus>, now: &ChatClusterStatus) -> Vec<News> {
    let changed = now.conditions.iter().filter_map(|condition| {
        let old = before.and_then(|status| status.conditions.iter().find(|old| old.kind == condition.kind));
        let was = old.map(|old| (old.status, old.reason.as_str()));
        let is = (condition.status, condition.reason.as_str());
        let note = || format!("{}: {}", condition.kind, condition.message);
        match (was, is) {
            (Some(was), is) if was == is => None,
            (_, (ConditionStatus::False, reason)) if condition.kind != "Ready" && !is_progress(reason) => {
                Some(News::warning(reason, note()))
            }
            (Some((ConditionStatus::False, _)), (ConditionStatus::True, reason)) => Some(News::normal(reason, note())),
            (_, (ConditionStatus::False, reason)) if condition.kind == "Upgraded" => Some(News::normal(reason, note())),
            _ => None,
        }
    });
    changed.collect()
}

/// False because it is on its way, which is no reason to warn.
fn is_progress(reason: &str) -> bool {
    matches!(reason, "NotCreated" | "Unavailable" | "Migrating" | "UpdatingCore" | "UpdatingWorker" | "UpdatingGateway")
}
