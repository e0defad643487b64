//! Of several operators one works at a time: the one that holds the Lease. Clocks of other machines are not believed:
//! a Lease has run out when this process has seen no renewal for its whole duration.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};

/// How often the Lease is renewed or looked at, as a part of its duration.
const TRIES: u32 = 6;

pub struct Election {
    api: Api<Lease>,
    name: String,
    /// Who we are.
    identity: String,
    duration: Duration,
    /// The renewal last seen, and when that was here.
    seen: Option<(Option<MicroTime>, Option<String>, Instant)>,
}

impl std::fmt::Debug for Election {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Election").field("name", &self.name).field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Election {
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, duration: Duration) -> Self {
        let (name, identity) = (name.to_owned(), identity.to_owned());
        Self { api: Api::namespaced(client, namespace), name, identity, duration, seen: None }
    }

    /// Waits until the Lease is ours; answers since when it counts.
    pub async fn won(&mut self) -> Instant {
        loop {
            // before the call: it may take effect long before its answer arrives
            let (began, patience) = (Instant::now(), self.duration);
            match tokio::time::timeout(patience, self.attempt()).await {
                Ok(Ok(true)) => return began,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, lease = self.name, "lease not read or taken"),
                Err(_) => tracing::warn!(lease = self.name, "lease not read: the API server does not answer"),
            }
            tokio::time::sleep(self.duration / TRIES).await;
        }
    }

    /// Renews the Lease; returns when it was taken by somebody else or could not be renewed in time. It counts since `renewed`.
    pub async fn lost(&mut self, mut renewed: Instant) {
        loop {
            tokio::time::sleep(self.duration / TRIES).await;
            // whoever waits takes over after a whole duration: stop well before
            let (deadline, began) = (self.duration * 2 / 3, Instant::now());
            let attempt = tokio::time::timeout(deadline.saturating_sub(renewed.elapsed()), self.attempt()).await;
            match attempt {
                Ok(Ok(true)) => renewed = began,
                Ok(Ok(false)) => {
                    tracing::error!(lease = self.name, "somebody else took the lease");
                    return;
                }
                Ok(Err(error)) => tracing::warn!(%error, lease = self.name, "lease not renewed"),
                Err(_) => tracing::warn!(lease = self.name, "lease not renewed: the API server does not answer"),
            }
            if renewed.elapsed() >= deadline {
                tracing::error!(lease = self.name, "the lease could not be renewed in time");
                return;
            }
        }
    }

    /// Gives the Lease back, so that whoever waits need not wait for its end.
    pub async fn release(&self) {
        let outcome = async {
            let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.identity) {
                return Ok(());
            }
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            self.api.replace(&self.name, &PostParams::default(), &lease).await.map(drop)
        };
        match tokio::time::timeout(Duration::from_secs(3), outcome).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "lease not released; it will run out"),
            Err(_) => tracing::warn!("lease not released; it will run out"),
        }
    }

    /// True: the Lease is ours now.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let spec = self.spec(&now, &now, 0);
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(spec) };
            return decided(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.take().unwrap_or_default();
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
        let transitions = spec.lease_transitions.unwrap_or(0);
        let ours = holder.as_deref() == Some(&self.identity);
        if !ours && holder.is_some() && !self.has_run_out(&spec) {
            return Ok(false);
        }
        let acquired = spec.acquire_time.filter(|_| ours).unwrap_or_else(|| now.clone());
        // replace carries the version that was read: of two that try, one fails
        lease.spec = Some(self.spec(&acquired, &now, transitions + i32::from(!ours)));
        decided(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }

    fn has_run_out(&mut self, spec: &LeaseSpec) -> bool {
        let state = (spec.renew_time.clone(), spec.holder_identity.clone());
        let duration = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let duration = duration.map_or(self.duration, Duration::from_secs);
        match &self.seen {
            Some((time, holder, at)) if (time, holder) == (&state.0, &state.1) => at.elapsed() > duration,
            _ => {
                self.seen = Some((state.0, state.1, Instant::now()));
                false
            }
        }
    }

    fn spec(&self, acquired: &MicroTime, renewed: &MicroTime, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.duration.as_secs().max(1)).unwrap_or(i32::MAX)),
            acquire_time: Some(acquired.clone()),
            renew_time: Some(renewed.clone()),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

fn decided(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        // somebody else was faster
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
