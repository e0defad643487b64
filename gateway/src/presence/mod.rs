//! Says which connections are here: to Redis, by whose registry workers route, and to core, which tells everyone else.
//! A session counts as live once Redis has acknowledged its entry. Nothing here ever makes a session wait otherwise.

mod lease;
mod reports;

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use chatcluster_contracts::ids::{BootId, ConnectionId, Node};
use chatcluster_service::health::Dependency;
use chatcluster_transport::gateway_streams::{GatewayStreams, Registration, Registry, StreamError};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};

use crate::{
    delivery::Delivery,
    session::{Session, Sessions, ticks},
    upstream::{Backoff, CoreApi},
};
use reports::Reports;

/// Connections per call: many that come at once share a round trip.
const BATCH: usize = 512;

/// Connections kept with one renewal of the lease: a million has its turn within twenty minutes.
const KEPT_AT_ONCE: usize = 2_048;

/// Who this gateway is.
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    pub(crate) node: Node,
    pub(crate) boot: BootId,
}

impl Gateway {
    /// The name of a session among those of all gateways; the boot makes it unique across restarts.
    pub(crate) fn connection_id(&self, session: &Session) -> Option<ConnectionId> {
        ConnectionId::new(&self.node, &format!("{}-{:x}", self.boot, session.key)).ok()
    }
}

#[derive(Debug, Default)]
struct Queue {
    register: Vec<(Registration, oneshot::Sender<()>)>,
    unregister: Vec<Registration>,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.register.is_empty() && self.unregister.is_empty()
    }
}

pub(crate) struct Presence {
    gateway: Gateway,
    registry: Arc<dyn Registry>,
    sessions: Arc<Sessions>,
    queue: Mutex<Queue>,
    more: Notify,
    /// The lease of this node is this boot's.
    holds_lease: watch::Sender<bool>,
    /// Everything in the queue has been done.
    done: watch::Sender<bool>,
    reports: Reports,
    health: Dependency,
}

impl std::fmt::Debug for Presence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presence").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

impl Presence {
    pub(crate) fn new(
        gateway: Gateway,
        streams: &dyn GatewayStreams,
        core: CoreApi,
        sessions: Arc<Sessions>,
        health: Dependency,
    ) -> Arc<Self> {
        let reports = Reports::new(gateway.clone(), core, sessions.clone());
        Arc::new(Self {
            gateway,
            registry: streams.registry(),
            sessions,
            queue: Mutex::default(),
            more: Notify::new(),
            holds_lease: watch::Sender::new(false),
            done: watch::Sender::new(true),
            reports,
            health,
        })
    }

    fn registration(&self, session: &Session) -> Option<Registration> {
        Some(Registration {
            connection_id: self.gateway.connection_id(session)?,
            user_id: session.identity()?.user.clone(),
            boot_id: self.gateway.boot.clone(),
            connected_at_ms: ticks::unix_ms(session.opened),
        })
    }

    /// Returns once the registry has acknowledged the session. False: the session is over.
    pub(crate) async fn register(&self, session: &Session) -> bool {
        let Some(registration) = self.registration(session) else { return false };
        let (done, acknowledged) = oneshot::channel();
        {
            let mut queue = self.queue.lock();
            // a session that ends is over before it is unregistered, so one of the two sees the other
            if session.is_over() {
                return false;
            }
            queue.register.push((registration, done));
            self.done.send_replace(false);
        }
        self.more.notify_one();
        acknowledged.await.is_ok()
    }

    /// Forgets a session that is over.
    pub(crate) fn unregister(&self, session: &Session) {
        let Some(registration) = self.registration(session) else { return };
        let mut queue = self.queue.lock();
        queue.register.retain(|(waiting, _)| waiting.connection_id != registration.connection_id);
        queue.unregister.push(registration);
        self.done.send_replace(false);
        drop(queue);
        self.more.notify_one();
    }

    /// Registers and unregisters what is queued. Runs until dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut backoff = Backoff::short();
        loop {
            self.more.notified().await;
            // workers pass over connections of a gateway without a lease
            let _ = self.holds_lease.subscribe().wait_for(|holds| *holds).await;
            while !self.step(&mut backoff).await {}
        }
    }

    /// One round trip of each kind. True: nothing is left.
    async fn step(&self, backoff: &mut Backoff) -> bool {
        let (register, unregister) = {
            let mut queue = self.queue.lock();
            if queue.is_empty() {
                self.done.send_replace(true);
                return true;
            }
            let (registers, unregisters) = (queue.register.len().min(BATCH), queue.unregister.len().min(BATCH));
            (
                queue.register.drain(..registers).collect::<Vec<_>>(),
                queue.unregister.drain(..unregisters).collect::<Vec<_>>(),
            )
        };
        let registrations: Vec<Registration> = register.iter().map(|(registration, _)| registration.clone()).collect();
        let mut result = Ok(());
        if !registrations.is_empty() {
            result = self.registry.register(&registrations).await;
        }
        if result.is_ok() && !unregister.is_empty() {
            result = self.registry.unregister(&unregister).await;
        }
        match result {
            Ok(()) => {
                backoff.reset();
                self.health.up();
                self.reports.added(registrations);
                self.reports.removed(unregister.iter().map(|gone| gone.connection_id.clone()));
                for (_, acknowledged) in register {
                    // whoever gave up waiting has unregistered, or will
                    let _ = acknowledged.send(());
                }
            }
            Err(error) => {
                self.health.down(&error);
                tracing::warn!(%error, connections = registrations.len(), "connections not registered yet");
                {
                    let mut queue = self.queue.lock();
                    queue.register.extend(register.into_iter().filter(|(_, waiting)| !waiting.is_closed()));
                    queue.unregister.extend(unregister);
                }
                backoff.pause().await;
            }
        }
        false
    }

    /// Registers every connection again: the registry lost them, or others took this gateway for gone.
    async fn register_all(&self) -> Result<usize, chatcluster_transport::gateway_streams::StreamError> {
        #[cfg(feature = "plants")]
        if chatcluster_service::plants::planted("registry-stays-lost") {
            return Ok(0);
        }
        let sessions = self.sessions.all();
        let ours = sessions.iter().filter(|session| session.form().dialect.is_the_platforms());
        let live = ours.filter(|session| !session.is_over());
        let all: Vec<Registration> = live.filter_map(|session| self.registration(session)).collect();
        for batch in all.chunks(BATCH) {
            self.registry.register(batch).await?;
        }
        Ok(all.len())
    }

    /// Says of some connections that they are here still, in rounds: each in its turn, long before its entry ends by
    /// itself. Those whose entries are missing, whoever removed them, are written again. Answers how many: what was for them
    /// meanwhile went nowhere.
    async fn keep_some(&self, round: &mut Vec<Weak<Session>>) -> Result<usize, StreamError> {
        #[cfg(feature = "plants")]
        if chatcluster_service::plants::planted("registry-stays-lost") {
            return Ok(0);
        }
        if round.is_empty() {
            let sessions = self.sessions.all();
            let ours = sessions.iter().filter(|session| session.form().dialect.is_the_platforms());
            round.extend(ours.map(Arc::downgrade));
        }
        let turn = round.split_off(round.len().saturating_sub(KEPT_AT_ONCE));
        let live = turn.iter().filter_map(Weak::upgrade);
        // before that it is in the queue, to be registered
        let live = live.filter(|session| session.live.load(Ordering::Acquire) && !session.is_over());
        let kept: Vec<_> = live.filter_map(|session| Some((self.registration(&session)?, session))).collect();
        let registrations: Vec<Registration> = kept.iter().map(|(registration, _)| registration.clone()).collect();
        let there = self.registry.keep(&registrations).await?;
        let missing: Vec<_> = kept.into_iter().zip(there).filter(|(_, there)| !there).map(|(it, _)| it).collect();
        if missing.is_empty() {
            return Ok(0);
        }
        tracing::warn!(connections = missing.len(), "registry lost connections of ours: written again");
        let registrations: Vec<Registration> = missing.iter().map(|(registration, _)| registration.clone()).collect();
        self.registry.register(&registrations).await?;
        for (_, session) in missing.iter().filter(|(_, session)| session.is_over()) {
            // it ended while it was written
            self.unregister(session);
        }
        Ok(missing.len())
    }

    /// Waits until the lease is held for the first time: from then on the own stream is nobody else's.
    pub(crate) async fn leased(&self) {
        let _ = self.holds_lease.subscribe().wait_for(|holds| *holds).await;
    }

    /// Gives everything back at the end of a drain, within `limit`.
    pub(crate) async fn leave(&self, limit: Duration) {
        let leaving = async {
            let _ = self.done.subscribe().wait_for(|done| *done).await;
            if let Err(error) = self.registry.release_lease(&self.gateway.node, &self.gateway.boot).await {
                tracing::warn!(%error, "lease not released; it will expire");
            }
            self.reports.flush().await;
        };
        if tokio::time::timeout(limit, leaving).await.is_err() {
            tracing::warn!("connections not unregistered in time; they expire with the lease");
        }
    }

    /// Tells core, in batches, until dropped.
    pub(crate) async fn report(self: Arc<Self>) {
        self.reports.run().await;
    }

    /// Takes the lease and renews it; returns when another process runs under this name.
    pub(crate) async fn hold_lease(self: Arc<Self>, delivery: Arc<Delivery>) {
        lease::hold(&self, &delivery).await;
    }
}
