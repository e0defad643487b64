//! The STOMP decoder and what reads its frames: no panic, memory bounded by what arrived, the same frames wherever the
//! bytes are split.
//!
//! First byte: bits 0 and 1 the version, the rest the size of the pieces. Then a client's bytes.
#![no_main]

use chatcluster_fuzz::{
    allocation,
    stomp::{
        Version,
        connect::Connect,
        decoder::{Decoder, Incoming, Limits, Malformed},
        destination::{SendTo, SubscribeTo},
        request::Request,
    },
};

const LIMITS: Limits = Limits { headers: 16, line_bytes: 1024, head_bytes: 4096, body_bytes: 4096 };
/// What one frame takes beside its bytes: headers are kept as text each.
const FIXED: usize = 64 * 1024;

fn read<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    version: Version,
    seen: &mut impl FnMut(Incoming),
) -> Option<Malformed> {
    let mut decoder = Decoder::new();
    decoder.set_version(version);
    for mut piece in pieces {
        loop {
            match decoder.next(&mut piece, &LIMITS) {
                Ok(Some(incoming)) => seen(incoming),
                Ok(None) => break,
                Err(malformed) => return Some(malformed),
            }
        }
        assert!(piece.is_empty(), "a decoder that needs more has read all there was");
    }
    None
}

fn understand(incoming: Incoming, version: Version) {
    let Incoming::Frame(frame) = incoming else { return };
    assert!(frame.body.len() <= LIMITS.body_bytes && frame.headers.len() <= LIMITS.headers);
    let _ = Connect::read(&frame);
    let Ok(subject) = "ann".parse() else { return };
    match Request::read(frame, version) {
        Ok(Request::Send(send)) => drop(SendTo::parse(&send.destination)),
        Ok(Request::Subscribe(subscribe)) => drop(SubscribeTo::parse(&subscribe.destination, &subject)),
        _ => {}
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((options, bytes)) = data.split_first() else { return };
    let version = [Version::V1_0, Version::V1_1, Version::V1_2, Version::V1_2][usize::from(options & 3)];
    let (mut whole, mut split) = (Vec::new(), Vec::new());
    let end = read(std::iter::once(bytes), version, &mut |incoming| whole.push(incoming));
    let size = usize::from(options >> 2) + 1;
    let end_in_pieces = read(bytes.chunks(size), version, &mut |incoming| split.push(incoming));
    assert_eq!((end, &whole), (end_in_pieces, &split), "in pieces of {size}");
    allocation::within(FIXED + 4 * bytes.len(), || read(bytes.chunks(size), version, &mut drop));
    whole.into_iter().for_each(|incoming| understand(incoming, version));
});
