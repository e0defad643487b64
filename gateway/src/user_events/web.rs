//! What the port of user events answers to plain requests.

use std::sync::{Arc, Weak};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use chatcluster_contracts::problem::{Code, Problem};
use chatcluster_service::{health::Health, metrics::Metrics, operations};
use serde::Deserialize;

use crate::{
    listen::{head::bearer, web},
    shared::Shared,
};

/// Users named unless asked otherwise, and most of them.
const USERS: (usize, usize) = (100, 10_000);

pub(crate) fn router(shared: &Weak<Shared>, health: &Health, metrics: &Metrics) -> Router {
    let router = operations::router(health.clone(), metrics.clone())
        .route("/health", get(|| async { "ok\n" }))
        .route("/admin/stats", get(stats).with_state(shared.clone()));
    let router = web::with_upgrade_hint(web::with_upgrade_hint(router, "/ws"), "/user-events");
    web::with_problems(router)
}

#[derive(Debug, Deserialize)]
struct Asked {
    /// How many users are named.
    users: Option<usize>,
}

async fn stats(State(shared): State<Weak<Shared>>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    let Some(shared) = shared.upgrade() else {
        return refusal(&Problem::new(Code::Unavailable, "the gateway stops"));
    };
    if let Err(problem) = admit(&shared, &headers).await {
        return refusal(&problem);
    }
    let users = asked.users.unwrap_or(USERS.0).min(USERS.1);
    Json(shared.user_events.stats(&shared.gateway.node, users).await).into_response()
}

/// The platform's own services, and those whose token says `admin`.
async fn admit(shared: &Arc<Shared>, headers: &HeaderMap) -> Result<(), Problem> {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    let Some(token) = token else {
        return Err(Problem::new(Code::Unauthenticated, "an Authorization header is needed"));
    };
    if shared.is_service_token(token) {
        return Ok(());
    }
    if shared.verify(token).await?.admin {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, "the token's claim admin is not true"))
}

fn refusal(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    web::problem(status, problem)
}
