//! Compressed frames to clients.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};

use super::{
    super::{FIN, RSV1, encoder, opcode},
    Window,
};

/// Payloads shorter than this go as they are: what compressing would save is less than a packet's headers.
const MIN_PAYLOAD: usize = 128;
/// What ends every flush and is left out of the message (RFC 7692 section 7.2.1).
const FLUSH_END: &[u8] = &[0, 0, 0xff, 0xff];
/// A thread's output buffer is not kept when one large message made it larger than this.
const MAX_KEPT: usize = 256 * 1024;

thread_local! {
    static COMPRESSOR: RefCell<Compressor> = RefCell::new(Compressor::new());
}

/// A text message, compressed where that makes it smaller.
pub fn text_deflated(payload: &[u8], window: Window) -> Bytes {
    deflated(opcode::TEXT, payload, window)
}

/// A binary message, compressed where that makes it smaller.
pub fn binary_deflated(payload: &[u8], window: Window) -> Bytes {
    deflated(opcode::BINARY, payload, window)
}

fn deflated(opcode: u8, payload: &[u8], window: Window) -> Bytes {
    if payload.len() < MIN_PAYLOAD {
        return encoder::frame(FIN | opcode, &[payload]);
    }
    COMPRESSOR.with_borrow_mut(|compressor| {
        let frame = match compressor.run(payload, window) {
            Some(compressed) if compressed.len() < payload.len() => encoder::frame(FIN | RSV1 | opcode, &[compressed]),
            _ => encoder::frame(FIN | opcode, &[payload]),
        };
        compressor.output.clear();
        compressor.output.shrink_to(MAX_KEPT);
        frame
    })
}

/// State of several hundred KiB, so there is one per thread that compresses.
struct Compressor {
    state: Compress,
    output: Vec<u8>,
}

impl Compressor {
    fn new() -> Self {
        Self { state: Compress::new(Compression::fast(), false), output: Vec::new() }
    }

    /// Every full flush makes the compressor forget what came before: so no message refers to another, and within a
    /// message nothing refers further back than the window.
    fn run(&mut self, payload: &[u8], window: Window) -> Option<&[u8]> {
        self.output.clear();
        let step = if window == Window::FULL { payload.len() } else { window.bytes() };
        for step in payload.chunks(step) {
            if self.add(step).is_none() {
                self.state.reset();
                return None;
            }
        }
        self.output.strip_suffix(FLUSH_END)
    }

    /// `None`: the state is in disorder.
    fn add(&mut self, step: &[u8]) -> Option<()> {
        // with room to spare after it the flush is known to be complete
        self.output.reserve(step.len() + step.len() / 8 + 256);
        let before = self.state.total_in();
        self.state.compress_vec(step, &mut self.output, FlushCompress::Full).ok()?;
        let all_read = self.state.total_in() - before == step.len() as u64;
        (all_read && self.output.len() < self.output.capacity()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_refers_neither_to_another_nor_beyond_the_window() {
        let text = "chat, chat, chat and again chat. ".repeat(100);
        let fresh = |bytes: &[u8]| Compressor::new().run(bytes, Window::FULL).unwrap().to_vec();
        let window = Window::parse("9").unwrap();
        let mut compressor = Compressor::new();
        assert_eq!(compressor.run(text.as_bytes(), Window::FULL).unwrap(), fresh(text.as_bytes()));
        assert_eq!(compressor.run(text.as_bytes(), Window::FULL).unwrap(), fresh(text.as_bytes()), "again");
        let pieces: Vec<Vec<u8>> = text.as_bytes().chunks(512).map(fresh).collect();
        assert_eq!(compressor.run(text.as_bytes(), window).unwrap(), pieces.join(FLUSH_END));
    }

    #[test]
    fn a_frame_of_the_full_window_serves_a_smaller_one_that_covers_it() {
        let window = Window::parse("9").unwrap();
        let payload = b"chat, chat. ".repeat(50);
        assert!(window.covers(512) && !window.covers(513) && Window::FULL.covers(usize::MAX));
        assert_eq!(text_deflated(&payload[..512], Window::FULL), text_deflated(&payload[..512], window));
        assert_ne!(text_deflated(&payload[..513], Window::FULL), text_deflated(&payload[..513], window));
    }

    #[test]
    fn what_does_not_shrink_goes_as_it_is() {
        let short = [b'x'; MIN_PAYLOAD - 1];
        assert_eq!(text_deflated(&short, Window::FULL), encoder::text(&short));
        // a sequence without repetition
        let mut state = 1u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(5000)
        .collect();
        assert_eq!(binary_deflated(&noise, Window::FULL), encoder::binary(&noise));
        assert!(text_deflated(&[b'x'; 5000], Window::FULL).len() < 100);
    }
}
