//! WebSocket frames as a client sees them (RFC 6455 section 5.2), only as far as a driver needs to look.

use anyhow::{Result, ensure};

pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

const MASKED: u8 = 0x80;
/// The length follows in so many bits.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) opcode: u8,
    pub(super) payload: &'a [u8],
}

/// The first frame and the bytes behind it; `None` while it is not there as a whole.
pub(super) fn next(bytes: &[u8]) -> Result<Option<(Frame<'_>, &[u8])>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    ensure!(first & 0x80 != 0, "a message came in fragments");
    ensure!(first & 0x70 == 0 && second & MASKED == 0, "a frame came compressed or masked");
    let (length, rest) = match *second {
        LENGTH_16 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        LENGTH_64 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        },
        short => (u64::from(short), rest),
    };
    let Some((payload, rest)) = rest.split_at_checked(usize::try_from(length)?) else { return Ok(None) };
    Ok(Some((Frame { opcode: first & 15, payload }, rest)))
}

/// Appends a frame to the server. The mask is zero: it has to be there, and masking would only cost the driver.
pub(super) fn write(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..=125), _) => out.push(MASKED | length),
        (_, Ok(length)) => {
            out.push(MASKED | LENGTH_16);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(MASKED | LENGTH_64);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        write(opcode, payload, &mut frame);
        let header = frame.len() - payload.len() - 4;
        frame.drain(header..header + 4);
        frame[1] &= 0x7f;
        frame
    }

    #[test]
    fn every_length_and_every_cut() {
        for size in [0, 125, 126, 65535, 65536] {
            let payload = vec![b'a'; size];
            let mut bytes = unmasked(TEXT, &payload);
            let length = bytes.len();
            bytes.extend_from_slice(&unmasked(PING, b"p"));
            let (frame, rest) = next(&bytes).unwrap().unwrap();
            assert_eq!(frame, Frame { opcode: TEXT, payload: &payload });
            assert_eq!(next(rest).unwrap().unwrap().0, Frame { opcode: PING, payload: b"p" });
            assert!((0..length.min(200)).all(|cut| cut == length || next(&bytes[..cut]).unwrap().is_none()));
        }
    }

    #[test]
    fn fragments_and_masks_are_refused() {
        assert!(next(&[0x01, 0]).is_err());
        assert!(next(&[0x81, 0x80]).is_err());
    }
}
