//! The header of a client's frame (RFC 6455 section 5.2), judged byte by byte as it arrives.

use super::{FIN, Limits, MAX_CONTROL_BYTES, RSV1, Violation, opcode};

/// Bytes of the longest header.
pub(super) const LONGEST: usize = 14;

const MASKED: u8 = 0x80;
const RESERVED: u8 = 0x70;

/// A header that broke no rule on its own.
#[derive(Clone, Copy)]
pub(super) struct FrameHeader {
    pub(super) fin: bool,
    /// RSV1 of a message's first frame (RFC 7692 section 6).
    pub(super) compressed: bool,
    pub(super) opcode: u8,
    /// Bytes of payload.
    pub(super) length: usize,
    pub(super) key: [u8; 4],
}

impl FrameHeader {
    pub(super) fn is_control(&self) -> bool {
        self.opcode >= opcode::CLOSE
    }
}

/// The header at the front of `bytes` and its own length. `None`: it goes on after `bytes`. A violation is told by the
/// first byte that makes it one, so it does not depend on how much has arrived.
pub(super) fn parse(
    bytes: &[u8],
    within_message: bool,
    limits: &Limits,
) -> Result<Option<(FrameHeader, usize)>, Violation> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    check_first(first, within_message, limits)?;
    let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
    if second & MASKED == 0 {
        return Err(Violation::Unmasked);
    }
    let opcode = first & 0x0f;
    let short = second & !MASKED;
    if opcode >= opcode::CLOSE && usize::from(short) > MAX_CONTROL_BYTES {
        return Err(Violation::Control);
    }
    let (length, rest) = match short {
        126 => {
            let Some((bytes, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (longer_than(125, u16::from_be_bytes(*bytes).into())?, rest)
        }
        127 => {
            let Some((bytes, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (longer_than(0xffff, u64::from_be_bytes(*bytes))?, rest)
        }
        short => (u64::from(short), rest),
    };
    let Some((key, rest)) = rest.split_first_chunk() else { return Ok(None) };
    let header = FrameHeader {
        fin: first & FIN != 0,
        compressed: first & RSV1 != 0,
        opcode,
        length: usize::try_from(length).map_err(|_| Violation::TooBig)?,
        key: *key,
    };
    Ok(Some((header, bytes.len() - rest.len())))
}

/// Sections 5.2, 5.4 and 5.5, and RFC 7692 section 6 for the reserved bits.
fn check_first(first: u8, within_message: bool, limits: &Limits) -> Result<(), Violation> {
    let opcode = first & 0x0f;
    let begins = matches!(opcode, opcode::TEXT | opcode::BINARY);
    let allowed = if limits.deflate && begins { RSV1 } else { 0 };
    if first & RESERVED & !allowed != 0 {
        return Err(Violation::ReservedBit);
    }
    match opcode {
        opcode::CONTINUATION if !within_message => Err(Violation::Fragmentation),
        _ if begins && within_message => Err(Violation::Fragmentation),
        opcode::BINARY if !limits.binary => Err(Violation::Binary),
        opcode::CLOSE | opcode::PING | opcode::PONG if first & FIN == 0 => Err(Violation::Control),
        opcode::CONTINUATION..=opcode::BINARY | opcode::CLOSE..=opcode::PONG => Ok(()),
        _ => Err(Violation::Opcode),
    }
}

/// A length takes the shortest form that holds it, and its highest bit is 0.
fn longer_than(shorter_form: u64, length: u64) -> Result<u64, Violation> {
    if length > shorter_form && length >> 63 == 0 { Ok(length) } else { Err(Violation::Length) }
}
