//! The WebSocket decoder against the words of RFC 6455, wherever the bytes are split.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use chatcluster_gateway::protocol::websocket::{Decoder, Incoming, Violation};
use proptest::prelude::*;

const MAX: usize = 256 * 1024;

/// A client's frame with the mask given.
fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=0xffff => {
            out.push(0xfe);
            out.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            out.push(0xff);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]));
    out
}

/// Everything the bytes mean, fed in the pieces given.
fn read_all<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, max: usize) -> (Vec<Incoming>, Option<Violation>) {
    let (mut decoder, mut seen) = (Decoder::new(max), Vec::new());
    for mut piece in pieces {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(incoming)) => seen.push(incoming),
                Ok(None) => break,
                Err(violation) => return (seen, Some(violation)),
            }
        }
        assert!(piece.is_empty(), "a decoder that needs more has read all there was");
    }
    (seen, None)
}

fn violation_of(bytes: &[u8]) -> Option<Violation> {
    read_all([bytes], MAX).1
}

const M: [u8; 4] = [1, 2, 3, 4];

#[test]
fn a_ping_between_the_fragments_of_a_message_is_seen_first() {
    let bytes = [frame(0x01, b"he", M), frame(0x89, b"p", M), frame(0x80, b"llo", M)].concat();
    let (seen, violation) = read_all([&bytes[..]], MAX);
    assert_eq!(seen, [Incoming::Ping(b"p".to_vec()), Incoming::Text("hello".into())]);
    assert_eq!(violation, None);
}

#[test]
fn every_breach_of_the_protocol_has_its_name() {
    assert_eq!(violation_of(&frame(0xc1, b"x", M)), Some(Violation::ReservedBit));
    assert_eq!(violation_of(&frame(0x83, b"x", M)), Some(Violation::Opcode));
    assert_eq!(violation_of(b"\x81\x01x"), Some(Violation::Unmasked));
    assert_eq!(violation_of(&frame(0x09, b"", M)), Some(Violation::Control), "a fragmented ping");
    assert_eq!(violation_of(&frame(0x89, &[0; 126], M)), Some(Violation::Control), "a long ping");
    assert_eq!(violation_of(&frame(0x80, b"x", M)), Some(Violation::Fragmentation));
    let twice = [frame(0x01, b"a", M), frame(0x81, b"b", M)].concat();
    assert_eq!(violation_of(&twice), Some(Violation::Fragmentation));
    assert_eq!(violation_of(&[0x81, 0xfe, 0, 5, 0, 0, 0, 0]), Some(Violation::Length));
    assert_eq!(violation_of(&frame(0x82, b"x", M)), Some(Violation::Binary));
    assert_eq!(violation_of(&frame(0x88, &[3], M)), Some(Violation::CloseCode), "half a code");
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        assert_eq!(violation_of(&frame(0x88, &code.to_be_bytes(), M)), Some(Violation::CloseCode), "{code}");
    }
    assert_eq!(violation_of(&frame(0x88, &[3, 232, 0xff], M)), Some(Violation::NotUtf8), "a bad close reason");
}

#[test]
fn bad_text_is_refused_at_its_first_wrong_byte() {
    let mut start = frame(0x81, &[b'a', 0xff, b'c', b'd'], M);
    start.truncate(6 + 2);
    assert_eq!(violation_of(&start), Some(Violation::NotUtf8));
    assert_eq!(violation_of(&frame(0x81, &[0xe2, 0x82], M)), Some(Violation::NotUtf8), "half a character at the end");
    let split = [frame(0x01, &[0xe2], M), frame(0x80, &[0x82, 0xac], M)].concat();
    assert_eq!(read_all([&split[..]], MAX).0, [Incoming::Text("€".into())]);
}

#[test]
fn a_message_over_the_cap_is_refused_by_its_header_alone() {
    let mut declared = vec![0x81, 0xff];
    declared.extend((1u64 << 20).to_be_bytes());
    declared.extend(M);
    assert_eq!(violation_of(&declared), Some(Violation::TooBig));
    let fragments = [frame(0x01, &[b'a'; 60], M), frame(0x00, &[b'a'; 60], M)].concat();
    assert_eq!(read_all([&fragments[..]], 100).1, Some(Violation::TooBig));
    assert_eq!(read_all([&frame(0x81, &[b'a'; 100], M)[..]], 100).1, None);
}

fn valid_stream() -> impl Strategy<Value = Vec<u8>> {
    let message = (".{0,40}", any::<[u8; 4]>(), any::<bool>(), 0usize..40);
    prop::collection::vec(message, 1..8).prop_map(|messages| {
        let mut out = Vec::new();
        for (text, mask, with_ping, cut) in messages {
            let cut = cut.min(text.len());
            out.extend(frame(0x01, &text.as_bytes()[..cut], mask));
            if with_ping {
                out.extend(frame(0x89, b"tick", mask));
            }
            out.extend(frame(0x80, &text.as_bytes()[cut..], mask));
        }
        out
    })
}

proptest! {
    #[test]
    fn the_split_does_not_matter(bytes in valid_stream(), size in 1usize..9) {
        let whole = read_all([&bytes[..]], MAX);
        prop_assert_eq!(&whole.1, &None);
        prop_assert_eq!(read_all(bytes.chunks(size), MAX), whole);
    }

    #[test]
    fn any_bytes_are_read_without_panic_and_the_same_in_pieces(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        size in 1usize..9,
    ) {
        let whole = read_all([&bytes[..]], 100);
        prop_assert_eq!(read_all(bytes.chunks(size), 100), whole);
    }
}
