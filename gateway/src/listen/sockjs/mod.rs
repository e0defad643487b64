//! SockJS over HTTP: the pages of a base path, and the transports that need no WebSocket. What the bytes mean is in
//! [`crate::protocol::sockjs`]; here they meet requests, clocks and sessions.
//!
//! A session without a socket lives in [`store`]: one request at a time receives (`receive`), others send (`send`). What a
//! session does with messages is its [`Service`]'s business.

mod answers;
pub(crate) mod hixie76;
mod pages;
mod receive;
mod send;
mod sessions;
mod settings;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use answers::Cors;
use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use http::{Method, StatusCode};
pub(crate) use sessions::{Departure, Opening, Service, Session, Taken};
pub(crate) use settings::Settings;
use store::Store;

use crate::protocol::sockjs::{
    route::{Base, Inlet, Route},
    transport::Transport,
};

/// What the requests of one base share.
struct Shared<S: Service> {
    base: Base,
    settings: Settings,
    store: Arc<Store<S>>,
}

/// Everything under `base`, at absolute paths: for merging into a port's router. Nothing is upgraded to a
/// WebSocket here: a request that comes this far is told what is wrong with it.
pub(crate) fn router<S: Service>(base: Base, service: S, settings: Settings) -> Router {
    let store = Store::new(service, settings.max_sessions, settings.disconnect);
    let path = base.path().to_owned();
    let shared = Arc::new(Shared { base, settings, store });
    let handler = any(handle::<S>);
    let mut router = Router::new();
    if !path.is_empty() {
        router = router.route(&path, handler.clone());
    }
    router.route(&format!("{path}/"), handler.clone()).route(&format!("{path}/{{*rest}}"), handler).with_state(shared)
}

async fn handle<S: Service>(State(shared): State<Arc<Shared<S>>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let Some(route) = shared.base.route(&path) else { return answers::text(StatusCode::NOT_FOUND, "not found") };
    let Some(cors) = Cors::of(&shared.settings.origins, request.headers()) else {
        tracing::debug!(path, "a page of an origin that is not allowed was refused");
        return answers::text(StatusCode::FORBIDDEN, "pages of this origin may not connect");
    };
    let methods = methods(route);
    if request.method() == Method::OPTIONS && methods.contains(&Method::OPTIONS) {
        return answers::preflight(&cors, methods);
    }
    if !methods.contains(request.method()) {
        return answers::method_not_allowed(methods);
    }
    match route {
        Route::Greeting => pages::greeting(),
        Route::IFrame => pages::iframe(&shared.settings, request.headers()),
        Route::WebSocket(_) => pages::not_upgraded(request.headers()),
        Route::Info => cors.allow(answers::uncached(pages::info(&shared.base))),
        Route::Receive(transport, id) => {
            let cookie = answers::cookie(&shared.base, request.headers());
            let answer = receive::receive(&shared, transport, id, request).await;
            cors.allow(answers::with_cookie(answers::uncached(answer), cookie))
        }
        Route::Send(inlet, id) => {
            let cookie = answers::cookie(&shared.base, request.headers());
            let answer = send::send(&shared, inlet, id, request).await;
            cors.allow(answers::with_cookie(answers::uncached(answer), cookie))
        }
    }
}

/// In the order the document's tests want them named.
fn methods(route: Route<'_>) -> &'static [Method] {
    match route {
        Route::Greeting | Route::IFrame => &[Method::GET, Method::HEAD],
        Route::Info => &[Method::OPTIONS, Method::GET],
        Route::Receive(Transport::Xhr | Transport::XhrStreaming, _) | Route::Send(Inlet::Xhr, _) => {
            &[Method::OPTIONS, Method::POST]
        }
        Route::Send(Inlet::Jsonp, _) => &[Method::POST],
        Route::WebSocket(_) | Route::Receive(..) => &[Method::GET],
    }
}
