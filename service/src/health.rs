//! Whether this process can do its work, and what it lacks.

use std::{collections::BTreeMap, fmt::Display, sync::Arc};

use parking_lot::RwLock;
use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
struct State {
    up: bool,
    /// Without it the process cannot serve and `/readyz` answers 503.
    required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Default)]
struct Inner {
    draining: bool,
    dependencies: BTreeMap<&'static str, State>,
}

/// The health of one process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<RwLock<Inner>>);

/// The state of one dependency, held by whoever talks to it.
#[derive(Debug, Clone)]
pub struct Dependency {
    name: &'static str,
    health: Health,
}

/// What `/readyz` says.
#[derive(Debug, Clone, Serialize)]
pub struct Readiness {
    status: &'static str,
    dependencies: BTreeMap<&'static str, State>,
}

impl Readiness {
    pub fn is_ready(&self) -> bool {
        self.status == "ready"
    }
}

impl Health {
    pub fn new() -> Self {
        Self::default()
    }

    /// Something the process cannot serve without. Down until said otherwise.
    pub fn dependency(&self, name: &'static str) -> Dependency {
        self.add(name, true)
    }

    /// Something the process can do without for a while: shown, but it stays ready.
    pub fn optional_dependency(&self, name: &'static str) -> Dependency {
        self.add(name, false)
    }

    fn add(&self, name: &'static str, required: bool) -> Dependency {
        let state = State { up: false, required, reason: Some("not reached yet".into()) };
        self.0.write().dependencies.entry(name).or_insert(state);
        Dependency { name, health: self.clone() }
    }

    /// From now on `/readyz` answers 503, so that no new work is sent here.
    pub fn set_draining(&self) {
        self.0.write().draining = true;
    }

    pub fn readiness(&self) -> Readiness {
        let inner = self.0.read();
        let missing = inner.dependencies.values().any(|state| state.required && !state.up);
        let status = match (inner.draining, missing) {
            (true, _) => "draining",
            (_, true) => "not_ready",
            _ => "ready",
        };
        Readiness { status, dependencies: inner.dependencies.clone() }
    }

    /// Every dependency and whether it is up.
    pub fn states(&self) -> Vec<(&'static str, bool)> {
        self.0.read().dependencies.iter().map(|(name, state)| (*name, state.up)).collect()
    }
}

impl Dependency {
    /// Reached. Logged when it was down before.
    pub fn up(&self) {
        // the common case is "still up": do not take the write lock for it
        if self.is_up() {
            return;
        }
        if let Some(state) = self.health.0.write().dependencies.get_mut(self.name) {
            tracing::info!(dependency = self.name, "dependency up");
            (state.up, state.reason) = (true, None);
        }
    }

    /// Not reached; `reason` is shown to whoever asks `/readyz`, so it must hold no secret.
    pub fn down(&self, reason: impl Display) {
        if let Some(state) = self.health.0.write().dependencies.get_mut(self.name) {
            if state.up {
                tracing::warn!(dependency = self.name, %reason, "dependency down");
            }
            (state.up, state.reason) = (false, Some(reason.to_string()));
        }
    }

    pub fn is_up(&self) -> bool {
        self.health.0.read().dependencies.get(self.name).is_some_and(|state| state.up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_what_is_missing() {
        let health = Health::new();
        let (redis, kafka) = (health.dependency("redis"), health.optional_dependency("kafka"));
        assert!(!health.readiness().is_ready());
        redis.up();
        assert!(health.readiness().is_ready(), "an optional dependency does not count");
        kafka.up();
        redis.down("connection refused");
        let shown = serde_json::to_value(health.readiness()).unwrap();
        assert_eq!(shown["dependencies"]["redis"]["reason"], "connection refused");
        redis.up();
        health.set_draining();
        assert!(!health.readiness().is_ready());
    }
}
