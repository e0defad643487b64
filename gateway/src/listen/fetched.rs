//! SockJS clients and the gateway's sessions: which bases there are, and how a session is reached by requests instead of
//! a socket of its own.

use std::{
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};

use axum::Router;
use chatcluster_contracts::problem::{Code, Problem};
use http::header;

use super::{
    Origins,
    guests::Fetcher,
    head,
    opening::{self, Beginning, Caller, Purpose},
    sockjs::{self, Departure, Opening, Settings, Taken},
};
use crate::{
    Options, conformance,
    protocol::sockjs::{
        frames::{Close, Message},
        iframe::{BadClientUrl, CLIENT_URL, Page},
        route::{Base, Framing},
    },
    session::{Carrier, Form, Outlet, Session, Took},
    shared::Shared,
};

/// Where SockJS is served, and how.
pub(crate) struct SockJs {
    /// Each with what its sessions are for.
    bases: Vec<(Base, Purpose)>,
    settings: Settings,
}

impl SockJs {
    /// `origins`: whose pages may connect.
    pub(crate) fn new(options: &Options, origins: Origins) -> Result<Self, BadClientUrl> {
        let page = options.sockjs_client_url.as_deref().map(Page::new).transpose()?;
        let base = Base::new("/sockjs");
        let settings = Settings {
            origins,
            page,
            heartbeat: options.heartbeat,
            disconnect: options.sockjs_disconnect,
            max_sessions: options.max_connections,
            // clients put everything that waits into their next request
            max_post: options.max_frame.saturating_mul(4),
            ..Settings::default()
        };
        let base = if options.sockjs_cookie { base.with_cookie() } else { base };
        Ok(Self { bases: vec![(base, Purpose::Platform)], settings })
    }

    /// What the protocol's own tests expect: services of theirs, and responses that end early.
    pub(crate) fn conformance(services: Vec<(Base, conformance::Service)>) -> Result<Self, BadClientUrl> {
        let page = Some(Page::new(CLIENT_URL)?);
        let settings = Settings { origins: Origins::Any, page, response_limit: 4096, ..Settings::default() };
        let bases = services.into_iter().map(|(base, service)| (base, Purpose::Conformance(service))).collect();
        Ok(Self { bases, settings })
    }

    /// Where an upgrade of this path leads.
    pub(super) fn upgrade(&self, path: &str) -> Option<(Purpose, Framing)> {
        self.bases.iter().find_map(|(base, purpose)| Some((purpose.clone(), base.upgrade(path)?)))
    }

    /// Everything but the upgrades.
    pub(crate) fn router(&self, shared: &Weak<Shared>) -> Router {
        self.bases.iter().fold(Router::new(), |router, (base, purpose)| {
            let service = Service { purpose: purpose.clone(), shared: shared.clone() };
            router.merge(sockjs::router(base.clone(), service, self.settings.clone()))
        })
    }
}

struct Service {
    purpose: Purpose,
    // the router belongs to it
    shared: Weak<Shared>,
}

impl sockjs::Service for Service {
    type Session = Fetched;

    async fn open(&self, opening: &Opening<'_>) -> Result<Fetched, Problem> {
        let (Some(shared), Some(peer)) = (self.shared.upgrade(), opening.peer) else {
            return Err(Problem::new(Code::Unavailable, "the gateway stops"));
        };
        let values = |name| opening.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let forwarded_for = values("x-forwarded-for").collect::<Vec<_>>().join(",");
        let caller = Caller {
            peer: peer.ip(),
            forwarded_for: Some(&forwarded_for),
            bearer: values(header::AUTHORIZATION.as_str()).find_map(head::bearer),
            ticket: None,
        };
        open(&shared, &self.purpose, &caller).await
    }
}

/// Opens a session that is fetched.
pub(super) async fn open(shared: &Arc<Shared>, purpose: &Purpose, caller: &Caller<'_>) -> Result<Fetched, Problem> {
    let admission = opening::admit(shared, purpose, caller).await?;
    let form = Form { dialect: purpose.sockjs_dialect(), carrier: Carrier::Fetched };
    let session =
        opening::start(shared, purpose, form, Outlet::Fetched(Box::default()), admission, Beginning::default());
    Ok(Fetched { session, _fetcher: shared.guests.bring() })
}

/// A session that its client fetches.
pub(super) struct Fetched {
    session: Arc<Session>,
    _fetcher: Fetcher,
}

impl sockjs::Session for Fetched {
    async fn post(&self, messages: Vec<String>) {
        self.session.post(messages).await;
    }

    fn poll_take(&self, context: &mut Context<'_>, max_bytes: usize, into: &mut Vec<Message>) -> Poll<Taken> {
        let took = self.session.poll_take(context, max_bytes, |frame| into.push(Message::of(frame)));
        Poll::Ready(match ready!(took) {
            Took::Frames => Taken::Messages,
            Took::End(reason) => {
                let (code, reason) = self.session.form().close(reason);
                Taken::Closed(Close::fixed(code, reason))
            }
        })
    }

    fn gone(&self, _: Departure) {
        self.session.leave();
    }
}
