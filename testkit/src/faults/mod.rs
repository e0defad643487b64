//! Faults between a client and a server: proxies that count, refuse and cut. To kill or freeze a server itself see
//! [`crate::process`].

mod api;
mod plan;
mod runtime;
mod tcp;

pub use api::ApiProxy;
pub use plan::{Answer, Effect, Fault, Matching, Request};
pub use tcp::{TcpProxy, Traffic};
