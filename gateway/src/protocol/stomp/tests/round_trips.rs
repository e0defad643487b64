//! What is written is read again: headers and bodies of any kind, in every version.

use proptest::prelude::*;

use super::{
    super::{
        encoder::{self, Message, MessageBody},
        frame::{Command, Headers},
    },
    *,
};

const VERSIONS: [Version; 3] = [Version::V1_0, Version::V1_1, Version::V1_2];

/// A MESSAGE as the decoder of clients' frames reads it: under the one command that may have a body.
fn read_message(version: Version, prefix: &[u8], tail: &[u8]) -> Frame {
    let rest = prefix.strip_prefix(b"MESSAGE\n").unwrap();
    frame(version, &[b"SEND\n", rest, tail].concat()).unwrap()
}

/// What a version can say of a text: see `escape`.
fn sayable(version: Version, text: &str) -> String {
    match version {
        Version::V1_2 => text.replace('\0', " "),
        Version::V1_1 => text.replace(['\0', '\r'], " "),
        Version::V1_0 => text.replace(['\0', '\r', '\n'], " "),
    }
}

#[test]
fn a_text_never_ends_a_line_or_a_frame() {
    let evil = "x\0\n\nMESSAGE\r\nsubscription:other\r";
    for version in VERSIONS {
        let frame = encoder::error(
            version,
            &encoder::ErrorFrame { message: evil, receipt_id: Some(evil), headers: &[("code", evil)], body: "b" },
        );
        let lines = frame.split(|byte| *byte == b'\n').count();
        assert_eq!((lines, frame.iter().position(|byte| *byte == 0)), (8, Some(frame.len() - 1)), "{frame:?}");
    }
}

proptest! {
    #[test]
    fn a_message_is_read_as_it_was_written(
        version in prop::sample::select(VERSIONS.to_vec()),
        destination in "/[a-z]{1,5}[:\\\\a-z.]{0,5}",
        names in prop::collection::vec("[a-zA-Z\\\\:\r\n]{1,6}", 0..4),
        values in prop::collection::vec("[ -~\\\\:\r\n\0ä]{0,12}", 4),
        subscription in "[ -~\\\\:\r\nä]{1,20}",
        ack in prop::option::of("[0-9]{1,9}"),
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let headers: Vec<_> = names.iter().map(String::as_str).zip(values.iter().map(String::as_str)).collect();
        let shared = MessageBody::new(&Message {
            destination: &destination,
            message_id: Some("m:1"),
            content_type: Some("application/octet-stream"),
            headers: &headers,
            body: &body,
        });
        let prefix = encoder::prefix(version, Some(&subscription), ack.as_deref());
        let read = read_message(version, &prefix, shared.tail(version));

        let mut expected = Headers::new();
        expected.push("subscription", &sayable(version, &subscription));
        if let Some(ack) = &ack {
            expected.push("ack", ack);
        }
        expected.push("destination", &destination);
        expected.push("message-id", "m:1");
        expected.push("content-type", "application/octet-stream");
        for (name, value) in headers.iter().filter(|(name, _)| version != Version::V1_0 || !name.contains(':')) {
            expected.push(&sayable(version, name), &sayable(version, value));
        }
        expected.push("content-length", &body.len().to_string());
        prop_assert_eq!(read.headers.iter().collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
        prop_assert_eq!(&read.body[..], &body[..]);
        prop_assert_eq!(read.command, Command::Send);
    }
}
