//! What the gateway asks of others: core by gRPC, and the log for typing. Each road is shared by all sessions, bounded,
//! and never makes a session wait.

mod backoff;
mod core_api;
mod lists;
pub(crate) mod receipts;
pub(crate) mod sends;
mod turns;
pub(crate) mod typing;

pub(crate) use backoff::Backoff;
pub(crate) use core_api::{CoreApi, CoreError, Over, Page};
pub(crate) use lists::Lists;
