//! Requests on a connection that the HTTP library has: those it began with are not for a session, later ones may be, since
//! proxies send whatever comes next over a connection that they kept.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    body::Body,
    extract::ConnectInfo,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderName, HeaderValue, Method, Request, Version};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tower::ServiceExt;

use super::{
    guests::Fetcher,
    head,
    rewind::Rewind,
    target::{Accepted, Entrance, Opens, Target, Way},
    upgrade::Answer,
};
use crate::{
    session::{Outlet, Session, Took},
    shared::Shared,
};

/// Most bytes of an event stream that are taken at once.
const MAX_TAKEN: usize = 64 * 1024;

pub(super) async fn serve(
    shared: &Arc<Shared>,
    entrance: Entrance,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Response {
    if request.method() == Method::GET && request.version() == Version::HTTP_11 {
        let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let head = head::Request::read(target, headers);
        if let Some(target) = Target::of(shared, entrance, &head) {
            return open(shared, target, &head, peer, hyper::upgrade::on(&mut request)).await;
        }
    }
    request.extensions_mut().insert(ConnectInfo(peer));
    let web = match entrance {
        Entrance::Main => &shared.web,
        Entrance::UserEvents => &shared.user_events_web,
    };
    match web.clone().oneshot(request).await {
        Ok(response) => response,
        Err(impossible) => match impossible {},
    }
}

async fn open(
    shared: &Arc<Shared>,
    target: Target,
    request: &head::Request,
    peer: SocketAddr,
    upgrade: OnUpgrade,
) -> Response {
    let way = target.way;
    let Accepted { answer, begins_with, opens } = match target.answer(shared, request, peer).await {
        Ok(accepted) => accepted,
        Err(refusal) => {
            let (answer, body) = refusal.answer();
            return response(answer, body);
        }
    };
    if way == Way::EventStream {
        let session = opens.start(shared, Outlet::Fetched(Box::default()), Vec::new());
        let begins_with = Some(Bytes::from(begins_with));
        return response(answer, Body::from_stream(Events { begins_with, session, _fetcher: shared.guests.bring() }));
    }
    tokio::spawn(take_over(shared.clone(), opens, upgrade));
    response(answer, ())
}

/// Once the answer is written, the connection is the session's alone.
async fn take_over(shared: Arc<Shared>, opens: Opens, upgrade: OnUpgrade) {
    let parts = match upgrade.await {
        Ok(upgraded) => upgraded.downcast::<TokioIo<Rewind>>(),
        Err(error) => return tracing::debug!(%error, "connection ended before it was a session"),
    };
    if let Ok(parts) = parts {
        let (stream, front) = parts.io.into_inner().into_parts();
        opens.start(&shared, Outlet::Socket(stream), [front, parts.read_buf].concat());
    }
}

fn response(answer: Answer, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    *response.status_mut() = answer.status;
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A session as the body of a response.
struct Events {
    begins_with: Option<Bytes>,
    session: Arc<Session>,
    _fetcher: Fetcher,
}

impl Stream for Events {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(begins_with) = self.begins_with.take() {
            return Poll::Ready(Some(Ok(begins_with)));
        }
        let mut frames = Vec::new();
        Poll::Ready(match ready!(self.session.poll_take(context, MAX_TAKEN, |frame| frames.push(frame))) {
            Took::Frames => Some(Ok(frames.concat().into())),
            Took::End(_) => None,
        })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.session.leave();
    }
}
