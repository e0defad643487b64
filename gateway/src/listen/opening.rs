//! From a request that may have a session to the session: the same for every way in.

use std::{net::IpAddr, sync::Arc};

use chatcluster_contracts::{
    close::CloseReason,
    problem::{Code, Problem},
};
use chatcluster_service::tokens::Claims;

use super::addresses::{Place, client_address};
use crate::{
    conformance::{self, Service},
    session::{
        Dialect, Form, Outlet, Session,
        connection::{Connection, First},
        ticks,
    },
    shared::Shared,
    user_events::{Seat, UserEvents},
};

/// What a session is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A session of the platform.
    Platform,
    Conformance(Service),
    /// Somebody listens to user events.
    UserEvents,
}

impl Purpose {
    /// What is spoken over SockJS.
    pub(super) const fn sockjs_dialect(&self) -> Dialect {
        match self {
            Self::Platform => Dialect::Stomp,
            Self::Conformance(service) => service.dialect(),
            Self::UserEvents => Dialect::UserEvents,
        }
    }
}

/// Who asks for a session.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    pub(super) peer: IpAddr,
    /// All `X-Forwarded-For` headers as one list.
    pub(super) forwarded_for: Option<&'a str>,
    /// An access token, if the request brings one.
    pub(super) bearer: Option<&'a str>,
    pub(super) ticket: Option<&'a str>,
}

/// Somebody who may have a session.
#[derive(Debug)]
pub(super) struct Admission {
    /// Who the request says it is, if it says.
    pub(super) claims: Option<Claims>,
    place: Option<Place>,
}

pub(super) async fn admit(shared: &Shared, purpose: &Purpose, caller: &Caller<'_>) -> Result<Admission, Problem> {
    let address = client_address(caller.peer, caller.forwarded_for, shared.options.trusted_proxies);
    let Some(place) = shared.addresses.enter(address) else {
        return Err(Problem::new(Code::TooManyConnections, "this address has too many connections here"));
    };
    shared.pace.pass(shared.metrics.messages()).await;
    let claims = match purpose {
        Purpose::UserEvents if shared.options.user_events_open => None,
        Purpose::Platform | Purpose::UserEvents => identify(shared, caller).await?,
        Purpose::Conformance(_) => None,
    };
    Ok(Admission { claims, place: shared.knows_addresses().then_some(place) })
}

async fn identify(shared: &Shared, caller: &Caller<'_>) -> Result<Option<Claims>, Problem> {
    match (caller.bearer, caller.ticket) {
        (Some(token), _) => shared.verify(token).await.map(Some),
        (None, Some(ticket)) => shared.core.redeem_ticket(ticket).await.map(Some),
        (None, None) => Ok(None),
    }
}

/// What a session begins with.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    /// Bytes that came with the request.
    pub(super) early: Vec<u8>,
    /// What it does before it hears anything.
    pub(super) first: Option<First>,
    /// Its place among those who listen to user events.
    pub(super) seat: Option<Seat>,
}

/// Makes a session and gives it a task of its own: small, and without the handshake's state.
pub(super) fn start(
    shared: &Arc<Shared>,
    purpose: &Purpose,
    form: Form,
    outlet: Outlet,
    admission: Admission,
    beginning: Beginning,
) -> Arc<Session> {
    let Admission { claims, place } = admission;
    let Beginning { early, mut first, seat } = beginning;
    let key = shared.sessions.next_key();
    let session = Arc::new(Session::new(key, outlet, form, place, shared.common.clone()));
    shared.metrics.opened.inc();
    shared.metrics.connections.inc();
    let full = shared.sessions.count() >= shared.options.max_connections;
    shared.sessions.add(session.clone());
    if let Some(greeting) = form.carrier.greeting() {
        session.send(greeting);
    }
    if full {
        session.close(CloseReason::TryAgainLater);
    } else if shared.shutdown.is_requested() {
        session.close(CloseReason::ServiceRestart);
    } else {
        if let Purpose::Conformance(service) = purpose {
            match conformance::begin(shared, &session, service) {
                Ok(its_first) => first = its_first,
                Err(reason) => session.close(reason),
            }
        }
        if let Some(seat) = seat {
            UserEvents::begin(shared, &session, seat, claims.as_ref());
        }
        shared.wheel.look(&session, ticks::now());
    }
    tokio::spawn(Connection::new(shared.clone(), session.clone(), early, claims, first));
    session
}
