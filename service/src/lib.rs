//! What every process of the platform has at its edges, done once: settings, logs and traces, health, metrics, shutdown
//! and the verification of access tokens. Nothing here knows what the services do.

pub mod config;
pub mod health;
pub mod metrics;
pub mod operations;
#[cfg(debug_assertions)]
pub mod plants;
pub mod rpc;
pub mod shutdown;
pub mod telemetry;
pub mod tokens;
pub mod trace;
