//! The frames a server sends (section "Framing accepted by the client"): open, heartbeat, messages, close.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use chatcluster_contracts::close::CloseReason;

use super::escape;

/// The first frame of every session.
pub const OPEN: Bytes = Bytes::from_static(b"o");
/// Keeps proxies from cutting a silent connection.
pub const HEARTBEAT: Bytes = Bytes::from_static(b"h");

/// One message as its frame, `a["…"]`: encoded once, shared by all who receive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message(Bytes);

/// A piece of a message.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    Text(&'a str),
    /// What [`escape`] made of a text; for what several messages have in common.
    Escaped(&'a [u8]),
}

impl Message {
    pub fn new(text: &str) -> Self {
        Self::concat(&[Part::Text(text)])
    }

    /// The message whose text is that of all parts.
    pub fn concat(parts: &[Part<'_>]) -> Self {
        let length: usize = parts
            .iter()
            .map(|part| match part {
                // a text of lines and quotes grows by so much
                Part::Text(text) => text.len() + text.len() / 8,
                Part::Escaped(inside) => inside.len(),
            })
            .sum();
        let mut frame = Vec::with_capacity(length + MESSAGE_START.len() + MESSAGE_END.len());
        frame.extend_from_slice(MESSAGE_START);
        for part in parts {
            match part {
                Part::Text(text) => escape(text, &mut frame),
                Part::Escaped(inside) => frame.extend_from_slice(inside),
            }
        }
        frame.extend_from_slice(MESSAGE_END);
        Self(frame.into())
    }

    /// What [`frame`](Self::frame) gave, or [`append`] made of several: these are one from now on.
    pub fn of(frame: Bytes) -> Self {
        Self(frame)
    }

    /// The frame; over WebSocket it is the payload of a text message.
    pub fn frame(&self) -> &Bytes {
        &self.0
    }

    /// The JSON strings, quotes included.
    fn element(&self) -> &[u8] {
        &self.0[2..self.0.len() - 1]
    }
}

const MESSAGE_START: &[u8] = b"a[\"";
const MESSAGE_END: &[u8] = b"\"]";

/// Adds the messages of a frame to those of `frames`, which is a frame itself, or empty.
pub fn append(frames: &mut BytesMut, frame: &[u8]) {
    if frames.is_empty() {
        return frames.extend_from_slice(frame);
    }
    frames.truncate(frames.len() - 1);
    frames.extend_from_slice(b",");
    frames.extend_from_slice(frame.get(2..).unwrap_or_default());
}

/// Several messages in one frame, in their order.
pub fn array(messages: &[Message]) -> Bytes {
    if let [only] = messages {
        return only.0.clone();
    }
    let length: usize = messages.iter().map(|message| message.element().len() + 1).sum();
    let mut frame = Vec::with_capacity(length + 3);
    frame.extend_from_slice(b"a[");
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            frame.push(b',');
        }
        frame.extend_from_slice(message.element());
    }
    frame.push(b']');
    frame.into()
}

/// Why a session is over, as the client's `close` event will say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    pub code: u16,
    pub reason: Cow<'static, str>,
}

impl Close {
    /// A second receiver came while one was waiting.
    pub const ANOTHER_CONNECTION: Self = Self::fixed(2010, "Another connection still open");
    /// A receiver broke off: what it was sent last may be lost.
    pub const INTERRUPTED: Self = Self::fixed(1002, "Connection interrupted");

    pub const fn fixed(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }

    pub fn frame(&self) -> Bytes {
        let mut frame = format!("c[{},\"", self.code).into_bytes();
        escape(&self.reason, &mut frame);
        frame.extend_from_slice(b"\"]");
        frame.into()
    }
}

impl From<CloseReason> for Close {
    fn from(reason: CloseReason) -> Self {
        Self::fixed(reason.code(), reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_look_as_the_document_shows_them() {
        assert_eq!(&Message::new("message").frame()[..], br#"a["message"]"#);
        assert_eq!(&Message::new("  \0\n\r ").frame()[..], br#"a["  \u0000\n\r "]"#);
        assert_eq!(&Close::fixed(3000, "Go away!").frame()[..], br#"c[3000,"Go away!"]"#);
        assert_eq!(&Close::ANOTHER_CONNECTION.frame()[..], br#"c[2010,"Another connection still open"]"#);
    }

    #[test]
    fn one_message_is_shared_and_not_copied() {
        let message = Message::new("x");
        assert_eq!(array(std::slice::from_ref(&message)).as_ptr(), message.frame().as_ptr());
    }

    proptest! {
        #[test]
        fn an_array_holds_its_messages(texts in proptest::collection::vec(any::<String>(), 0..5)) {
            let messages: Vec<_> = texts.iter().map(|text| Message::new(text)).collect();
            let frame = array(&messages);
            prop_assert_eq!(frame[0], b'a');
            prop_assert_eq!(serde_json::from_slice::<Vec<String>>(&frame[1..]).unwrap(), texts);
        }

        #[test]
        fn a_message_in_parts_is_the_same_message(head in any::<String>(), body in any::<String>()) {
            let mut shared = Vec::new();
            escape(&body, &mut shared);
            let parts = Message::concat(&[Part::Text(&head), Part::Escaped(&shared)]);
            prop_assert_eq!(parts, Message::new(&(head + &body)));
        }
    }
}
