//! The operator on a real API server, with real Kafka and Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod crash;
mod drift;
mod extras;
mod install;
mod lifecycle;
mod outages;
mod refusals;
mod secured;
mod support;
