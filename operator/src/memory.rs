//! What is remembered of a `ChatCluster` between passes: watches trigger many, and not each of them reads Secrets and asks
//! Kafka and Redis again. A restart misses nothing of it.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use kube::{Resource, ResourceExt, api::ObjectMeta};

use crate::{
    apply::Owner,
    claims::Claimant,
    controller::Scope,
    crd::{ChatCluster, ChatClusterStatus},
    dereference::{self, SecretError},
    events::News,
    kinds::{CLUSTER_LABEL, MANAGED_BY_LABEL, MANAGER},
    secrets::{self, Secrets},
    streams_step::{self, Streams},
    topics_step::{self, TopicsFound},
    validate::ValidatedCluster,
};

/// Looked at again so soon while a Secret is missing.
pub(crate) const SECRET_MISSING: Duration = Duration::from_secs(5);
/// First pause after a failure.
pub(crate) const FIRST_RETRY: Duration = Duration::from_secs(2);

/// What is remembered of a `ChatCluster` between passes.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) generation: Option<i64>,
    pub(crate) secrets: Option<(Instant, Secrets)>,
    /// Something that the spec needs was not among them.
    pub(crate) secrets_missing: bool,
    pub(crate) topics: Option<(Instant, TopicsFound)>,
    pub(crate) streams: Option<(Instant, Streams)>,
    /// Passes that failed in a row.
    pub(crate) failures: u32,
    /// Warnings that were told, and when: what stays as it is is no news.
    told: HashMap<(String, String), Instant>,
    /// After a failed attempt to clean up.
    pub(crate) cleanup_not_before: Option<Instant>,
}

/// A warning that still holds is told again after so long.
const TELL_AGAIN: Duration = Duration::from_hours(1);

impl Memory {
    /// Of another spec nothing is known.
    pub(crate) fn begin(&mut self, generation: Option<i64>) {
        if self.generation != generation {
            let told = std::mem::take(&mut self.told);
            *self = Self { generation, failures: self.failures, told, ..Self::default() };
        }
    }

    /// Without the warnings that were told already; what is told of one reason in one pass is one Event.
    pub(crate) fn untold(&mut self, news: Vec<News>) -> Vec<News> {
        self.told.retain(|_, at| at.elapsed() < TELL_AGAIN);
        let mut fresh: Vec<News> = Vec::new();
        for one in news {
            let key = (one.reason.clone(), one.note.clone());
            if one.warning && self.told.insert(key, Instant::now()).is_some() {
                continue;
            }
            match fresh.iter_mut().find(|other| (&other.reason, other.warning) == (&one.reason, one.warning)) {
                Some(other) => other.note = format!("{}; {}", other.note, one.note),
                None => fresh.push(one),
            }
        }
        fresh
    }
}

/// A result of this pass, or one of an earlier pass that is young enough.
pub(crate) enum Step<T> {
    New(T),
    Known(Instant, T),
}

impl<T> Step<T> {
    pub(crate) fn value(&self) -> &T {
        match self {
            Self::New(value) | Self::Known(_, value) => value,
        }
    }

    /// What this pass itself found.
    pub(crate) const fn fresh(&self) -> Option<&T> {
        match self {
            Self::New(value) => Some(value),
            Self::Known(..) => None,
        }
    }

    pub(crate) fn into_inner(self) -> (Instant, T) {
        match self {
            Self::New(value) => (Instant::now(), value),
            Self::Known(at, value) => (at, value),
        }
    }
}

/// What was read less than this ago is not read again: watches trigger many passes.
fn is_young(scope: &Scope, at: Instant) -> bool {
    at.elapsed() < scope.shared.resync_interval * 4 / 5
}

pub(crate) async fn topics(
    scope: &Scope,
    valid: &ValidatedCluster,
    me: &Claimant,
    previous: Option<&ChatClusterStatus>,
    known: Option<(Instant, TopicsFound)>,
) -> Step<TopicsFound> {
    match known {
        Some((at, known)) if !known.failed && is_young(scope, at) => Step::Known(at, known),
        // after a failure the pauses grow, whatever triggers passes meanwhile
        Some((at, known)) if known.failed && valid.kafka.connection.is_some() && at.elapsed() < FIRST_RETRY / 2 => {
            Step::Known(at, known)
        }
        _ => Step::New(topics_step::run(&scope.shared, valid, me, previous).await),
    }
}

pub(crate) async fn streams(
    scope: &Scope,
    valid: &ValidatedCluster,
    owner: &Owner,
    me: &Claimant,
    known: Option<(Instant, Streams)>,
) -> Step<Streams> {
    let pods = scope.caches.gateway_pods(&owner.namespace, &owner.name);
    match known {
        Some((at, known)) if !known.failed && known.pods == pods && is_young(scope, at) => Step::Known(at, known),
        Some((at, known)) if known.failed && valid.redis.connection.is_some() && at.elapsed() < FIRST_RETRY / 2 => {
            Step::Known(at, known)
        }
        _ => Step::New(streams_step::run(&scope.shared, valid, me, pods).await),
    }
}

/// The Secrets that the spec names and the one that the operator makes; read again when they are old or incomplete.
pub(crate) async fn read_secrets(
    cluster: &ChatCluster,
    scope: &Scope,
    memory: &mut Memory,
) -> Result<(Secrets, Vec<News>), SecretError> {
    if let Some((at, known)) = &memory.secrets
        && is_young(scope, *at)
        && (!memory.secrets_missing || at.elapsed() < SECRET_MISSING / 2)
    {
        return Ok((known.clone(), Vec::new()));
    }
    let (client, namespace) = (&scope.shared.client, cluster.namespace().unwrap_or_default());
    let mut found = dereference::read(client, &namespace, secrets::named(&cluster.spec)).await?;
    let mut news = Vec::new();
    let auth = &cluster.spec.auth;
    if auth.signing_key_secret_ref.is_none() || auth.service_token_secret_ref.is_none() {
        let name = format!("{}-keys", cluster.name_any());
        let metadata = (!cluster.spec.paused).then(|| ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            labels: Some(BTreeMap::from([
                (CLUSTER_LABEL.to_owned(), cluster.name_any()),
                (MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned()),
            ])),
            owner_references: cluster.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        });
        let (data, made) = dereference::own_keys(client, &namespace, &name, metadata).await?;
        found.insert(&name, data);
        if made {
            news.push(News::normal("KeysCreated", format!("Secret {name} holds fresh keys")));
        }
    }
    memory.secrets = Some((Instant::now(), found.clone()));
    Ok((found, news))
}
