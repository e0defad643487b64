//! Core's list of connections, kept right in batches: added, removed, renewed. Core may be away for as long as it likes.

use std::time::Duration;

use chatcluster_contracts::{ids::ConnectionId, rpc};
use chatcluster_transport::gateway_streams::Registration;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::{sync::Notify, time::Instant};

use super::{BATCH, Gateway};
use crate::{
    session::{Sessions, ticks},
    upstream::{Backoff, CoreApi, CoreError},
};

/// Changes of this long travel together.
const GATHER: Duration = Duration::from_millis(100);
/// How often core hears that this boot is alive.
const RENEW: Duration = Duration::from_secs(10);
/// Changes kept while core is away; beyond it everything is reported anew once it is back.
const MAX_KEPT: usize = 100_000;

#[derive(Debug, Default)]
struct Changes {
    added: Vec<Registration>,
    removed: Vec<ConnectionId>,
    /// Core knows less than the changes can tell.
    all: bool,
}

#[derive(Debug)]
pub(super) struct Reports {
    gateway: Gateway,
    core: CoreApi,
    sessions: Arc<Sessions>,
    changes: Mutex<Changes>,
    more: Notify,
}

impl Reports {
    pub(super) fn new(gateway: Gateway, core: CoreApi, sessions: Arc<Sessions>) -> Self {
        Self { gateway, core, sessions, changes: Mutex::default(), more: Notify::new() }
    }

    pub(super) fn added(&self, registrations: Vec<Registration>) {
        let mut changes = self.changes.lock();
        changes.added.extend(registrations);
        if changes.added.len() > MAX_KEPT {
            (changes.added, changes.all) = (Vec::new(), true);
        }
        self.more.notify_one();
    }

    pub(super) fn removed(&self, ids: impl Iterator<Item = ConnectionId>) {
        let mut changes = self.changes.lock();
        changes.removed.extend(ids);
        if changes.removed.len() > MAX_KEPT {
            // those forgotten here end with this boot
            let surplus = changes.removed.len() - MAX_KEPT;
            changes.removed.drain(..surplus);
        }
        self.more.notify_one();
    }

    pub(super) async fn run(&self) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let mut renew_at = Instant::now() + RENEW;
        loop {
            tokio::select! {
                () = self.more.notified() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep_until(renew_at) => {
                    renew_at = Instant::now() + RENEW;
                    match self.core.update_last_ping(&self.gateway.node, &self.gateway.boot).await {
                        Ok(again) => self.changes.lock().all |= again && self.sessions.count() > 0,
                        Err(error) => tracing::debug!(%error, "core not told that this gateway is alive"),
                    }
                }
            }
            while let Err(error) = self.report().await {
                tracing::warn!(%error, "connections not reported yet");
                backoff.pause().await;
            }
            backoff.reset();
        }
    }

    /// Reports what is left, at the end.
    pub(super) async fn flush(&self) {
        if let Err(error) = self.report().await {
            tracing::warn!(%error, "core not told of the last connections; they end with this boot");
        }
    }

    async fn report(&self) -> Result<(), CoreError> {
        let changes = std::mem::take(&mut *self.changes.lock());
        let result = self.report_changes(&changes).await;
        if result.is_err() {
            // in front of what came meanwhile: the order of adding and removing is kept
            let mut newer = self.changes.lock();
            let Changes { mut added, mut removed, all } = changes;
            added.append(&mut newer.added);
            removed.append(&mut newer.removed);
            *newer = Changes { added, removed, all: all || newer.all };
        }
        result
    }

    async fn report_changes(&self, changes: &Changes) -> Result<(), CoreError> {
        let mut added: Vec<rpc::Connection> = Vec::new();
        if changes.all {
            let sessions = self.sessions.all();
            let ours = sessions.iter().filter(|session| session.form().dialect.is_the_platforms());
            let live = ours.filter(|session| !session.is_over());
            added.extend(live.filter_map(|session| self.connection(session)));
        } else if !changes.added.is_empty() {
            for registration in &changes.added {
                let session = self.sessions.of_user(registration.user_id.as_str());
                let connections = session.iter().filter_map(|session| self.connection(session));
                // who came and went between two reports was never there
                added.extend(connections.filter(|it| it.connection_id == registration.connection_id.as_str()));
            }
        }
        for batch in added.chunks(BATCH) {
            self.core.register(batch.to_vec()).await?;
        }
        let (node, boot) = (&self.gateway.node, &self.gateway.boot);
        for batch in changes.removed.chunks(BATCH) {
            self.core.unregister(node, boot, batch.iter().map(ToString::to_string).collect()).await?;
        }
        Ok(())
    }

    fn connection(&self, session: &crate::session::Session) -> Option<rpc::Connection> {
        let identity = session.identity()?;
        Some(rpc::Connection {
            connection_id: self.gateway.connection_id(session)?.to_string(),
            user_id: identity.user.to_string(),
            workspace_id: identity.workspace.to_string(),
            node: self.gateway.node.to_string(),
            boot_id: self.gateway.boot.to_string(),
            connected_at_ms: ticks::unix_ms(session.opened),
            last_ping_ms: jiff::Timestamp::now().as_millisecond(),
        })
    }
}
