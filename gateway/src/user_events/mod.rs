//! User events: whatever is published on `workflow:events:{username}` reaches that user's sockets, byte for byte. They are
//! the gateway's own sessions, and nothing of conversations, core or the registry is asked about them.
//!
//! A gateway listens to the channels of those who are connected to it. Who asks for ids or for the past is told what
//! stands in the log of the name instead, which a worker writes: one order, one id an event, nothing twice.

mod audience;
mod encode;
mod follow;
mod live;
mod request;
mod stats;
mod web;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chatcluster_contracts::{
    close::CloseReason,
    ids::UserId,
    problem::{Code, Problem},
    redis_keys::Keys,
};
use chatcluster_service::tokens::Claims;
use chatcluster_transport::channels::{ChannelLogs, Ear, Subscriptions};
use chatcluster_transport::gateway_streams::{GatewayStreams, StreamError};
use parking_lot::{Mutex, RwLock};

use self::audience::{Audience, index};
pub(crate) use self::{
    audience::Seat,
    request::{Road, Wanted},
    web::router,
};
use crate::{
    Options,
    metrics::GatewayMetrics,
    session::{Identity, Quota, Session, rate::TokenBucket, ticks},
    shared::Shared,
};

/// Who listens to what on this gateway.
pub(crate) struct UserEvents {
    subscriptions: Arc<dyn Subscriptions>,
    logs: Arc<dyn ChannelLogs>,
    keys: Keys,
    /// What the names of the channels begin with: of events, and of notices that a log has grown.
    prefixes: [String; 2],
    /// Anybody may listen to anything.
    is_open: bool,
    /// Most connections of one name.
    max_connections: usize,
    /// Messages a second of one name; 0: no limit.
    rate: u32,
    /// Attempts to connect to one name.
    attempts: Quota<UserId>,
    /// How long a handshake waits until the channel is listened to.
    patience: Duration,
    queue_limit: usize,
    audiences: RwLock<HashMap<UserId, Arc<Audience>>>,
    next_key: AtomicU64,
    metrics: Arc<GatewayMetrics>,
    stats: Mutex<stats::Samples>,
}

impl std::fmt::Debug for UserEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserEvents").finish_non_exhaustive()
    }
}

impl UserEvents {
    /// The hub, and what it hears by.
    pub(crate) fn new(
        options: &Options,
        streams: &dyn GatewayStreams,
        metrics: Arc<GatewayMetrics>,
    ) -> (Arc<Self>, Box<dyn Ear>) {
        let (subscriptions, ear) = streams.channels().open();
        let keys = streams.keys().clone();
        let hub = Self {
            subscriptions,
            logs: streams.logs(),
            prefixes: [keys.user_events(""), keys.user_event_notice("")],
            keys,
            is_open: options.user_events_open,
            max_connections: options.user_events_max_connections,
            rate: options.user_events_rate,
            attempts: Quota::new(options.user_events_connect_rate, 0),
            patience: options.connect_timeout,
            queue_limit: options.session_queue,
            audiences: RwLock::default(),
            next_key: AtomicU64::default(),
            metrics,
            stats: Mutex::default(),
        };
        (Arc::new(hub), ear)
    }

    /// A seat for whoever may have one; it hears everything that is published from now on.
    pub(crate) async fn enter(self: &Arc<Self>, wanted: Wanted, claims: Option<&Claims>) -> Result<Seat, Problem> {
        if !self.is_open {
            request::entitled(&wanted.name, claims)?;
        }
        // of those who may, so that no stranger uses up what belongs to somebody else
        if self.attempts.take(&wanted.name, 0).is_err() {
            return Err(Problem::new(Code::RateLimited, "too many attempts to connect; wait a second"));
        }
        let road = wanted.road;
        let channel = self.channel(&wanted.name, index(road));
        let mut seat = self.reserve(wanted, &channel)?;
        let away = |what: &str| Problem::new(Code::Unavailable, format!("{what}; try again"));
        let unreached = |error: StreamError| {
            tracing::debug!(%error, "log of user events not reached");
            away("the log of events cannot be reached now")
        };
        if matches!(road, Road::Log(_)) && !self.logs.is_written().await.map_err(unreached)? {
            return Err(away("no worker writes the log of events now"));
        }
        let opening = async {
            self.subscriptions.listening(&channel).await;
            if let Road::Log(start) = road {
                seat.past = Some(follow::begin(self, &seat.wanted.name, start).await?);
            }
            Ok(())
        };
        match tokio::time::timeout(self.patience, opening).await {
            Ok(opened) => opened.map(|()| seat).map_err(unreached),
            Err(_) => Err(away("events cannot be listened to now")),
        }
    }

    fn channel(&self, name: &UserId, index: usize) -> String {
        if index == 0 { self.keys.user_events(name.as_str()) } else { self.keys.user_event_notice(name.as_str()) }
    }

    fn reserve(self: &Arc<Self>, wanted: Wanted, channel: &str) -> Result<Seat, Problem> {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let mut audiences = self.audiences.write();
        let fresh = || Arc::new(Audience::new(wanted.name.clone(), self.rate));
        let audience = audiences.entry(wanted.name.clone()).or_insert_with(fresh).clone();
        {
            let mut state = audience.state.lock();
            if state.taken() >= self.max_connections {
                return Err(Problem::new(Code::TooManyConnections, "this name has too many connections here"));
            }
            let index = index(wanted.road);
            state.seats[index] += 1;
            if state.seats[index] == 1 {
                self.subscriptions.subscribe(channel);
            }
            if wanted.road == Road::Live {
                state.expect(key);
            }
        }
        drop(audiences);
        Ok(Seat { hub: self.clone(), audience, wanted, past: None, key, is_settled: false })
    }

    /// A seat is free again. `index`: of its road. `key`: of a handshake that led to nothing.
    fn vacate(&self, audience: &Arc<Audience>, index: usize, key: Option<u64>) {
        let mut audiences = self.audiences.write();
        let mut state = audience.state.lock();
        if let Some(key) = key {
            state.forget(key);
        }
        state.seats[index] -= 1;
        if state.seats[index] == 0 {
            self.subscriptions.unsubscribe(&self.channel(&audience.name, index));
        }
        if state.taken() == 0 {
            audiences.remove(&audience.name);
        }
    }

    /// Brings a session to its seat.
    pub(crate) fn begin(shared: &Arc<Shared>, session: &Arc<Session>, mut seat: Seat, claims: Option<&Claims>) {
        let hub = seat.hub.clone();
        let expires = match claims {
            Some(claims) if !hub.is_open => ticks::at_unix(claims.expires_at),
            _ => u32::MAX,
        };
        let name = seat.wanted.name.clone();
        let workspace = shared.workspaces.same(chatcluster_contracts::ids::WorkspaceId::default());
        let login = claims.filter(|_| !hub.is_open).and_then(|claims| claims.login);
        if session.identify(Identity { user: name, workspace, expires, login }).is_err() {
            return;
        }
        shared.sessions.logged_in(session);
        if shared.revocations.check(login).is_err() {
            session.close(CloseReason::TokenRevoked);
        }
        tracing::debug!(username = %seat.wanted.name, session = session.key, road = ?seat.wanted.road, "user events begin");
        hub.metrics.user_event_connections.inc();
        match seat.wanted.road {
            Road::Live => {
                let audience = seat.audience.clone();
                let mut state = audience.state.lock();
                let carrier = session.form().carrier;
                for payload in state.forget(seat.key) {
                    session.send(encode::plain(carrier, &payload));
                }
                state.live.push(session.clone());
                seat.is_settled = true;
            }
            Road::Log(start) => {
                let past = seat.past.take().unwrap_or_default();
                tokio::spawn(follow::bring_up(session.clone(), seat, start, past));
            }
        }
    }

    /// The session is over.
    pub(crate) fn leave(&self, session: &Arc<Session>) {
        let Some(identity) = session.identity() else { return };
        self.metrics.user_event_connections.dec();
        let audience = self.audiences.read().get(&identity.user).cloned();
        let Some(audience) = audience else { return };
        let left = audience.state.lock().leave(session);
        if let Some(index) = left {
            self.vacate(&audience, index, None);
        }
    }

    fn audience(&self, name: &str) -> Option<Arc<Audience>> {
        self.audiences.read().get(name).cloned()
    }

    /// May one more message of the name pass?
    fn passes(&self, bucket: &mut TokenBucket) -> bool {
        self.rate == 0 || bucket.take(self.rate, ticks::now())
    }
}
