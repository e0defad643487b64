//! Core as its users see it. The store's and the relay's tests run over SQLite and over a MariaDB of their own; see
//! `support`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod members;
mod notifications;
mod outages;
mod path;
mod platform;
mod presence;
mod process;
mod relay;
mod rest;
mod rpc;
mod sends;
mod support;
mod tokens;
mod watermarks;
