//! The gateway: holds client connections and hands each of them the events it is entitled to, in order, once.
//!
//! The way of a frame: `listen` makes a session of a connection, [`protocol`] turns bytes into frames, `session` does what
//! a frame asks, `upstream` carries it to core. The way back: `inbound` reads what workers have for this gateway,
//! [`delivery`] decides by seq whose turn it is, and the sessions' queues are written. `presence` tells the others who is
//! here, and `drain` ends it all.

mod assembly;
mod conformance;
pub mod delivery;
mod drain;
mod gateway;
mod inbound;
pub mod legacy;
pub mod listen;
mod metrics;
mod options;
mod presence;
pub mod protocol;
mod revoked;
mod rooms;
mod session;
mod shared;
mod upstream;
mod user_events;

pub use gateway::{Acceptor, Gateway, Parts};
pub use options::{ListenAt, Options, Process};
