//! The WebSocket decoder: no panic, memory bounded by what arrived, the same messages wherever the bytes are split.
//!
//! First byte: bit 0 permessage-deflate, bit 1 binary messages, the rest the size of the pieces. Then a client's bytes.
#![no_main]

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Once,
};

use chatcluster_fuzz::{
    allocation,
    websocket::{Decoder, Incoming, Limits, MAX_CONTROL_BYTES, Violation},
};

const MAX_MESSAGE: usize = 16 * 1024;
/// What the decoder takes beside a message's bytes.
const FIXED: usize = 1024;

/// A message's hash in place of the message: memory is then that of the decoder.
fn hash(incoming: &Incoming) -> u64 {
    let (content, limit) = match incoming {
        Incoming::Text(text) => (text.as_bytes(), MAX_MESSAGE),
        Incoming::Binary(bytes) => (&bytes[..], MAX_MESSAGE),
        Incoming::Ping(bytes) => (&bytes[..], MAX_CONTROL_BYTES),
        Incoming::Pong | Incoming::Close(_) => (&[][..], 0),
    };
    assert!(content.len() <= limit, "{} bytes where {limit} are allowed", content.len());
    let mut hasher = DefaultHasher::new();
    std::mem::discriminant(incoming).hash(&mut hasher);
    content.hash(&mut hasher);
    if let Incoming::Close(code) = incoming {
        code.hash(&mut hasher);
    }
    hasher.finish()
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, limits: Limits, seen: &mut Vec<u64>) -> Option<Violation> {
    let (mut decoder, mut fed) = (Decoder::new(), 0);
    for mut piece in pieces {
        fed += piece.len();
        loop {
            match decoder.next(&mut piece, &limits) {
                Ok(Some(incoming)) => seen.push(hash(&incoming)),
                Ok(None) => break,
                Err(violation) => return Some(violation),
            }
        }
        assert!(piece.is_empty(), "a decoder that needs more has read all there was");
        assert!(decoder.held_bytes() <= 256 + 2 * fed, "{} held of {fed}", decoder.held_bytes());
        assert_eq!(decoder.is_idle(), decoder.held_bytes() == 0);
    }
    None
}

/// A thread's state for decompressing is made at the first compressed message and is none of the decoder's memory.
fn decompress_once() {
    let limits = Limits { max_message: MAX_MESSAGE, binary: false, deflate: true };
    let hello = b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\0";
    assert_eq!(Decoder::new().next(&mut &hello[..], &limits), Ok(Some(Incoming::Text("Hello".into()))));
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static ONCE: Once = Once::new();
    ONCE.call_once(decompress_once);
    let Some((options, bytes)) = data.split_first() else { return };
    let limits = Limits { max_message: MAX_MESSAGE, binary: options & 2 != 0, deflate: options & 1 != 0 };
    let frames = bytes.len() / 6 + 1;
    let (mut whole, mut split) = (Vec::with_capacity(frames), Vec::with_capacity(frames));
    let memory = FIXED + 2 * bytes.len() + if limits.deflate { 2 * MAX_MESSAGE } else { 0 };
    let end = allocation::within(memory, || read(std::iter::once(bytes), limits, &mut whole));
    let size = usize::from(options >> 2) + 1;
    let end_in_pieces = allocation::within(memory, || read(bytes.chunks(size), limits, &mut split));
    assert_eq!((end, whole), (end_in_pieces, split), "in pieces of {size}");
});
