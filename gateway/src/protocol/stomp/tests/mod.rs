//! What crosses the files: decoding in pieces, round trips, and the broker as its subscribers see it.

mod broker;
mod broker_model;
mod decoding;
mod round_trips;

use super::{
    decoder::{Decoder, Incoming, Limits, Malformed},
    frame::{Frame, Version},
};

/// Everything that `pieces` decode to, and how it ended.
fn decode<'a>(
    version: Version,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    limits: &Limits,
) -> (Vec<Incoming>, Result<bool, Malformed>) {
    let mut decoder = Decoder::new();
    decoder.set_version(version);
    let mut all = Vec::new();
    for mut input in pieces {
        loop {
            match decoder.next(&mut input, limits) {
                Ok(Some(incoming)) => all.push(incoming),
                Ok(None) => break,
                Err(error) => return (all, Err(error)),
            }
        }
        assert!(input.is_empty(), "None means that all was read");
    }
    (all, Ok(decoder.is_idle()))
}

/// The one frame that `bytes` are.
fn frame(version: Version, bytes: &[u8]) -> Result<Frame, Malformed> {
    let (mut all, end) = decode(version, [bytes], &Limits::default());
    assert!(end?, "the frame is not complete: {bytes:?}");
    match all.pop() {
        Some(Incoming::Frame(frame)) if all.is_empty() => Ok(frame),
        other => panic!("{other:?} after {all:?}"),
    }
}
