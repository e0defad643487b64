//! Compressed messages from clients: decompressed when they are whole, in pieces that the receiver may refuse.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress, Status};

use super::super::Violation;

/// Bytes decompressed at a time.
const PIECE: usize = 16 * 1024;
/// The rest of the empty block that the sender left out (RFC 7692 section 7.2.2), and then an empty last block: so the
/// data must end exactly where the message does.
const END: &[u8] = &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

thread_local! {
    static INFLATER: RefCell<Inflater> =
        RefCell::new(Inflater { state: Decompress::new(false), piece: vec![0; PIECE].into() });
}

/// State of some tens of KiB, so there is one per thread that decompresses.
struct Inflater {
    state: Decompress,
    piece: Box<[u8]>,
}

/// Bytes that a message of at most `max_message` bytes may have compressed: deflate makes what it cannot compress a
/// little longer, by up to one eighth in the worst of its forms.
pub(in super::super) fn longest_compressed(max_message: usize) -> usize {
    max_message.saturating_add(max_message / 8).saturating_add(64)
}

/// Hands the content of a compressed message to `sink` piece by piece; the first refusal ends it.
pub(in super::super) fn inflate(
    compressed: &[u8],
    sink: impl FnMut(&[u8]) -> Result<(), Violation>,
) -> Result<(), Violation> {
    INFLATER.with_borrow_mut(|inflater| inflater.run(compressed, sink))
}

impl Inflater {
    /// The state is fresh before and after: every last block resets it.
    fn run(
        &mut self,
        compressed: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        // Nothing at all is what some clients send for nothing.
        if compressed.is_empty() {
            return Ok(());
        }
        // A block marked as the last one may be the end, without the empty block after it.
        let ended = match self.feed(compressed, &mut sink) {
            Ok(false) => self.feed(END, &mut sink),
            ended => ended,
        };
        if !matches!(ended, Ok(true)) {
            self.state.reset(false);
        }
        if ended? { Ok(()) } else { Err(Violation::Deflate) }
    }

    /// Whether a last block ended exactly at the end of `input`.
    fn feed(
        &mut self,
        mut input: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), Violation>,
    ) -> Result<bool, Violation> {
        loop {
            let (read, written) = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(input, &mut self.piece, FlushDecompress::None);
            let status = status.map_err(|_| Violation::Deflate)?;
            // of at most the slices' lengths
            let read = usize::try_from(self.state.total_in() - read).unwrap_or(usize::MAX);
            let written = usize::try_from(self.state.total_out() - written).unwrap_or(usize::MAX);
            input = input.get(read..).ok_or(Violation::Deflate)?;
            sink(self.piece.get(..written).ok_or(Violation::Deflate)?)?;
            if status == Status::StreamEnd {
                // section 7.2.3.4: more blocks may follow a last one
                self.state.reset(false);
                if input.is_empty() {
                    return Ok(true);
                }
            } else if input.is_empty() && written < PIECE {
                return Ok(false);
            } else if read == 0 && written == 0 {
                return Err(Violation::Deflate);
            }
        }
    }
}
