//! STOMP 1.0, 1.1 and 1.2 without the socket: bytes to frames, frames to what they ask for, answers to bytes, and what a
//! session must remember between them. Chapters named in comments are those of the STOMP 1.2 specification.
//!
//! The way in: [`decoder`] makes frames, [`connect`] reads the first one, [`request`] every other, [`destination`] says
//! what a name means here. A session keeps [`subscriptions`], a [`ledger`] of what is to be acknowledged and
//! [`transactions`]. The way out is [`encoder`]. [`broker`] is the plain message broker of the conformance mode.

pub mod broker;
pub mod connect;
pub mod decoder;
pub mod destination;
pub mod encoder;
mod escape;
pub mod frame;
pub mod ledger;
pub mod request;
pub mod subscriptions;
#[cfg(test)]
mod tests;
pub mod transactions;

pub use frame::{Command, Frame, Headers, Version};

/// The WebSocket subprotocols that mean STOMP, the preferred one first. Which version is spoken is settled by CONNECT.
pub const SUBPROTOCOLS: [&str; 3] = ["v12.stomp", "v11.stomp", "v10.stomp"];

/// A heart-beat, both ways (chapter "Heart-beating").
pub const HEART_BEAT: &[u8] = b"\n";
