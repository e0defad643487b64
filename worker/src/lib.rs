//! The fan-out: Kafka in, Redis Streams out.
//!
//! A record's way: [`consume`] hands it to the task of its partition, [`decode`] makes [`decode::Work`] of it,
//! [`resolve`] finds the members and where they are connected, [`plan`] (pure) decides what goes where, [`publish`]
//! writes it, and only then is the record finished.

mod breaker;
mod clock;
pub mod config;
mod connection_events;
mod consume;
mod dead_letter;
mod decode;
mod digest;
mod metrics;
pub mod plan;
mod presence;
mod publish;
mod registry_sync;
pub mod resolve;
mod user_event_log;
mod worker;

pub use config::Options;
pub use worker::{Parts, Worker};
