//! WebSocket (RFC 6455), server side, as codecs: the handshake's accept key, frames in, frames out.
//!
//! Frames out are made once per message and shared by every recipient: a server's frames are not masked, so they are
//! the same bytes for all.

mod decoder;
mod encoder;
mod handshake;
mod utf8;

pub use decoder::{Decoder, Incoming, Violation};
pub use encoder::{close, ping, pong, text};
pub use handshake::{VERSION, accept_key, is_valid_key};

/// Longest payload of a control frame (section 5.5).
pub const MAX_CONTROL_BYTES: usize = 125;

/// Section 5.2.
mod opcode {
    pub(super) const CONTINUATION: u8 = 0x0;
    pub(super) const TEXT: u8 = 0x1;
    pub(super) const BINARY: u8 = 0x2;
    pub(super) const CLOSE: u8 = 0x8;
    pub(super) const PING: u8 = 0x9;
    pub(super) const PONG: u8 = 0xa;
}
