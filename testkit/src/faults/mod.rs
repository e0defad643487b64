//! Faults between a client and a server: proxies that count, refuse and cut; a clock that is wrong, a disk that
//! is full. To kill or freeze a server itself see [`crate::process`].

mod api;
mod plan;
mod runtime;
mod small_disk;
mod tcp;
mod wall_clock;

pub use api::ApiProxy;
pub use plan::{Answer, Effect, Fault, Matching, Request};
pub use small_disk::SmallDisk;
pub use tcp::{TcpProxy, Traffic};
pub use wall_clock::WallClock;
