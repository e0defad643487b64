//! The operator: keeps what a `ChatCluster` asks for, in Kubernetes, Kafka and Redis.
//!
//! One pass over one `ChatCluster` is a pipeline, and the modules are its steps:
//!
//! ```text
//! dereference   all reads: its objects (from watches), Secrets by name, pods
//! validate      spec + secrets -> ValidatedCluster, which later steps believe
//! rollout       what runs now -> which version each part may run next (pure)
//! build/        ValidatedCluster -> the objects it should have (pure, one file a resource)
//! apply/        server-side apply of what differs, removal of what is no longer wanted
//! kafka/ redis/ topics; streams and consumer groups
//! status        what was found -> conditions, written once and only when changed
//! ```
//!
//! `reconcile` runs the steps, `controller` decides when, `lease` who.

mod apply;
pub mod build;
mod caches;
mod capabilities;
mod claims;
mod cleanup;
pub mod cli;
pub mod client;
mod client_cache;
mod controller;
pub mod crd;
mod dereference;
mod events;
pub mod kafka;
mod keys;
pub mod kinds;
pub mod lease;
mod memory;
pub mod metrics;
mod observe;
pub mod options;
mod parts;
mod reconcile;
pub mod redis;
mod report;
pub mod rollout;
pub mod run;
pub mod secrets;
mod status;
mod streams_step;
mod topics_step;
pub mod validate;
