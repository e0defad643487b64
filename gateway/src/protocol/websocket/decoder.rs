//! Frames from client to server. Whatever pieces the bytes come in, the same messages come out.
//!
//! An idle decoder is one empty pointer: a frame that lies complete in the input is decoded from there, and only what is
//! incomplete is held, in a box, until it is whole.

use std::fmt;

use super::{Incoming, Limits, Violation, control, header, message::Message, partial::Partial};

enum Held {
    Partial(Partial),
    /// Nothing is read after a violation.
    Broken(Violation),
}

/// Reads the frames of one connection.
#[derive(Default)]
pub struct Decoder {
    held: Option<Box<Held>>,
}

impl Decoder {
    pub const fn new() -> Self {
        Self { held: None }
    }

    /// Reads from the front of `input` up to the end of the next message or control frame and takes what it read off
    /// `input`. `None`: all of `input` was read and more is needed. After a violation every call tells it again.
    pub fn next(&mut self, input: &mut &[u8], limits: &Limits) -> Result<Option<Incoming>, Violation> {
        let result = match self.held.as_deref_mut() {
            None => match whole_frame(input, limits) {
                Ok(None) if !input.is_empty() => {
                    let mut partial = Box::new(Held::Partial(Partial::default()));
                    let result = partial.next(input, limits);
                    self.held = Some(partial);
                    result
                }
                result => result,
            },
            Some(held) => held.next(input, limits),
        };
        match &result {
            Ok(Some(_)) if self.held.as_ref().is_some_and(|held| held.is_over()) => self.held = None,
            Err(violation) => self.held = Some(Box::new(Held::Broken(*violation))),
            Ok(_) => {}
        }
        result
    }

    /// Between frames and between messages: nothing is held.
    pub const fn is_idle(&self) -> bool {
        self.held.is_none()
    }

    /// A data message has begun and is not complete.
    pub fn is_within_message(&self) -> bool {
        matches!(self.held.as_deref(), Some(Held::Partial(partial)) if partial.is_within_message())
    }

    /// Bytes of memory held for what is incomplete: at most twice of what arrived of it, and a small constant.
    pub fn held_bytes(&self) -> usize {
        match self.held.as_deref() {
            None => 0,
            Some(Held::Partial(partial)) => partial.capacity(),
            Some(Held::Broken(_)) => size_of::<Held>(),
        }
    }
}

impl Held {
    fn next(&mut self, input: &mut &[u8], limits: &Limits) -> Result<Option<Incoming>, Violation> {
        match self {
            Self::Partial(partial) => partial.next(input, limits),
            Self::Broken(violation) => Err(*violation),
        }
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Partial(partial) if partial.is_over())
    }
}

/// The common case: an unfragmented message or a control frame that lies in `input` as a whole. `None`, with `input` as
/// it was: it is something else.
fn whole_frame(input: &mut &[u8], limits: &Limits) -> Result<Option<Incoming>, Violation> {
    let Some((header, length)) = header::parse(input, false, limits)? else { return Ok(None) };
    let Some((payload, rest)) = input[length..].split_at_checked(header.length) else { return Ok(None) };
    if !header.fin {
        return Ok(None);
    }
    *input = rest;
    if header.is_control() {
        let mut bytes = payload.to_vec();
        super::mask::apply(&mut bytes, header.key);
        return control::read(header.opcode, bytes).map(Some);
    }
    let mut message = Message::new(header.opcode, header.compressed);
    message.check_room(header.length, limits)?;
    message.push(payload, header.key, Some(0))?;
    message.finish(limits).map(Some)
}

/// Sizes alone: messages carry tokens and what people write.
impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("held_bytes", &self.held_bytes()).finish()
    }
}
