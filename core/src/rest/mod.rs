//! REST for clients. One file a resource; what is wrong is always a problem document ([`problem`]).

mod conversations;
mod events;
mod extract;
mod members;
mod messages;
mod notifications;
mod openapi;
mod presence;
pub mod problem;
mod receipts;
mod sign_in;
mod sync;
mod tickets;
mod users;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use chatcluster_contracts::problem::{Code, Problem};
use chatcluster_service::trace::TraceSource;

use crate::{identity::Identity, store::Store, to_the_end::to_the_end};
pub use openapi::openapi;
use problem::ApiError;

/// No request takes longer, whatever hangs.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the handlers work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api {
    pub store: Store,
    pub identity: Identity,
    pub traces: Arc<TraceSource>,
    /// Proxies in front that add to `X-Forwarded-For`; 0: the header is not believed.
    pub trusted_proxies: usize,
}

/// All routes, with a fallback: unknown routes are problems, too.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/users", post(users::sign_up).get(users::find))
        .route("/v1/users/{id}", get(users::get_one))
        .route("/v1/me", get(users::me))
        .route("/v1/login", post(sign_in::login))
        .route("/v1/token/refresh", post(sign_in::refresh))
        .route("/v1/logout", post(sign_in::logout))
        .route("/v1/tickets", post(tickets::issue))
        .route("/v1/conversations", post(conversations::create).get(conversations::list))
        .route("/v1/conversations/{id}", get(conversations::get_one))
        .route("/v1/conversations/{id}/members", post(members::add).get(members::list))
        .route("/v1/conversations/{id}/members/{user}", delete(members::remove))
        .route("/v1/conversations/{id}/messages", post(messages::send).get(messages::history))
        .route("/v1/conversations/{id}/events", get(events::list))
        .route("/v1/conversations/{id}/receipts", post(receipts::set).get(receipts::list))
        .route("/v1/notifications", get(notifications::list))
        .route("/v1/notifications/read", post(notifications::read_all))
        .route("/v1/notifications/{id}/read", post(notifications::read_one))
        .route("/v1/presence", get(presence::list))
        .route("/v1/sync", get(sync::sync))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/openapi.json", get(openapi::document))
        .fallback(async || ApiError::from(Problem::new(Code::NotFound, "there is no such route")))
        .method_not_allowed_fallback(async || {
            ApiError::from(Problem::new(Code::MethodNotAllowed, "this route does not take that method"))
        })
        .layer(middleware::from_fn(to_the_end))
        .layer(middleware::from_fn(in_time))
        .with_state(api)
}

async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
        ApiError::from(Problem::new(Code::Unavailable, "this took too long; try again")).into_response()
    })
}

/// The public keys of this platform's access tokens (RFC 7517).
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "identity", responses((status = 200, body = serde_json::Value)))]
async fn jwks(State(api): State<Api>) -> Json<serde_json::Value> {
    Json(api.identity.jwks())
}
