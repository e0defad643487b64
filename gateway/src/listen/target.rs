//! Which requests may become sessions, and how each is answered.

use std::{net::SocketAddr, sync::Arc};

use chatcluster_contracts::{
    frame::Connect,
    problem::{Code, Problem},
};

use super::{
    event_stream, head,
    opening::{self, Admission, Beginning, Caller, Purpose},
    upgrade::{self, Answer, Handshake, Refusal, Spoken},
};
use crate::{
    conformance::Service,
    protocol::{
        native,
        sockjs::route::{Framing, VERSIONS},
        stomp, websocket,
    },
    session::{Carrier, Dialect, Form, Outlet, Session, connection::First},
    shared::Shared,
    user_events::{Seat, Wanted},
};

/// Subprotocols of the platform, the preferred one first.
const PROTOCOLS: [&str; 1 + stomp::SUBPROTOCOLS.len()] =
    [native::SUBPROTOCOL, stomp::SUBPROTOCOLS[0], stomp::SUBPROTOCOLS[1], stomp::SUBPROTOCOLS[2]];

/// Where a request that may become a session leads.
pub(super) struct Target {
    pub(super) purpose: Purpose,
    pub(super) way: Way,
}

/// Which of the gateway's ports a connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entrance {
    Main,
    UserEvents,
}

impl Entrance {
    /// Does the path lead to user events here?
    fn has_user_events(self, path: &str) -> bool {
        path == "/user-events" || (self == Self::UserEvents && path == "/ws")
    }
}

/// How a session's connection is spoken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    WebSocket,
    SockJs(Framing),
    EventStream,
}

impl Target {
    pub(super) fn of(shared: &Shared, entrance: Entrance, request: &head::Request) -> Option<Self> {
        let path = request.path.as_str();
        if shared.rooms.is_none() && entrance.has_user_events(path) && (request.upgrade || request.wants_events) {
            let way = if request.upgrade { Way::WebSocket } else { Way::EventStream };
            return Some(Self { purpose: Purpose::UserEvents, way });
        }
        if entrance == Entrance::UserEvents {
            return None;
        }
        if request.upgrade
            && let Some((purpose, framing)) = shared.sockjs.upgrade(path)
        {
            return Some(Self { purpose, way: Way::SockJs(framing) });
        }
        let (purpose, way) = match (shared.rooms.is_some(), path, request.upgrade) {
            (true, path, true) => (Purpose::Conformance(Service::of(path)?), Way::WebSocket),
            (false, "/ws", true) => (Purpose::Platform, Way::WebSocket),
            (false, "/events", false) => (Purpose::Platform, Way::EventStream),
            _ => return None,
        };
        Some(Self { purpose, way })
    }

    /// Subprotocols that may be agreed on, the preferred one first.
    fn protocols(&self) -> &'static [&'static str] {
        match &self.purpose {
            Purpose::Platform if self.way == Way::WebSocket => &PROTOCOLS,
            Purpose::Platform | Purpose::Conformance(Service::Broker) => &stomp::SUBPROTOCOLS,
            Purpose::Conformance(_) => &[native::SUBPROTOCOL],
            Purpose::UserEvents => &[],
        }
    }

    fn dialect(&self, protocol: Option<&str>) -> Dialect {
        match &self.purpose {
            purpose if matches!(self.way, Way::SockJs(_)) => purpose.sockjs_dialect(),
            Purpose::Platform if protocol.is_some_and(|name| stomp::SUBPROTOCOLS.contains(&name)) => Dialect::Stomp,
            Purpose::Platform => Dialect::Native,
            Purpose::Conformance(service) => service.dialect(),
            Purpose::UserEvents => Dialect::UserEvents,
        }
    }

    /// The answer that opens a session, or why there is none.
    pub(super) async fn answer(
        self,
        shared: &Shared,
        request: &head::Request,
        peer: SocketAddr,
    ) -> Result<Accepted, Refusal> {
        let wanted = match &self.purpose {
            Purpose::UserEvents => {
                let wanted = Wanted::read(&request.query, request.last_event_id.as_deref());
                Some(wanted.map_err(Refusal::of)?)
            }
            _ => None,
        };
        let (origins, deflate) = (&shared.origins, shared.options.permessage_deflate);
        let no_connect = |answer, form| (answer, String::new(), form, None);
        let (answer, begins_with, form, connect) = match self.way {
            Way::EventStream if wanted.is_some() => {
                let (answer, begins_with) = event_stream::answer(request, origins)?;
                (answer, begins_with, Form { dialect: self.dialect(None), carrier: Carrier::EventStream }, None)
            }
            Way::EventStream => {
                let event_stream::Begun { answer, begins_with, connect } = event_stream::begin(request, origins)?;
                let form = Form { dialect: self.dialect(None), carrier: Carrier::EventStream };
                (answer, begins_with, form, Some(connect))
            }
            Way::SockJs(Framing::SockJs) => {
                let spoken = Spoken { versions: &VERSIONS, protocols: &[], deflate: false };
                let Handshake { answer, .. } = upgrade::handshake(request, origins, spoken)?;
                no_connect(answer, Form { dialect: self.dialect(None), carrier: Carrier::SockJs })
            }
            Way::SockJs(Framing::Raw) | Way::WebSocket => {
                let versions: &[&str] = if self.way == Way::WebSocket { &[websocket::VERSION] } else { &VERSIONS };
                let spoken = Spoken { versions, protocols: self.protocols(), deflate };
                let Handshake { answer, protocol, deflate } = upgrade::handshake(request, origins, spoken)?;
                no_connect(answer, Form { dialect: self.dialect(protocol), carrier: Carrier::WebSocket { deflate } })
            }
        };
        let caller = Caller {
            peer: peer.ip(),
            forwarded_for: request.forwarded_for.as_deref(),
            bearer: request.bearer.as_deref(),
            ticket: request.ticket.as_deref(),
        };
        let admission = opening::admit(shared, &self.purpose, &caller).await.map_err(Refusal::of)?;
        if connect.is_some() && admission.claims.is_none() {
            let problem = Problem::new(Code::Unauthenticated, "an Authorization header or a ticket is needed");
            return Err(Refusal::of(problem));
        }
        let seat = match wanted {
            Some(wanted) => {
                let entering = shared.user_events.enter(wanted, admission.claims.as_ref());
                Some(entering.await.map_err(Refusal::of)?)
            }
            None => None,
        };
        let opens = Opens { purpose: self.purpose, form, connect, admission, seat };
        Ok(Accepted { answer, begins_with, opens })
    }
}

/// A request that opens a session.
pub(super) struct Accepted {
    pub(super) answer: Answer,
    /// Text that follows the answer's head.
    pub(super) begins_with: String,
    pub(super) opens: Opens,
}

/// A session that is about to be.
pub(super) struct Opens {
    purpose: Purpose,
    form: Form,
    /// What it connects with by itself.
    connect: Option<Connect>,
    admission: Admission,
    /// Its place among those who listen to user events.
    seat: Option<Seat>,
}

impl Opens {
    /// `early`: bytes that came with the request.
    pub(super) fn start(self, shared: &Arc<Shared>, outlet: Outlet, early: Vec<u8>) -> Arc<Session> {
        let Self { purpose, form, connect, admission, seat } = self;
        let beginning = Beginning { early, first: connect.map(First::Connect), seat };
        opening::start(shared, &purpose, form, outlet, admission, beginning)
    }
}
