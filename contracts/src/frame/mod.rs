//! Native WebSocket frames: JSON text, one object a frame, told apart by `type`.

mod client;
mod server;

pub use client::{ClientFrame, Connect, Join, MAX_ROOM_HISTORY, Receipt, Refused, Send, Typing, decode};
pub use server::ServerFrame;

/// Longest content of one message, in bytes of UTF-8, unless configured otherwise.
pub const MAX_CONTENT_BYTES: usize = 64 * 1024;
