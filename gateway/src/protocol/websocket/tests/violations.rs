//! What is forbidden, and the close code each breach leads to.

use super::*;

#[test]
fn reserved_bits_and_opcodes() {
    for first in [0x91, 0xa1, 0xc1, 0xf1, 0xc2, 0xc8, 0xc9, 0xca, 0x99, 0xa8] {
        assert_eq!(violation(&[frame(first, b"x")]), Some(Violation::ReservedBit), "{first:x}");
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        assert_eq!(violation(&[frame(0x80 | opcode, b"")]), Some(Violation::Opcode), "{opcode}");
        assert_eq!(violation(&[frame(opcode, b"x")]), Some(Violation::Opcode), "{opcode}, fragmented");
    }
}

#[test]
fn frames_without_mask() {
    assert_eq!(violation(&[b"\x81\x01x".to_vec()]), Some(Violation::Unmasked));
    assert_eq!(violation(&[b"\x89\x00".to_vec()]), Some(Violation::Unmasked));
}

#[test]
fn control_frames_are_short_and_whole() {
    for opcode in [8, 9, 10] {
        assert_eq!(violation(&[frame(0x80 | opcode, &[0; 126])]), Some(Violation::Control), "{opcode}, long");
        assert_eq!(violation(&[frame(opcode, b"")]), Some(Violation::Control), "{opcode}, fragmented");
    }
}

#[test]
fn lengths_not_in_their_shortest_form() {
    for length in [
        &[0xfe, 0, 125][..],
        &[0xfe, 0, 0],
        &[0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
        &[0xff, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0],
    ] {
        assert_eq!(violation(&[[&[0x82], length, &KEY].concat()]), Some(Violation::Length), "{length:x?}");
    }
}

#[test]
fn fragments_out_of_order() {
    let (begin, go_on, end) = (frame(0x01, b"a"), frame(0x00, b"b"), frame(0x80, b"c"));
    for frames in [
        vec![go_on.clone()],
        vec![end.clone()],
        vec![begin.clone(), begin.clone()],
        vec![begin.clone(), frame(0x81, b"whole")],
        vec![begin.clone(), frame(0x89, b""), frame(0x82, b"whole")],
        vec![begin.clone(), end.clone(), end.clone()],
        vec![frame(0x81, b"whole"), go_on.clone()],
    ] {
        assert_eq!(violation(&frames), Some(Violation::Fragmentation), "{frames:x?}");
    }
}

#[test]
fn bad_text_is_refused_at_its_first_wrong_byte() {
    let wrong = [
        &[0xff][..],
        &[0xfe],
        &[0x80],
        &[0xbf],
        &[0xc0],
        &[0xc1],
        &[0xf5],
        &[0xe0, 0x80],
        &[0xe0, 0x9f],
        &[0xf0, 0x80],
        &[0xf0, 0x8f],
        &[0xed, 0xa0],
        &[0xed, 0xbf],
        &[0xf4, 0x90],
        &[0xc3, 0x28],
        &[0xe2, 0x28],
        &[0xe2, 0x82, 0x28],
        &[0xf8, 0x88],
        &[0xf0, 0x9d, 0x84, 0x28],
    ];
    for wrong in wrong {
        let content = [b"valid: ", wrong, b" and 100 bytes more"].concat();
        let mut up_to_it = frame(0x81, &content);
        up_to_it.truncate(6 + b"valid: ".len() + wrong.len());
        assert_eq!(violation(&[up_to_it]), Some(Violation::NotUtf8), "{wrong:x?}");
        assert_eq!(violation(&[frame(0x01, b"valid"), frame(0x00, wrong)]), Some(Violation::NotUtf8), "{wrong:x?}");
    }
}

#[test]
fn text_may_not_end_within_a_character() {
    for begun in [&[0xc3][..], &[0xe2], &[0xe2, 0x82], &[0xf0, 0x9d, 0x84]] {
        assert_eq!(violation(&[frame(0x81, begun)]), Some(Violation::NotUtf8));
        let fragments = [frame(0x01, begun), frame(0x00, b""), frame(0x89, b"")];
        assert_eq!(violation(&fragments), None, "it could still go on");
        assert_eq!(violation(&[frame(0x01, begun), frame(0x80, b"")]), Some(Violation::NotUtf8));
    }
}

#[test]
fn close_frames_that_say_nothing_sensible() {
    assert_eq!(violation(&[frame(0x88, &[3])]), Some(Violation::CloseCode), "half a code");
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        assert_eq!(violation(&[frame(0x88, &code.to_be_bytes())]), Some(Violation::CloseCode), "{code}");
    }
    assert_eq!(violation(&[frame(0x88, &[3, 232, 0xce, 0xba, 0xff])]), Some(Violation::NotUtf8), "the reason");
}

#[test]
fn binary_messages_where_text_is_spoken() {
    let limits = Limits { binary: false, ..LIMITS };
    assert_eq!(read(&[frame(0x82, b"x")], limits).1, Some(Violation::Binary));
    assert_eq!(read(&[frame(0x02, b"x")], limits).1, Some(Violation::Binary));
    assert_eq!(read(&[frame(0x81, b"x"), frame(0x89, b"x")], limits).1, None);
}

#[test]
fn the_codes_that_a_violation_closes_with() {
    let codes = [
        (Violation::ReservedBit, 1002),
        (Violation::Fragmentation, 1002),
        (Violation::CloseCode, 1002),
        (Violation::NotUtf8, 1007),
        (Violation::Deflate, 1007),
        (Violation::Binary, 1003),
        (Violation::TooBig, 1009),
    ];
    for (violation, code) in codes {
        assert_eq!(violation.close_reason().code(), code);
    }
}
