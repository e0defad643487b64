//! Text that is unmasked and checked while it arrives: each byte once, and bad text is refused at its first wrong byte
//! (RFC 6455 section 8.1).

use super::{mask, message::room_for};

/// Bytes taken in one step, a multiple of the key's length. They are unmasked and checked in a buffer of this size on
/// the stack and then added to the text, which so never has to be checked again.
const STEP: usize = 1024;

/// Text up to the last character that is complete.
#[derive(Default)]
pub(super) struct TextSoFar {
    text: String,
    /// The beginning of a character whose rest has not arrived.
    begun: [u8; 3],
    begun_length: usize,
}

/// The text cannot become valid any more, or ended within a character.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl TextSoFar {
    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.text.len() + self.begun_length
    }

    pub(super) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// Adds bytes masked with `key`. `to_come`: how many more follow at most, where that is known.
    pub(super) fn push(&mut self, bytes: &[u8], key: [u8; 4], to_come: Option<usize>) -> Result<(), NotUtf8> {
        let arriving = self.begun_length + bytes.len();
        self.text.reserve_exact(room_for(self.text.len(), self.text.capacity(), arriving, to_come));
        let mut buffer = [0; STEP + 3];
        for step in bytes.chunks(STEP) {
            let (start, end) = (self.begun_length, self.begun_length + step.len());
            buffer[..start].copy_from_slice(&self.begun[..start]);
            buffer[start..end].copy_from_slice(step);
            mask::apply(&mut buffer[start..end], key);
            self.add(&buffer[..end])?;
        }
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), NotUtf8> {
        let (complete, begun) = bytes.split_at(bytes.len() - begun_at_the_end(bytes));
        self.text.push_str(simdutf8::basic::from_utf8(complete).map_err(|_| NotUtf8)?);
        if std::str::from_utf8(begun).is_err_and(|error| error.error_len().is_some()) {
            return Err(NotUtf8);
        }
        self.begun_length = begun.len();
        self.begun[..begun.len()].copy_from_slice(begun);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<String, NotUtf8> {
        if self.begun_length == 0 { Ok(self.text) } else { Err(NotUtf8) }
    }
}

/// How many bytes at the end announce a longer character than there is (at most 3).
fn begun_at_the_end(bytes: &[u8]) -> usize {
    for (before, byte) in bytes.iter().rev().take(3).enumerate() {
        let length = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if length > before + 1 { before + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(pieces: &[&[u8]]) -> Result<String, NotUtf8> {
        let mut text = TextSoFar::default();
        for piece in pieces {
            text.push(piece, [0; 4], None)?;
        }
        text.finish()
    }

    #[test]
    fn a_character_may_arrive_in_pieces_but_must_end() {
        let euro = "€".as_bytes();
        assert_eq!(pushed(&[&euro[..1], &euro[1..2], &euro[2..]]).as_deref(), Ok("€"));
        assert_eq!(pushed(&[b"abc", &euro[..2]]), Err(NotUtf8));
    }

    #[test]
    fn the_first_wrong_byte_is_the_last_one_read() {
        for wrong in [&[0xc0][..], &[0xed, 0xa0], &[0xf5], &[0xf4, 0x90], &[0xe0, 0x80], &[0xe2, 0x28], &[0x80]] {
            let mut text = TextSoFar::default();
            let (last, front) = wrong.split_last().unwrap();
            assert_eq!(text.push(front, [0; 4], None), Ok(()), "{wrong:x?} may still become valid");
            assert_eq!(text.push(&[*last], [0; 4], None), Err(NotUtf8), "{wrong:x?}");
        }
    }

    #[test]
    fn characters_across_the_steps_stay_whole() {
        for shift in 0..4 {
            let text = "a".repeat(shift) + &"𝄞".repeat(STEP);
            assert_eq!(pushed(&[text.as_bytes()]).as_deref(), Ok(text.as_str()));
        }
    }
}
