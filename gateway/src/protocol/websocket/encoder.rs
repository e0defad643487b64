//! Frames from server to client: final, unmasked, never fragmented. Each is written once, into one buffer of its size.

use std::ops::Deref;

use bytes::{BufMut, Bytes, BytesMut};

use super::{FIN, MAX_CONTROL_BYTES, opcode};

/// The bytes before a frame's payload, for frames whose payload lies elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; 10],
    length: usize,
}

impl Header {
    /// `first`: the flags and the opcode. Section 5.2: 7 bits of length, or 126 and 16 bits, or 127 and 64 bits.
    pub(super) fn new(first: u8, payload_length: usize) -> Self {
        let mut bytes = [0; 10];
        let mut rest = &mut bytes[..];
        rest.put_u8(first);
        match (u8::try_from(payload_length), u16::try_from(payload_length)) {
            (Ok(short @ 0..=125), _) => rest.put_u8(short),
            (_, Ok(medium)) => {
                rest.put_u8(126);
                rest.put_u16(medium);
            }
            _ => {
                rest.put_u8(127);
                rest.put_u64(payload_length as u64);
            }
        }
        let length = 10 - rest.len();
        Self { bytes, length }
    }
}

impl Deref for Header {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

pub(super) fn frame(first: u8, parts: &[&[u8]]) -> Bytes {
    let length = parts.iter().map(|part| part.len()).sum();
    let header = Header::new(first, length);
    let mut out = BytesMut::with_capacity(header.len() + length);
    out.put_slice(&header);
    for part in parts {
        out.put_slice(part);
    }
    out.freeze()
}

/// A text message. `payload` must be UTF-8; JSON that this platform made is.
pub fn text(payload: &[u8]) -> Bytes {
    text_of(&[payload])
}

/// A text message of several parts, one after the other.
pub fn text_of(parts: &[&[u8]]) -> Bytes {
    frame(FIN | opcode::TEXT, parts)
}

/// A binary message.
pub fn binary(payload: &[u8]) -> Bytes {
    frame(FIN | opcode::BINARY, &[payload])
}

/// What stands before a text message's `payload_length` bytes, for a payload that several frames share.
pub fn text_header(payload_length: usize) -> Header {
    Header::new(FIN | opcode::TEXT, payload_length)
}

pub fn ping() -> Bytes {
    Bytes::from_static(&[FIN | opcode::PING, 0])
}

/// Answers a ping with its own payload (section 5.5.3).
pub fn pong(payload: &[u8]) -> Bytes {
    frame(FIN | opcode::PONG, &[payload])
}

/// A close frame; without a code it is empty. The reason is cut to what a control frame holds.
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else { return Bytes::from_static(&[FIN | opcode::CLOSE, 0]) };
    let end = reason.floor_char_boundary(MAX_CONTROL_BYTES - 2);
    frame(FIN | opcode::CLOSE, &[&code.to_be_bytes(), &reason.as_bytes()[..end]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(&text(b"hi")[..], b"\x81\x02hi");
        assert_eq!(&text(&[b'x'; 125])[..2], [0x81, 125]);
        assert_eq!(&text(&[b'x'; 126])[..4], [0x81, 126, 0, 126]);
        assert_eq!(&text(&vec![b'x'; 65_535])[..4], [0x81, 126, 0xff, 0xff]);
        assert_eq!(&text(&vec![b'x'; 65_536])[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(&binary(&[0, 255])[..], [0x82, 2, 0, 255]);
    }

    #[test]
    fn a_frame_in_parts_is_the_frame_of_the_whole() {
        let whole = text(b"prefix and body");
        assert_eq!(text_of(&[b"prefix ", b"", b"and body"]), whole);
        assert_eq!([&*text_header(15), b"prefix and body"].concat(), whole);
    }

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        let frame = close(Some(1000), &"ä".repeat(100));
        assert_eq!(frame[1], 124, "123 bytes would split the last ä");
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
        assert_eq!(&close(None, "")[..], [0x88, 0]);
    }
}
