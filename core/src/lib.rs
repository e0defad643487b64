//! Identity, conversations and messages: the record of what was said. REST for clients, gRPC for the other services,
//! SQL underneath, and an outbox whose relay feeds the event log.
//!
//! [`Core`] is the whole of it, to be mounted by a process; [`run`] is the process that does nothing else.

mod assembly;
mod clock;
pub mod domain;
pub mod identity;
mod ingest;
pub mod metrics;
mod options;
pub mod outbox;
mod presence;
pub mod rest;
pub mod rpc;
mod server;
pub mod store;
mod to_the_end;

pub use assembly::{Core, Parts};
pub use options::{CoreOptions, Options, TokenOptions};
pub use server::run;
