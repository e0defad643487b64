//! Ended logins: this core refuses their access tokens at once, gateways and the other cores hear of them by a signal.

use std::sync::Arc;

use bytes::Bytes;
use chatcluster_contracts::{redis_keys::Keys, revocation::Revocation};
use chatcluster_transport::{
    ended_logins::{Page, Record},
    gateway_streams::Signals,
};
use tokio::sync::mpsc;

use super::Identity;
use crate::{
    clock,
    store::{Result, Store, StoreError},
};

impl Identity {
    /// These logins were ended in the database.
    pub(super) fn ended(&self, logins: &[String]) {
        let until = clock::now().as_second().saturating_add_unsigned(self.options.access_ttl.as_secs());
        for login in logins.iter().filter_map(|login| login.parse().ok()) {
            let revocation = Revocation { login, until };
            self.revocations.add(revocation);
            if self.ended.try_send(revocation).is_err() {
                tracing::warn!("too many logins end at once: gateways find this one when they look");
            }
        }
    }
}

/// Tells everybody about the logins that end here.
pub(crate) async fn tell(mut ended: mpsc::Receiver<Revocation>, signals: Arc<dyn Signals>, keys: Keys) {
    let channel = keys.auth_revoked();
    while let Some(revocation) = ended.recv().await {
        if let Err(error) = signals.publish(&channel, Bytes::from(revocation.to_json())).await {
            tracing::warn!(%error, "an ended login was not told: gateways find it when they look");
        }
    }
}

#[tonic::async_trait]
impl Record for Store {
    type Error = StoreError;

    async fn ended_since(&self, since: i64) -> Result<Page> {
        self.revocations(since).await
    }
}
