//! UTF-8 checked while it arrives, so that bad text is refused at its first wrong byte (RFC 6455 section 8.1).

/// How much of a growing buffer is known to be valid.
#[derive(Debug, Default)]
pub(super) struct Utf8Progress {
    valid: usize,
}

/// The text cannot become valid any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Utf8Progress {
    /// Checks what was added to `buffer` since the last call. A character may still be incomplete at the end, unless
    /// `last`.
    pub(super) fn advance(&mut self, buffer: &[u8], last: bool) -> Result<(), NotUtf8> {
        match simdutf8::compat::from_utf8(&buffer[self.valid..]) {
            Ok(_) => self.valid = buffer.len(),
            Err(error) if error.error_len().is_none() && !last => self.valid += error.valid_up_to(),
            Err(_) => return Err(NotUtf8),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_may_arrive_in_pieces_but_must_end() {
        let euro = "€".as_bytes();
        let mut progress = Utf8Progress::default();
        assert_eq!(progress.advance(&euro[..1], false), Ok(()));
        assert_eq!(progress.advance(&euro[..2], false), Ok(()));
        assert_eq!(progress.advance(&euro[..2], true), Err(NotUtf8));
        assert_eq!(Utf8Progress::default().advance(&[0xc0, 0x80], false), Err(NotUtf8));
        assert_eq!(Utf8Progress::default().advance(&[0xed, 0xa0], false), Err(NotUtf8), "a surrogate, early");
    }
}
