//! WebSocket (RFC 6455, with permessage-deflate of RFC 7692), server side, as codecs: the handshake's words, frames in,
//! frames out. No I/O.
//!
//! Frames out are made once per message and shared by every recipient: a server's frames are not masked, and compressed
//! without context takeover, so they are the same bytes for all.

mod control;
mod decoder;
mod deflate;
mod encoder;
mod handshake;
mod header;
mod incoming;
mod mask;
mod message;
mod partial;
#[cfg(test)]
mod tests;
mod text;

pub use decoder::Decoder;
pub use deflate::{Agreement, Window, binary_deflated, negotiate, text_deflated};
pub use encoder::{Header, binary, close, ping, pong, text, text_header, text_of};
pub use handshake::{VERSION, accept_key, is_valid_key};
pub use incoming::{Incoming, Limits, Violation};

/// Longest payload of a control frame (section 5.5).
pub const MAX_CONTROL_BYTES: usize = 125;

/// The first byte of a frame (section 5.2).
const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;

/// Section 5.2.
mod opcode {
    pub(super) const CONTINUATION: u8 = 0x0;
    pub(super) const TEXT: u8 = 0x1;
    pub(super) const BINARY: u8 = 0x2;
    pub(super) const CLOSE: u8 = 0x8;
    pub(super) const PING: u8 = 0x9;
    pub(super) const PONG: u8 = 0xa;
}
