//! Conformance and bench mode: the gateway's own sessions, registry, queues, encoder and writer behind services that
//! public test suites and load generators expect. Nobody signs in, and publishes come by HTTP instead of from workers.
//!
//! Never beside production: it starts only without any broker configured.

mod http;
mod nowhere;
mod rooms;

use std::sync::Arc;

use axum::Router;
use chatcluster_contracts::ids::{UserId, WorkspaceId};

pub(crate) use http::serve_publisher;
pub(crate) use nowhere::Nowhere;
pub(crate) use rooms::{RoomReader, Rooms};

use crate::{
    gateway::Shared,
    session::{Dialect, Identity, Session},
};

/// Longest message of a client, in bytes: what the test suites send.
pub(crate) const MAX_MESSAGE: usize = 16 << 20;

/// Where an upgrade in this mode leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Service {
    /// `/sub/{room}`: what is published to the room.
    Subscribe(String),
    /// `/echo-ws`: every message comes back.
    Echo,
}

impl Service {
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path.strip_prefix("/sub/") {
            Some(room) => Some(Self::Subscribe(room.to_owned())),
            None => (path == "/echo-ws").then_some(Self::Echo),
        }
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        match self {
            Self::Subscribe(_) => Dialect::Bare,
            Self::Echo => Dialect::Echo,
        }
    }
}

/// Brings a session to its service. False: it cannot be.
pub(crate) fn begin(shared: &Shared, rooms: &Rooms, session: &Arc<Session>, service: &Service) -> bool {
    let Ok(user) = UserId::parse(&format!("{:x}", session.key)) else { return false };
    let workspace = shared.workspaces.same(WorkspaceId::default());
    if session.identify(Identity { user, workspace, expires: u32::MAX }).is_err() {
        return false;
    }
    match service {
        Service::Subscribe(room) => rooms.subscribe(&shared.delivery, session, room),
        Service::Echo => true,
    }
}

/// The routes of this mode for clients that speak plain HTTP.
pub(crate) fn router(rooms: Arc<Rooms>) -> Router {
    http::router(rooms)
}
