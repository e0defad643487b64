//! What operations ask of every service: `/healthz`, `/readyz`, `/metrics`.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use axum::{
    Json, Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{
    health::{Health, Readiness},
    metrics::Metrics,
};

/// The three paths of one service.
pub fn router(health: Health, metrics: Metrics) -> Router {
    let readiness = health.clone();
    routes(
        move || {
            let readiness = readiness.readiness();
            answer(readiness.is_ready(), readiness)
        },
        move || {
            let mut text = String::new();
            append(&mut text, &metrics);
            append_dependencies(&mut text, [("", &health)]);
            text
        },
    )
}

/// The three paths of a process that runs several services: ready when all of them are.
pub fn combined_router(services: Vec<(&'static str, Health, Metrics)>) -> Router {
    let services = Arc::new(services);
    let of_readiness = Arc::clone(&services);
    routes(
        move || {
            let all: BTreeMap<&str, Readiness> =
                of_readiness.iter().map(|(name, health, _)| (*name, health.readiness())).collect();
            let ready = all.values().all(Readiness::is_ready);
            answer(ready, serde_json::json!({"status": if ready { "ready" } else { "not_ready" }, "services": all}))
        },
        move || {
            let mut text = String::new();
            for (_, _, metrics) in services.iter() {
                append(&mut text, metrics);
            }
            append_dependencies(&mut text, services.iter().map(|(name, health, _)| (*name, health)));
            text
        },
    )
}

fn routes(
    readiness: impl Fn() -> Response + Clone + Send + Sync + 'static,
    metrics: impl Fn() -> String + Clone + Send + Sync + 'static,
) -> Router {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { readiness() }))
        .route("/metrics", get(move || async move { ([(CONTENT_TYPE, OPEN_METRICS)], metrics()) }))
}

fn answer(ready: bool, body: impl serde::Serialize) -> Response {
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// Adds one service's metrics without the end mark, which may stand only once.
fn append(text: &mut String, metrics: &Metrics) {
    let encoded = metrics.encode();
    text.push_str(encoded.strip_suffix("# EOF\n").unwrap_or(&encoded));
}

/// Dependency states are read when asked for, so that health and metrics cannot disagree.
fn append_dependencies<'a>(text: &mut String, services: impl IntoIterator<Item = (&'a str, &'a Health)>) {
    text.push_str("# HELP chatcluster_dependency_up Whether the dependency is reached.\n");
    text.push_str("# TYPE chatcluster_dependency_up gauge\n");
    for (service, health) in services {
        for (name, up) in health.states() {
            let service = if service.is_empty() { String::new() } else { format!(",service=\"{service}\"") };
            // writing into a String does not fail
            let _ = writeln!(text, "chatcluster_dependency_up{{dependency=\"{name}\"{service}}} {}", u8::from(up));
        }
    }
    text.push_str("# EOF\n");
}
