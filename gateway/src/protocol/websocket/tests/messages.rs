//! What is allowed: lengths, fragments, control frames between them, UTF-8, close codes.

use super::*;

#[test]
fn every_form_of_length_as_text_and_binary() {
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 100_000] {
        let content = "*".repeat(length);
        assert_eq!(messages(&[frame(0x81, content.as_bytes())]), [text(&content)]);
        assert_eq!(messages(&[frame(0x82, content.as_bytes())]), [Incoming::Binary(content.into_bytes())]);
    }
}

#[test]
fn any_bytes_are_a_binary_message() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(messages(&[frame(0x82, &all)]), [Incoming::Binary(all.clone())]);
    let pieces = [frame(0x02, &all[..100]), frame(0x00, b""), frame(0x00, &all[100..101]), frame(0x80, &all[101..])];
    assert_eq!(messages(&pieces), [Incoming::Binary(all)]);
}

#[test]
fn pings_carry_up_to_125_bytes_and_pongs_need_no_ping() {
    for length in [0, 1, 125] {
        let payload = vec![0xfe; length];
        assert_eq!(messages(&[frame(0x89, &payload)]), [Incoming::Ping(payload.clone())]);
        assert_eq!(messages(&[frame(0x8a, &payload)]), [Incoming::Pong]);
    }
}

#[test]
fn control_frames_stand_between_fragments_and_are_seen_first() {
    let frames = [
        frame(0x01, b"he"),
        frame(0x89, b"one"),
        frame(0x00, b""),
        frame(0x8a, b"two"),
        frame(0x80, b"llo"),
        frame(0x81, b"next"),
        frame(0x88, &[3, 232]),
    ];
    let expected =
        [Incoming::Ping(b"one".to_vec()), Incoming::Pong, text("hello"), text("next"), Incoming::Close(Some(1000))];
    assert_eq!(messages(&frames), expected);
}

#[test]
fn fragments_may_be_empty_and_cut_characters() {
    assert_eq!(messages(&[frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")]), [text("")]);
    let content = "κόσμε ☃ 𝄞";
    let mut frames: Vec<_> = content.as_bytes().iter().map(|byte| frame(0x00, &[*byte])).collect();
    frames.insert(0, frame(0x01, b""));
    frames.push(frame(0x80, b""));
    assert_eq!(messages(&frames), [text(content)]);
}

#[test]
fn the_ends_of_what_utf8_can_say() {
    let characters = [
        "\0",
        "\u{7f}",
        "\u{80}",
        "\u{7ff}",
        "\u{800}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{fffd}",
        "\u{ffff}",
        "\u{10000}",
        "\u{1fffe}",
        "\u{10ffff}",
    ];
    for character in characters {
        assert_eq!(messages(&[frame(0x81, character.as_bytes())]), [text(character)]);
    }
}

#[test]
fn close_frames_with_their_codes() {
    assert_eq!(messages(&[frame(0x88, b"")]), [Incoming::Close(None)]);
    for code in [1000u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        let payload = code.to_be_bytes();
        assert_eq!(messages(&[frame(0x88, &payload)]), [Incoming::Close(Some(code))]);
        let longest = [&payload[..], &[b'*'; 123]].concat();
        assert_eq!(messages(&[frame(0x88, &longest)]), [Incoming::Close(Some(code))]);
    }
}

#[test]
fn an_idle_decoder_holds_nothing_and_a_waiting_one_what_arrived() {
    assert!(size_of::<Decoder>() <= 16);
    let mut decoder = Decoder::new();
    let mut declared = vec![0x82, 0xff];
    declared.extend((LIMITS.max_message as u64).to_be_bytes());
    declared.extend(KEY);
    declared.extend([0; 1000]);
    assert_eq!(decoder.next(&mut &declared[..], &LIMITS), Ok(None));
    assert!(decoder.is_within_message() && !decoder.is_idle());
    assert!(decoder.held_bytes() < 1300, "{} held of 1014 bytes", decoder.held_bytes());
    let rest = vec![0; LIMITS.max_message - 1000];
    assert!(decoder.next(&mut &rest[..], &LIMITS).unwrap().is_some());
    assert!(decoder.is_idle());

    assert_eq!(decoder.next(&mut &frame(0x89, b"ping")[..3], &LIMITS), Ok(None));
    assert!(!decoder.is_idle() && !decoder.is_within_message(), "a control frame is no message");
}

#[test]
fn a_message_has_at_most_the_bytes_allowed() {
    let limits = Limits { max_message: 100, ..LIMITS };
    let exactly = [frame(0x01, &[b'a'; 60]), frame(0x80, &[b'a'; 40]), frame(0x81, &[b'a'; 100])];
    assert_eq!(read(&exactly, limits).1, None);
    for over in [vec![frame(0x81, &[b'a'; 101])], vec![frame(0x01, &[b'a'; 60]), frame(0x00, &[b'a'; 41])]] {
        assert_eq!(read(&over, limits).1, Some(Violation::TooBig));
    }
    let mut declared = vec![0x81, 0xff];
    declared.extend((1u64 << 62).to_be_bytes());
    declared.extend(KEY);
    assert_eq!(violation(&[declared]), Some(Violation::TooBig), "by its header alone");
}
