//! Conformance and bench mode: the gateway's own sessions, registry, queues, encoder and writer behind services that
//! public test suites and load generators expect. Nobody signs in, and publishes come by HTTP instead of from workers.
//!
//! Never beside production: it starts only without any broker configured.

mod http;
mod nowhere;
mod rooms;
mod stomp;

use std::{sync::Arc, time::Duration};

use axum::Router;
use chatcluster_contracts::{
    close::CloseReason,
    ids::{UserId, WorkspaceId},
};

pub(crate) use http::serve_publisher;
pub(crate) use nowhere::Nowhere;
pub(crate) use rooms::{RoomReader, Rooms};
pub(crate) use stomp::{Brokerage, Customer};

use crate::{
    protocol::sockjs::route::Base,
    session::{Dialect, Identity, Session, connection::First},
    shared::Shared,
};

/// Longest message of a client, in bytes: what the test suites send.
pub(crate) const MAX_MESSAGE: usize = 16 << 20;

/// A test's client loses what comes in one segment with the handshake's answer.
const FAREWELL: Duration = Duration::from_millis(30);

/// Where an upgrade in this mode leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Service {
    /// `/sub/{room}`: what is published to the room.
    Subscribe(String),
    /// `/echo-ws`, and SockJS bases: every message comes back.
    Echo,
    /// `/stomp`: a plain message broker.
    Broker,
    /// A SockJS base that says goodbye at once.
    Farewell,
}

impl Service {
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path.strip_prefix("/sub/") {
            Some(room) => Some(Self::Subscribe(room.to_owned())),
            None if path == "/echo-ws" => Some(Self::Echo),
            None => (path == "/stomp").then_some(Self::Broker),
        }
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        match self {
            Self::Subscribe(_) => Dialect::Bare,
            Self::Echo => Dialect::Echo,
            Self::Broker => Dialect::Broker,
            Self::Farewell => Dialect::Farewell,
        }
    }
}

/// Brings a session to its service: what it does first, or why it cannot be.
pub(crate) fn begin(shared: &Shared, session: &Arc<Session>, service: &Service) -> Result<Option<First>, CloseReason> {
    if *service == Service::Broker {
        // who it is comes with CONNECT
        return Ok(None);
    }
    let user = UserId::parse(&format!("{:x}", session.key)).map_err(|_| CloseReason::Internal)?;
    let workspace = shared.workspaces.same(WorkspaceId::default());
    session
        .identify(Identity { user, workspace, expires: u32::MAX, login: None })
        .map_err(|_| CloseReason::Internal)?;
    match service {
        Service::Subscribe(room) => {
            let subscribed =
                shared.rooms.as_ref().is_some_and(|rooms| rooms.subscribe(&shared.delivery, session, room));
            if subscribed { Ok(None) } else { Err(CloseReason::Unauthenticated) }
        }
        Service::Echo | Service::Broker => Ok(None),
        Service::Farewell => Ok(Some(First::Leave(FAREWELL))),
    }
}

/// The SockJS services that the protocol's tests expect.
pub(crate) fn sockjs_services() -> Vec<(Base, Service)> {
    vec![
        (Base::new("/echo"), Service::Echo),
        (Base::new("/disabled_websocket_echo").without_websocket(), Service::Echo),
        (Base::new("/cookie_needed_echo").with_cookie(), Service::Echo),
        (Base::new("/close"), Service::Farewell),
    ]
}

/// The routes of this mode for clients that speak plain HTTP.
pub(crate) fn router(rooms: Arc<Rooms>) -> Router {
    http::router(rooms)
}
