//! What operations ask of every service: `/healthz`, `/readyz`, `/metrics`.

use axum::{Json, Router, http::StatusCode, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};

use crate::{health::Health, metrics::Metrics};

pub fn router(health: Health, metrics: Metrics) -> Router {
    let readiness = health.clone();
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || async move {
                let readiness = readiness.readiness();
                let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                (status, Json(readiness))
            }),
        )
        .route(
            "/metrics",
            get(move || async move {
                let mut text = metrics.encode();
                insert_dependencies(&mut text, &health);
                ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
            }),
        )
}

/// Dependency states are read when asked for, so that health and metrics cannot disagree.
fn insert_dependencies(text: &mut String, health: &Health) {
    use std::fmt::Write;
    let end = text.rfind("# EOF").unwrap_or(text.len());
    text.truncate(end);
    let _ = writeln!(text, "# HELP chatcluster_dependency_up Whether the dependency is reached.");
    let _ = writeln!(text, "# TYPE chatcluster_dependency_up gauge");
    for (name, up) in health.states() {
        let _ = writeln!(text, "chatcluster_dependency_up{{dependency=\"{name}\"}} {}", u8::from(up));
    }
    text.push_str("# EOF\n");
}
