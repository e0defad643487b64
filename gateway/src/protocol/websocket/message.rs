//! A data message while its frames arrive: text, binary, or either of them compressed.

use super::{Incoming, Limits, Violation, deflate, mask, opcode, text::TextSoFar};

/// A message's content so far, uncompressed.
enum Content {
    Text(TextSoFar),
    Binary(Vec<u8>),
}

pub(super) struct Message {
    content: Content,
    /// What arrived of a compressed message. It is kept as it is until the end: decompressing in pieces would hold a
    /// window of 32 KiB for every message on its way.
    compressed: Option<Vec<u8>>,
}

impl Content {
    fn push(&mut self, bytes: &[u8], key: [u8; 4], to_come: Option<usize>) -> Result<(), Violation> {
        match self {
            Self::Text(text) => text.push(bytes, key, to_come).map_err(|_| Violation::NotUtf8),
            Self::Binary(buffer) => {
                append(buffer, bytes, key, to_come);
                Ok(())
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }
}

impl Message {
    /// The message that a frame of this opcode begins.
    pub(super) fn new(opcode: u8, compressed: bool) -> Self {
        let content = match opcode {
            opcode::TEXT => Content::Text(TextSoFar::default()),
            _ => Content::Binary(Vec::new()),
        };
        Self { content, compressed: compressed.then(Vec::new) }
    }

    /// Whether a frame of `length` bytes may still be added.
    pub(super) fn check_room(&self, length: usize, limits: &Limits) -> Result<(), Violation> {
        let (max, so_far) = match &self.compressed {
            Some(bytes) => (deflate::longest_compressed(limits.max_message), bytes.len()),
            None => (limits.max_message, self.content.len()),
        };
        if length <= max.saturating_sub(so_far) { Ok(()) } else { Err(Violation::TooBig) }
    }

    /// Adds bytes masked with `key`. `to_come`: how many more follow at most, where that is known.
    pub(super) fn push(&mut self, bytes: &[u8], key: [u8; 4], to_come: Option<usize>) -> Result<(), Violation> {
        match &mut self.compressed {
            Some(buffer) => {
                append(buffer, bytes, key, to_come);
                Ok(())
            }
            None => self.content.push(bytes, key, to_come),
        }
    }

    pub(super) fn finish(self, limits: &Limits) -> Result<Incoming, Violation> {
        let mut content = self.content;
        if let Some(compressed) = self.compressed {
            deflate::inflate(&compressed, |plain| {
                if plain.len() > limits.max_message - content.len() {
                    return Err(Violation::TooBig);
                }
                content.push(plain, [0; 4], None)
            })?;
        }
        match content {
            Content::Text(text) => text.finish().map(Incoming::Text).map_err(|_| Violation::NotUtf8),
            Content::Binary(bytes) => Ok(Incoming::Binary(bytes)),
        }
    }

    /// Bytes of memory kept.
    pub(super) fn capacity(&self) -> usize {
        self.content.capacity() + self.compressed.as_ref().map_or(0, Vec::capacity)
    }
}

pub(super) fn append(buffer: &mut Vec<u8>, bytes: &[u8], key: [u8; 4], to_come: Option<usize>) {
    buffer.reserve_exact(room_for(buffer.len(), buffer.capacity(), bytes.len(), to_come));
    let start = buffer.len();
    buffer.extend_from_slice(bytes);
    mask::apply(&mut buffer[start..], key);
}

/// What to reserve for `arriving` bytes behind `length`: never more than twice of what has arrived, whatever was
/// announced, and never more than is to come.
pub(super) fn room_for(length: usize, capacity: usize, arriving: usize, to_come: Option<usize>) -> usize {
    if arriving <= capacity - length {
        return 0;
    }
    let amortised = arriving.max(length);
    to_come.map_or(amortised, |more| amortised.min(arriving + more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_grows_by_what_arrived_and_ends_at_what_is_to_come() {
        assert_eq!(room_for(0, 0, 100, Some(0)), 100, "a whole frame takes what it needs");
        assert_eq!(room_for(0, 0, 100, Some(1 << 24)), 100, "an announcement takes nothing");
        assert_eq!(room_for(100, 100, 10, Some(1 << 24)), 100, "doubled, so that many pieces are copied seldom");
        assert_eq!(room_for(100, 100, 10, Some(20)), 30);
        assert_eq!(room_for(100, 110, 10, None), 0);
    }
}
