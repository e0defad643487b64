//! Makes what is there what should be there: server-side apply of what differs, and removal of what is no longer wanted.
//! An object that is as it should be costs no call.

mod diff;
mod replicas;

use std::{collections::BTreeMap, sync::Arc};

use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
    core::DynamicObject,
};
use serde_json::Value;

use crate::{
    caches::Caches,
    controller::Scope,
    crd::ChatCluster,
    kinds::{CLUSTER_LABEL, Kind, MANAGER, Object},
};

/// Whose objects these are.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Owner {
    pub(crate) fn of(cluster: &ChatCluster) -> Self {
        Self {
            namespace: cluster.namespace().unwrap_or_default(),
            name: cluster.name_any(),
            uid: cluster.uid().unwrap_or_default(),
        }
    }
}

/// What was done to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Created,
    /// The first field that was not as declared; the annotation with the hash, when something is no longer declared.
    Updated(String),
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) change: Change,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error("{kind:?} {name} exists and belongs to somebody else: rename or delete it")]
    Taken { kind: Kind, name: String },
    #[error("{kind:?} {name} of an earlier ChatCluster of this name is still being deleted")]
    Leftover { kind: Kind, name: String },
    #[error("failed to read {kind:?} {name}: {source}")]
    Read { kind: Kind, name: String, source: kube::Error },
    #[error("failed to apply {kind:?} {name}: {source}")]
    Write { kind: Kind, name: String, source: kube::Error },
    #[error("failed to delete {kind:?} {name}: {source}")]
    Delete { kind: Kind, name: String, source: kube::Error },
}

/// What one pass did, and what it could not do. One refused object does not hold up the others.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) changed: Vec<Changed>,
    pub(crate) errors: Vec<ApplyError>,
}

pub(crate) struct Applier<'a> {
    pub(crate) client: &'a Client,
    pub(crate) caches: &'a Caches,
    pub(crate) owner: &'a Owner,
    /// Replicas that a Deployment starts with when an autoscaler will decide, by the Deployment's name.
    pub(crate) initial_replicas: BTreeMap<String, i32>,
    /// Kinds outside Kubernetes that this cluster knows.
    pub(crate) optional: Vec<Kind>,
}

impl std::fmt::Debug for Applier<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applier").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl<'a> Applier<'a> {
    /// Without an autoscaler and without kinds outside Kubernetes.
    pub(crate) fn new(scope: &'a Scope, owner: &'a Owner) -> Self {
        Self {
            client: &scope.shared.client,
            caches: &scope.caches,
            owner,
            initial_replicas: BTreeMap::new(),
            optional: Vec::new(),
        }
    }

    /// Applies `wanted` and removes what else is there, except of the kinds in `kept`.
    pub(crate) async fn run(&self, wanted: Vec<Object>, kept: &[Kind]) -> Applied {
        let mut applied = Applied::default();
        let mut optional: BTreeMap<Kind, Vec<Arc<DynamicObject>>> = BTreeMap::new();
        for kind in &self.optional {
            match self.list(*kind).await {
                Ok(found) => drop(optional.insert(*kind, found)),
                Err(error) => applied.errors.push(error),
            }
        }
        let mut names: Vec<(Kind, String)> = Vec::with_capacity(wanted.len());
        for object in wanted {
            if object.kind.is_optional() && !optional.contains_key(&object.kind) {
                continue;
            }
            let (kind, name) = (object.kind, object.name().to_owned());
            names.push((kind, name.clone()));
            let live = match optional.get(&kind) {
                Some(found) => found.iter().find(|live| live.name_any() == name).cloned(),
                None => self.caches.get(kind, &self.owner.namespace, &name),
            };
            match self.one(object, live).await {
                Ok(None) => {}
                Ok(Some(change)) => applied.changed.push(Changed { kind, name, change }),
                Err(error) => applied.errors.push(error),
            }
        }
        for kind in Kind::ALL.into_iter().filter(|kind| !kept.contains(kind)) {
            let found = match optional.remove(&kind) {
                Some(found) => found,
                None => self.caches.of_cluster(kind, &self.owner.namespace, &self.owner.name),
            };
            for live in found {
                let name = live.name_any();
                if names.contains(&(kind, name.clone()))
                    || live.metadata.deletion_timestamp.is_some()
                    || !self.owns(&live)
                {
                    continue;
                }
                match self.delete(kind, &live).await {
                    Ok(()) => applied.changed.push(Changed { kind, name, change: Change::Deleted }),
                    Err(error) => applied.errors.push(error),
                }
            }
        }
        applied
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.owner.namespace, &kind.api())
    }

    pub(crate) fn owns(&self, object: &DynamicObject) -> bool {
        object.owner_references().iter().any(|owner| owner.uid == self.owner.uid)
    }

    async fn list(&self, kind: Kind) -> Result<Vec<Arc<DynamicObject>>, ApplyError> {
        let selector = ListParams::default().labels(&format!("{CLUSTER_LABEL}={}", self.owner.name));
        let found = self.api(kind).list(&selector).await;
        let found = found.map_err(|source| ApplyError::Read { kind, name: String::new(), source })?;
        Ok(found.items.into_iter().map(Arc::new).collect())
    }

    /// What the watches do not show may be there all the same: somebody else's, or with its labels removed.
    async fn unseen(&self, kind: Kind, name: &str) -> Result<Option<Arc<DynamicObject>>, ApplyError> {
        let found = self.api(kind).get_opt(name).await;
        let found = found.map_err(|source| ApplyError::Read { kind, name: name.to_owned(), source })?;
        let Some(found) = found else { return Ok(None) };
        if self.owns(&found) {
            return Ok(Some(Arc::new(found)));
        }
        let name = name.to_owned();
        let earlier =
            found.owner_references().iter().any(|owner| owner.kind == "ChatCluster" && owner.name == self.owner.name);
        Err(if earlier { ApplyError::Leftover { kind, name } } else { ApplyError::Taken { kind, name } })
    }

    async fn one(&self, object: Object, live: Option<Arc<DynamicObject>>) -> Result<Option<Change>, ApplyError> {
        let (kind, name) = (object.kind, object.name().to_owned());
        let live = match live {
            Some(live) if self.owns(&live) => Some(live),
            _ => self.unseen(kind, &name).await?,
        };
        let failed = |source| ApplyError::Write { kind, name: name.clone(), source };
        let declared = serde_json::to_value(&object.object).map_err(|error| failed(kube::Error::SerdeError(error)))?;
        let initial = self.initial_replicas.get(&name).filter(|_| kind == Kind::Deployment);
        let Some(live) = live else {
            let mut created = declared.clone();
            if let Some(initial) = initial
                && let Some(spec) = created.pointer_mut("/spec").and_then(Value::as_object_mut)
            {
                spec.insert("replicas".to_owned(), Value::from(*initial));
            }
            let now = self.write(kind, &name, created).await.map_err(failed)?;
            if initial.is_some() {
                self.let_go_of_replicas(&now, &name, declared).await.map_err(failed)?;
            }
            return Ok(Some(Change::Created));
        };
        let found = serde_json::to_value(&*live).map_err(|error| failed(kube::Error::SerdeError(error)))?;
        let Some(path) = diff::first_difference(&annotated(declared.clone()), &found) else { return Ok(None) };
        if initial.is_some() {
            self.let_go_of_replicas(&live, &name, declared).await.map_err(failed)?;
        } else {
            self.write(kind, &name, declared).await.map_err(failed)?;
        }
        Ok(Some(Change::Updated(path)))
    }

    /// Server-side apply adds to lists and changes their elements, but leaves elements that others put there; those may
    /// even stand in the way of ours. Then the lists are replaced whole.
    async fn write(&self, kind: Kind, name: &str, declared: Value) -> Result<DynamicObject, kube::Error> {
        let (api, apply) = (self.api(kind), PatchParams::apply(MANAGER).force());
        let declared = annotated(declared);
        let shown = self.caches.shown(kind, &self.owner.namespace, name);
        let now = match api.patch(name, &apply, &Patch::Apply(&declared)).await {
            Ok(now) => {
                let live = serde_json::to_value(&now).map_err(kube::Error::SerdeError)?;
                diff::first_difference(&declared, &live).is_none().then_some(now)
            }
            Err(kube::Error::Api(status)) if status.code == 422 => None,
            Err(error) => return Err(error),
        };
        let now = if let Some(now) = now {
            now
        } else {
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            api.patch(name, &params, &Patch::Merge(&declared)).await?
        };
        self.caches.wrote(kind, &self.owner.namespace, name, shown, now.clone());
        Ok(now)
    }

    /// Applies a Deployment that does not say its replicas; before, a second manager holds their number.
    async fn let_go_of_replicas(&self, live: &DynamicObject, name: &str, declared: Value) -> Result<(), kube::Error> {
        if let Some(replicas) = replicas::to_hand_over(live, MANAGER) {
            let patch = Patch::Apply(replicas::handover(name, &self.owner.namespace, replicas));
            match self.api(Kind::Deployment).patch(name, &PatchParams::apply(replicas::HANDOVER), &patch).await {
                // the autoscaler changed it in this very moment, and so owns it
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                other => drop(other?),
            }
        }
        self.write(Kind::Deployment, name, declared).await.map(drop)
    }

    pub(crate) async fn delete(&self, kind: Kind, live: &DynamicObject) -> Result<(), ApplyError> {
        let name = live.name_any();
        let mut params = DeleteParams::background();
        params.preconditions = Some(Preconditions { uid: live.uid(), resource_version: None });
        match self.api(kind).delete(&name, &params).await {
            Ok(_) => {}
            // gone already, or another one of the same name by now
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(source) => return Err(ApplyError::Delete { kind, name, source }),
        }
        Ok(())
    }
}

/// With the hash of itself.
fn annotated(mut declared: Value) -> Value {
    let hash = diff::hash(&declared);
    let metadata =
        declared.as_object_mut().and_then(|object| object.get_mut("metadata")).and_then(Value::as_object_mut);
    if let Some(metadata) = metadata {
        let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(diff::APPLIED.to_owned(), Value::String(hash));
        }
    }
    declared
}
