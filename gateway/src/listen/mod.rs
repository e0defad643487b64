//! From an accepted TCP connection to a session, or to the HTTP router for everything that is no WebSocket.
//!
//! The request head is read and parsed here, into a buffer that lasts as long as the handshake: a connection that
//! became a session has never seen an HTTP library.

mod accept;
mod addresses;
mod event_stream;
mod fetched;
mod guests;
pub(crate) mod head;
mod opening;
mod origins;
mod pace;
pub(crate) mod plain;
mod reused;
mod rewind;
mod sockjs;
mod target;
mod upgrade;
pub mod web;

pub(crate) use accept::{accept, accept_listener, serve};
pub(crate) use addresses::{Addresses, Place};
pub(crate) use fetched::SockJs;
pub(crate) use guests::Guests;
pub(crate) use origins::Origins;
pub(crate) use pace::Pace;
