//! Frames from server to client: final, unmasked, never fragmented.

use bytes::{BufMut, Bytes, BytesMut};

use super::{MAX_CONTROL_BYTES, opcode};

const FIN: u8 = 0x80;

fn frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 10);
    out.put_u8(FIN | opcode);
    // section 5.2: 7 bits, or 126 and 16 bits, or 127 and 64 bits
    match payload.len() {
        length @ 0..=125 => out.put_u8(u8::try_from(length).unwrap_or_default()),
        length @ 126..=0xffff => {
            out.put_u8(126);
            out.put_u16(u16::try_from(length).unwrap_or_default());
        }
        length => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    out.put_slice(payload);
    out.freeze()
}

/// A text message. `payload` must be UTF-8; JSON that this platform made is.
pub fn text(payload: &[u8]) -> Bytes {
    frame(opcode::TEXT, payload)
}

pub fn ping() -> Bytes {
    Bytes::from_static(&[FIN | opcode::PING, 0])
}

/// Answers a ping with its own payload (section 5.5.3).
pub fn pong(payload: &[u8]) -> Bytes {
    frame(opcode::PONG, payload)
}

/// A close frame; without a code it is empty. The reason is cut to what a control frame holds.
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else { return frame(opcode::CLOSE, &[]) };
    let mut end = reason.len().min(MAX_CONTROL_BYTES - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = Vec::with_capacity(end + 2);
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    frame(opcode::CLOSE, &payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(&text(b"hi")[..], b"\x81\x02hi");
        assert_eq!(&text(&[b'x'; 126])[..4], [0x81, 126, 0, 126]);
        assert_eq!(&text(&vec![b'x'; 65_535])[..4], [0x81, 126, 0xff, 0xff]);
        assert_eq!(&text(&vec![b'x'; 65_536])[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        let frame = close(Some(1000), &"ä".repeat(100));
        assert_eq!(frame[1], 124, "123 bytes would split the last ä");
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
        assert_eq!(&close(None, "")[..], [0x88, 0]);
    }
}
