//! The WebSocket draft of 2010 (draft-hixie-thewebsocketprotocol-76), which the protocol's test-suite still speaks. For
//! the conformance services alone: real sessions are for clients of the RFC.
//!
//! The client's request ends with eight bytes behind the head; the server answers the head, and then those bytes.

use std::fmt::Write;

use bytes::{BufMut, Bytes, BytesMut};
use md5::{Digest, Md5};

/// Bytes that follow the request's head, and belong to the handshake.
pub const NONCE_BYTES: usize = 8;

/// The closing handshake, in either direction.
pub const CLOSE: Bytes = Bytes::from_static(&[0xff, 0x00]);

const TEXT_START: u8 = 0x00;
const TEXT_END: u8 = 0xff;

/// What the two key headers ask for (section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge(u32, u32);

impl Challenge {
    /// Of the headers `Sec-WebSocket-Key1` and `Sec-WebSocket-Key2`; their values count with every space in them.
    pub fn new(key1: &str, key2: &str) -> Option<Self> {
        Some(Self(number(key1)?, number(key2)?))
    }

    /// The bytes that complete the handshake.
    pub fn answer(self, nonce: [u8; NONCE_BYTES]) -> [u8; 16] {
        let digest = Md5::new().chain_update(self.0.to_be_bytes()).chain_update(self.1.to_be_bytes());
        digest.chain_update(nonce).finalize().into()
    }
}

/// The key's digits as a number, divided by the count of its spaces.
fn number(key: &str) -> Option<u32> {
    let spaces = key.bytes().filter(|byte| *byte == b' ').count();
    let digits: String = key.chars().filter(char::is_ascii_digit).collect();
    let (digits, spaces) = (digits.parse::<u32>().ok()?, u32::try_from(spaces).ok()?);
    (spaces > 0 && digits % spaces == 0).then(|| digits / spaces)
}

/// The head of the answer. It goes out before the client's last eight bytes are there: proxies hold those back until
/// they have seen it.
pub fn head(host: &str, target: &str, origin: &str) -> String {
    let mut head =
        String::from("HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n");
    let _ = write!(head, "Sec-WebSocket-Origin: {origin}\r\nSec-WebSocket-Location: ws://{host}{target}\r\n\r\n");
    head
}

/// A text message. `payload` must be UTF-8, which has no byte 0xff.
pub fn text(payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 2);
    out.put_u8(TEXT_START);
    out.put_slice(payload);
    out.put_u8(TEXT_END);
    out.freeze()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    Text(String),
    Close,
}

/// The peer broke the protocol; nothing after this can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("a frame that is neither a text nor a close")]
    Frame,
    #[error("the text is not UTF-8")]
    NotUtf8,
    #[error("the message is longer than is accepted")]
    TooBig,
}

/// Reads the frames of one connection, whatever pieces they come in.
#[derive(Debug)]
pub struct Decoder {
    max_message: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Between,
    InText(Vec<u8>),
    Closing,
}

impl Decoder {
    pub fn new(max_message: usize) -> Self {
        Self { max_message, state: State::Between }
    }

    /// Reads up to the end of the next frame and takes what it read off `input`. `None`: more is needed.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>, Violation> {
        while !input.is_empty() {
            match &mut self.state {
                State::InText(message) => {
                    let end = input.iter().position(|byte| *byte == TEXT_END);
                    let (text, rest) = input.split_at(end.unwrap_or(input.len()));
                    if text.len() > self.max_message - message.len() {
                        return Err(Violation::TooBig);
                    }
                    message.extend_from_slice(text);
                    *input = rest.get(1..).unwrap_or_default();
                    if end.is_some() {
                        let text = String::from_utf8(std::mem::take(message)).map_err(|_| Violation::NotUtf8)?;
                        self.state = State::Between;
                        return Ok(Some(Incoming::Text(text)));
                    }
                }
                State::Between | State::Closing => {
                    let (first, rest) = (input[0], &input[1..]);
                    *input = rest;
                    self.state = match (&self.state, first) {
                        (State::Between, TEXT_START) => State::InText(Vec::new()),
                        (State::Between, 0xff) => State::Closing,
                        (State::Closing, 0x00) => return Ok(Some(Incoming::Close)),
                        _ => return Err(Violation::Frame),
                    };
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY1: &str = "4 @1  46546xW%0l 1 5";
    const KEY2: &str = "12998 5 Y3 1  .P00";

    #[test]
    fn the_example_of_the_draft() {
        let challenge = Challenge::new(KEY1, KEY2).unwrap();
        assert_eq!(&challenge.answer(*b"^n:ds[4U"), b"8jKS'y:G*Co,Wxa-");
        let expected = b"\xca4\x00\xd8\xa5\x08G\x97,\xd5qZ\xba\xbfC{";
        assert_eq!(&challenge.answer(*b"aaaaaaaa"), expected);
        assert_eq!(Challenge::new("123", KEY2), None, "no space");
        assert_eq!(Challenge::new("1 0 1", KEY2), None, "not divisible");
    }

    fn read(decoder: &mut Decoder, mut bytes: &[u8]) -> Result<Vec<Incoming>, Violation> {
        let mut found = Vec::new();
        while let Some(incoming) = decoder.next(&mut bytes)? {
            found.push(incoming);
        }
        Ok(found)
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for (bytes, violation) in [
            (&b"\x01a\xff"[..], Violation::Frame),
            (b"\xff\x01", Violation::Frame),
            (b"\x00\xc3\xff", Violation::NotUtf8),
            (b"\x00123456789", Violation::TooBig),
        ] {
            assert_eq!(read(&mut Decoder::new(8), bytes), Err(violation), "{bytes:?}");
        }
        assert_eq!(read(&mut Decoder::new(8), &CLOSE), Ok(vec![Incoming::Close]));
    }

    proptest! {
        #[test]
        fn split_anywhere_it_reads_the_same(texts in proptest::collection::vec(any::<String>(), 0..4), cut in any::<u16>()) {
            let bytes: Vec<u8> = texts.iter().flat_map(|message| text(message.as_bytes())).collect();
            let (left, right) = bytes.split_at(usize::from(cut) % (bytes.len() + 1));
            let mut decoder = Decoder::new(10_000);
            let mut found = read(&mut decoder, left).unwrap();
            found.extend(read(&mut decoder, right).unwrap());
            prop_assert_eq!(found, texts.into_iter().map(Incoming::Text).collect::<Vec<_>>());
        }
    }
}
