//! What control frames say (RFC 6455 section 5.5).

use super::{Incoming, Violation, opcode};

/// The meaning of a whole, unmasked control frame. Its opcode and length were checked with its header.
pub(super) fn read(opcode: u8, payload: Vec<u8>) -> Result<Incoming, Violation> {
    match opcode {
        opcode::PING => Ok(Incoming::Ping(payload)),
        opcode::PONG => Ok(Incoming::Pong),
        _ => close_code(&payload).map(Incoming::Close),
    }
}

/// Section 7.4: a code that may stand in a frame, and a reason that is UTF-8.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        [_] => return Err(Violation::CloseCode),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::CloseCode);
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Violation::NotUtf8);
    }
    Ok(Some(code))
}
