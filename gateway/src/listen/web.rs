//! The HTTP side: what a gateway's port answers to those who do not upgrade.

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use chatcluster_contracts::problem::{Code, Problem};

/// Problem details (RFC 9457).
pub(super) fn problem_json(status: u16, problem: &Problem) -> String {
    let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    serde_json::json!({
        "type": "about:blank",
        "title": title.unwrap_or("Refused"),
        "status": status,
        "code": problem.code.as_str(),
        "detail": problem.detail,
    })
    .to_string()
}

pub(crate) fn problem(status: StatusCode, problem: &Problem) -> Response {
    let body = problem_json(status.as_u16(), problem);
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
}

/// `router` with problem documents for unknown routes and wrong methods.
pub fn with_problems(router: Router) -> Router {
    router
        .fallback(|| async {
            problem(StatusCode::NOT_FOUND, &Problem::new(Code::NotFound, "there is nothing under this path"))
        })
        .method_not_allowed_fallback(|| async {
            let wrong = Problem::new(Code::MethodNotAllowed, "this path does not take this method");
            problem(StatusCode::METHOD_NOT_ALLOWED, &wrong)
        })
}

/// Adds the answer for a path that is asked for without an upgrade.
pub(crate) fn with_upgrade_hint(router: Router, path: &str) -> Router {
    router.route(path, any(upgrade_required))
}

async fn upgrade_required(method: axum::http::Method) -> Response {
    if method != axum::http::Method::GET {
        let wrong = Problem::new(Code::MethodNotAllowed, "a WebSocket upgrade is a GET");
        let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, &wrong);
        answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET"));
        return answer;
    }
    let upgrade = Problem::new(Code::BadRequest, "this path speaks WebSocket: upgrade");
    let mut answer = problem(StatusCode::UPGRADE_REQUIRED, &upgrade);
    let headers = answer.headers_mut();
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    // an upgrade needs a connection of its own
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    answer
}
