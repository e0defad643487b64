//! permessage-deflate: the examples of RFC 7692, which frames may be compressed, and bombs.

use super::{
    super::{Window, binary_deflated, text_deflated},
    *,
};

/// "Hello" as section 7.2.3.1 compresses it.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// A client's frame with what a server would have sent.
fn compressed(content: &[u8]) -> Vec<u8> {
    let sent = binary_deflated(content, Window::FULL);
    assert_eq!(sent[0], 0xc2, "it shrank");
    frame(0xc2, payload_of(&sent))
}

#[test]
fn the_examples_of_the_rfc() {
    let two_blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    let not_compressed = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    let last_block = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    for payload in [&HELLO[..], &two_blocks, &not_compressed, &last_block] {
        assert_eq!(read(&[frame(0xc1, payload)], DEFLATE), (vec![text("Hello")], None), "{payload:x?}");
    }
    let fragments = [frame(0x41, &HELLO[..3]), frame(0x89, b""), frame(0x00, b""), frame(0x80, &HELLO[3..])];
    assert_eq!(read(&fragments, DEFLATE), (vec![Incoming::Ping(Vec::new()), text("Hello")], None));
    assert_eq!(read(&[frame(0xc1, &[0])], DEFLATE), (vec![text("")], None));
}

#[test]
fn blocks_after_a_last_one_are_read_and_nothing_is_nothing() {
    let last_block = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(read(&[frame(0xc1, &last_block)], DEFLATE).0, [text("Hello")], "without the empty block");
    let twice = [&last_block[..], &HELLO].concat();
    assert_eq!(read(&[frame(0xc1, &twice)], DEFLATE).0, [text("HelloHello")]);
    assert_eq!(read(&[frame(0xc1, b"")], DEFLATE).0, [text("")]);
}

#[test]
fn only_the_first_frame_of_a_message_says_that_it_is_compressed() {
    let plain_between = [frame(0xc1, &HELLO), frame(0x81, b"plain"), frame(0xc1, &HELLO)];
    assert_eq!(read(&plain_between, DEFLATE).0, [text("Hello"), text("plain"), text("Hello")]);
    for frames in [
        vec![frame(0x41, &HELLO[..3]), frame(0xc0, &HELLO[3..])],
        vec![frame(0x01, b"a"), frame(0xc0, b"b")],
        vec![frame(0xc9, b"")],
        vec![frame(0xc8, b"")],
        vec![frame(0xa1, b"")],
        vec![frame(0xd1, b"")],
    ] {
        assert_eq!(read(&frames, DEFLATE).1, Some(Violation::ReservedBit), "{frames:x?}");
    }
    assert_eq!(violation(&[frame(0xc1, &HELLO)]), Some(Violation::ReservedBit), "nothing was agreed on");
}

#[test]
fn damaged_data_and_bad_text() {
    for damaged in [&[0xff, 0xff][..], &HELLO[..3], &[0x07], &[0xf2, 0x48], &[&HELLO[..], &[1, 2, 3]].concat()] {
        assert_eq!(read(&[frame(0xc1, damaged)], DEFLATE).1, Some(Violation::Deflate), "{damaged:x?}");
    }
    // 0xff 0xfe in a block that is not compressed
    let bad_text = [0x00, 0x02, 0x00, 0xfd, 0xff, 0xff, 0xfe, 0x00];
    assert_eq!(read(&[frame(0xc1, &bad_text)], DEFLATE).1, Some(Violation::NotUtf8));
    assert_eq!(read(&[frame(0xc2, &bad_text)], DEFLATE).0, [Incoming::Binary(vec![0xff, 0xfe])]);
    let good = read(&[frame(0xc1, &HELLO)], DEFLATE).0;
    assert_eq!(good, [text("Hello")], "the state is clean again");
}

#[test]
fn a_bomb_is_not_unpacked() {
    let zeros = vec![0; 64 * DEFLATE.max_message];
    let bomb = compressed(&zeros);
    assert!(bomb.len() < DEFLATE.max_message, "it passes as compressed");
    assert_eq!(read_pieces([&bomb[..]], DEFLATE).1, Some(Violation::TooBig));
    assert_eq!(read_pieces(bomb.chunks(1000), DEFLATE).1, Some(Violation::TooBig));
    let exactly = compressed(&zeros[..DEFLATE.max_message]);
    assert_eq!(read_pieces([&exactly[..]], DEFLATE).0, [Incoming::Binary(zeros[..DEFLATE.max_message].to_vec())]);
    assert_eq!(read_pieces([&compressed(&zeros[..=DEFLATE.max_message])[..]], DEFLATE).1, Some(Violation::TooBig));
}

#[test]
fn what_cannot_be_compressed_may_still_be_as_long_as_is_allowed() {
    let block = [&[0x00, 0xff, 0x00, 0x00, 0xff][..], &[7; 255]].concat();
    let payload = [block.repeat(DEFLATE.max_message / 255), vec![0]].concat();
    let (seen, violation) = read_pieces([&frame(0xc2, &payload)[..]], DEFLATE);
    assert_eq!((seen.len(), violation), (1, None), "{} bytes for {}", payload.len(), DEFLATE.max_message);
    let endless = vec![0; 2 * DEFLATE.max_message];
    assert_eq!(read_pieces([&frame(0xc2, &endless)[..]], DEFLATE).1, Some(Violation::TooBig));
}

#[test]
fn what_the_server_compresses_is_read_with_any_window() {
    let content: String =
        (0..3000).flat_map(|seq| [r#"{"type":"message","seq":"#.to_owned(), seq.to_string()]).collect();
    for bits in [8, 9, 12, 15] {
        let sent = text_deflated(content.as_bytes(), window(bits));
        assert_eq!(sent[0], 0xc1);
        assert!(sent.len() < content.len() / 2, "{} of {} with {bits}", sent.len(), content.len());
        assert_eq!(read_pieces([&frame(0xc1, payload_of(&sent))[..]], DEFLATE).0, [text(&content)]);
    }
}
