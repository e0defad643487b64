//! Frames as clients write them, well and badly, whole and in pieces.

use proptest::prelude::*;

use super::{
    super::frame::{Command, Headers},
    *,
};

const V: Version = Version::V1_2;

fn header<'a>(frame: &'a Frame, name: &str) -> &'a str {
    frame.headers.get(name).unwrap()
}

#[test]
fn an_idle_decoder_is_two_words() {
    assert!(size_of::<Decoder>() <= 16);
}

#[test]
fn lines_end_with_lf_or_crlf() {
    for bytes in [
        "SEND\ndestination:/x\ncontent-type:text/plain\n\nhi\0",
        "SEND\r\ndestination:/x\r\ncontent-type:text/plain\r\n\r\nhi\0",
    ] {
        let frame = frame(V, bytes.as_bytes()).unwrap();
        assert_eq!((frame.command, header(&frame, "destination")), (Command::Send, "/x"));
        assert_eq!((header(&frame, "content-type"), &frame.body[..]), ("text/plain", &b"hi"[..]));
    }
}

#[test]
fn line_ends_between_frames_are_heart_beats() {
    let (all, end) =
        decode(V, [&b"\n\r\n\r\n\nBEGIN\ntransaction:t\n\n\0\r\n\nABORT\ntransaction:t\n\n\0"[..]], &Limits::default());
    let beats = all.iter().filter(|incoming| **incoming == Incoming::HeartBeat).count();
    assert_eq!((all.len(), beats, end), (8, 6, Ok(true)));
}

#[test]
fn escapes_are_those_of_the_version() {
    let escaped = b"SEND\na\\cb:\\n\\\\\\cc:d\n\n\0";
    for version in [Version::V1_1, Version::V1_2] {
        assert_eq!(header(&frame(version, escaped).unwrap(), "a:b"), "\n\\:c:d");
    }
    assert_eq!(header(&frame(Version::V1_0, escaped).unwrap(), "a\\cb"), "\\n\\\\\\cc:d");
    let cr = b"SEND\na:x\\r\n\n\0";
    assert_eq!(header(&frame(Version::V1_2, cr).unwrap(), "a"), "x\r");
    assert_eq!(frame(Version::V1_1, cr), Err(Malformed::Escape(1)));
    assert_eq!(frame(Version::V1_2, b"SEND\na:b\nc:\\t\n\n\0"), Err(Malformed::Escape(2)));
    assert_eq!(frame(Version::V1_2, b"SEND\na:b\rc\n\n\0"), Err(Malformed::CarriageReturn(1)));
}

#[test]
fn connect_is_never_unescaped() {
    for connect in ["CONNECT", "STOMP"] {
        let bytes = format!("{connect}\npasscode:a\\tb:c\\\\\nhost:\n\n\0");
        let frame = frame(V, bytes.as_bytes()).unwrap();
        assert_eq!((header(&frame, "passcode"), header(&frame, "host")), ("a\\tb:c\\\\", ""));
        assert_eq!(frame.receipt(), None);
    }
}

#[test]
fn the_first_of_repeated_headers_counts() {
    let frame = frame(V, b"SEND\nfoo:World\nfoo:Hello\n\n\0").unwrap();
    assert_eq!(frame.headers.iter().collect::<Vec<_>>(), [("foo", "World")]);
}

#[test]
fn a_content_length_lets_a_body_hold_nul() {
    assert_eq!(&frame(V, b"SEND\ncontent-length:3\n\na\0b\0").unwrap().body[..], b"a\0b");
    assert_eq!(&frame(V, b"SEND\n\n\x00").unwrap().body[..], b"");
    assert_eq!(&frame(V, b"SEND\ncontent-length: 0 \n\n\0").unwrap().body[..], b"");
    assert_eq!(&frame(V, b"SEND\ncontent-length:1\ncontent-length:9\n\n\0\0").unwrap().body[..], b"\0");
    assert_eq!(frame(V, b"SEND\ncontent-length:3\n\nabcd\0"), Err(Malformed::NoNul(3)));
    for bad in ["x", "-1", "", "1x", "+1", "0x1"] {
        let bytes = format!("SEND\ncontent-length:{bad}\n\n\0");
        assert_eq!(frame(V, bytes.as_bytes()), Err(Malformed::ContentLength), "{bad:?}");
    }
}

#[test]
fn garbage_is_refused_as_soon_as_it_is_seen() {
    let error = |bytes: &[u8]| decode(V, [bytes], &Limits::default()).1.unwrap_err();
    assert!(matches!(error(b"GET /ws HTTP/1.1\r\n"), Malformed::Command(_)));
    assert!(matches!(error(b"\x16\x03\x01\x02\x00\x01\x00"), Malformed::EndInHead));
    assert!(matches!(error(&[0xff; 13]), Malformed::Command(_)));
    assert!(matches!(error(b"send\n"), Malformed::Command(_)));
    assert!(matches!(error(b"MESSAGE\n"), Malformed::Command(_)), "the server's frames are not a client's");
    assert_eq!(error(b"SEND\n\xff:x\n\n\0"), Malformed::NotUtf8);
    assert_eq!(error(b"SEND\nno colon\n\n\0"), Malformed::NoColon(1));
    assert_eq!(error(b"SEND\n:x\n\n\0"), Malformed::NoColon(1));
    assert_eq!(error(b"SEND\na:b\n\0"), Malformed::EndInHead);
    assert_eq!(error(b"BEGIN\ntransaction:t\n\nbody\0"), Malformed::Body(Command::Begin));
    assert_eq!(error(b"BEGIN\ncontent-length:2\n\n"), Malformed::Body(Command::Begin));
    let text = error(b"GET / HTTP/1.1\r\n").to_string();
    assert_eq!(text, "\"GET / HTTP/1.\" is not a command of a STOMP client");
}

#[test]
fn every_part_has_its_limit() {
    let limits = Limits { headers: 2, line_bytes: 20, head_bytes: 50, body_bytes: 4 };
    let end = |bytes: &[u8]| {
        let whole = decode(V, [bytes], &limits).1;
        assert_eq!(whole, decode(V, bytes.chunks(1), &limits).1, "the pieces do not matter");
        whole
    };
    assert_eq!(end(b"SEND\na:1\nb:2\n\nbody\0"), Ok(true));
    assert_eq!(end(b"SEND\na:1\nb:2\nc:3\n"), Err(Malformed::Headers(2)));
    assert_eq!(end(b"SEND\na:890123456789012345\n"), Ok(false));
    assert_eq!(end(b"SEND\na:8901234567890123456"), Err(Malformed::Line(20)));
    assert_eq!(end(b"SEND\n\n12345"), Err(Malformed::BodyBytes(4)));
    assert_eq!(end(b"SEND\ncontent-length:5\n\n"), Err(Malformed::BodyBytes(4)));
    assert_eq!(end(b"SEND\ncontent-length:99999999999999999\n\n"), Err(Malformed::Line(20)));
    let long = Limits { line_bytes: 100, ..limits };
    let bytes = format!("SEND\ncontent-length:{}\n\n", "9".repeat(25));
    assert_eq!(decode(V, [bytes.as_bytes()], &long).1, Err(Malformed::BodyBytes(4)));
    let bytes = format!("SEND\na:{}", "x".repeat(60));
    assert_eq!(decode(V, [bytes.as_bytes()], &long).1, Err(Malformed::HeadBytes(50)));
}

#[test]
fn a_large_body_comes_in_pieces() {
    let body = "x\0".repeat(500_000);
    let bytes = format!("SEND\ndestination:/x\ncontent-length:{}\n\n{body}\0\n", body.len());
    let limits = Limits { body_bytes: body.len(), ..Limits::default() };
    for size in [1, 7, 4096, bytes.len()] {
        let (all, end) = decode(V, bytes.as_bytes().chunks(size), &limits);
        let [Incoming::Frame(frame), Incoming::HeartBeat] = &all[..] else { panic!("{all:?}") };
        assert_eq!((frame.body == body.as_bytes(), end), (true, Ok(true)));
    }
}

#[test]
fn secrets_are_not_shown() {
    let bytes = b"CONNECT\npasscode:s3cret\n\n";
    let mut decoder = Decoder::new();
    decoder.next(&mut &bytes[..], &Limits::default()).unwrap();
    assert!(!format!("{decoder:?}").contains("s3cret"));
    let mut headers = Headers::new();
    headers.push("passcode", "s3cret");
    assert_eq!(format!("{headers:?}"), "[\"passcode\"]");
}

/// Bytes that look enough like STOMP to reach every corner.
fn almost_stomp() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "SEND\n",
            "SEND\r\n",
            "CONNECT\n",
            "BEGIN\n",
            "\n",
            "\r\n",
            "\r",
            "\0",
            "\n\0",
            "\n\n\0",
            "a:b\n",
            "content-length:",
            "content-length:2\n\n",
            "3\n\n",
            "destination:/x\r\n",
            "\\",
            "\\c",
            "\\r",
            ":",
            "UNSUBSCRIBE\n",
            "UNSUBSCRIBEX",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
        prop::collection::vec(Just(b'x'), 0..30),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn pieces_decode_as_the_whole(
        bytes in almost_stomp(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        small in any::<bool>(),
        version in prop::sample::select(vec![Version::V1_0, Version::V1_1, Version::V1_2]),
    ) {
        let small_limits = Limits { headers: 2, line_bytes: 20, head_bytes: 40, body_bytes: 6 };
        let limits = if small { small_limits } else { Limits::default() };
        let whole = decode(version, [&bytes[..]], &limits);
        prop_assert_eq!(&decode(version, bytes.chunks(1), &limits), &whole);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([bytes.len()]);
        let pieces = starts.zip(ends).map(|(start, end)| &bytes[start..end]);
        prop_assert_eq!(&decode(version, pieces, &limits), &whole);
    }
}
