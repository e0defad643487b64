//! The published body: a mark, when it was due and its number in its room, then filling up to the size asked for.

use anyhow::{Context, Result};

/// Stands in no header of any dialect, so a body can be found behind whatever a server puts before it.
const MARK: u8 = b'~';
const DUE: usize = 16;
const NUMBER: usize = 8;
const STAMP: usize = 1 + DUE + NUMBER;

/// What a delivery says about its publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Nanoseconds since the driver started.
    pub(super) due: u64,
    /// Position in its room, from 0.
    pub(super) number: u32,
}

/// Writes a body over `out`, which has its size already.
pub(super) fn write(stamp: Stamp, out: &mut [u8]) {
    out.fill(b'x');
    out[0] = MARK;
    hex(stamp.due, &mut out[1..=DUE]);
    hex(stamp.number.into(), &mut out[1 + DUE..STAMP]);
}

/// The stamp and the bytes behind the body, or `None` when there is no further body.
pub(super) fn next(payload: &[u8], size: usize) -> Result<Option<(Stamp, &[u8])>> {
    let Some(at) = payload.iter().position(|byte| *byte == MARK) else { return Ok(None) };
    let body = payload.get(at..at + size).context("a body came cut off")?;
    let due = number(&body[1..=DUE]).context("a body came damaged")?;
    let number = u32::try_from(number(&body[1 + DUE..STAMP]).context("a body came damaged")?)?;
    Ok(Some((Stamp { due, number }, &payload[at + size..])))
}

fn hex(mut value: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_found_behind_what_a_server_puts_before_them() {
        let stamp = Stamp { due: 1_234_567_890_123, number: 77 };
        let mut body = vec![0; 40];
        write(stamp, &mut body);
        let payload = [b"MESSAGE\n\n", body.as_slice(), b"\0\nMESSAGE\n\n", &body, b"\0"].concat();
        let (first, rest) = next(&payload, 40).unwrap().unwrap();
        let (second, rest) = next(rest, 40).unwrap().unwrap();
        assert_eq!((first, second), (stamp, stamp));
        assert!(next(rest, 40).unwrap().is_none());
        assert!(next(&body[..39], 40).is_err());
    }
}
