//! permessage-deflate (RFC 7692) without context takeover in either direction: no connection holds a window, and one
//! compressed frame serves every recipient.

mod compress;
mod inflate;
mod negotiation;

pub use compress::{binary_deflated, text_deflated};
pub(super) use inflate::{inflate, longest_compressed};
pub use negotiation::{Agreement, negotiate};

/// How far back compressed data for one client may refer: 8 to 15, for 2^8 to 2^15 bytes (RFC 7692 section 7.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window(u8);

impl Window {
    /// 2^15 bytes, what nearly every client allows.
    pub const FULL: Self = Self(15);

    /// The window that a parameter's value names: 8 to 15 without leading zeros.
    fn parse(value: &str) -> Option<Self> {
        let bits = (8..=15).find(|bits: &u8| bits.to_string() == value)?;
        Some(Self(bits))
    }

    fn bits(self) -> u8 {
        self.0
    }

    fn bytes(self) -> usize {
        1 << self.0
    }

    /// A frame compressed with the full window may be sent to a client with this one: in a payload this short nothing
    /// can refer further back.
    pub fn covers(self, payload_length: usize) -> bool {
        self == Self::FULL || payload_length <= self.bytes()
    }
}
