//! What one session's bytes look like: the protocol its client speaks, and what carries it. Encodings are made once per
//! form and shared by everybody of that form.

use bytes::{Bytes, BytesMut};
use chatcluster_contracts::frame::ServerFrame;

use super::carrier::Carrier;
use crate::protocol::websocket::Limits;

/// What the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The native protocol.
    Native,
    /// Conformance mode: payloads as they are.
    Bare,
    /// Conformance mode: what comes goes back.
    Echo,
}

impl Dialect {
    /// Sessions of the platform's users, which the others know of; those of conformance mode are nobody's.
    pub(crate) const fn is_the_platforms(self) -> bool {
        matches!(self, Self::Native)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) dialect: Dialect,
    pub(crate) carrier: Carrier,
}

impl Form {
    /// Does each message name the position after it?
    pub(crate) const fn names_positions(self) -> bool {
        matches!(self.carrier, Carrier::EventStream)
    }

    /// What a frame of the platform's own is for this client; `None`: nothing.
    pub(crate) fn frame(self, frame: &ServerFrame<'_>) -> Option<Bytes> {
        match (self.dialect, frame) {
            // an event without data is none, and its id still counts
            (Dialect::Native, ServerFrame::Position { position }) if self.carrier == Carrier::EventStream => {
                Some(format!("id: {position}\n\n").into())
            }
            (Dialect::Native, frame) => Some(self.carrier.text(&frame.to_json())),
            (Dialect::Bare | Dialect::Echo, _) => None,
        }
    }

    /// An event's payload for this client.
    pub(crate) fn event(self, payload: &[u8]) -> Bytes {
        if self.dialect == Dialect::Bare && std::str::from_utf8(payload).is_err() {
            return self.carrier.binary(payload);
        }
        self.carrier.text(payload)
    }

    /// The same, after what `frames` holds already.
    pub(crate) fn append_event(self, frames: &mut BytesMut, payload: &[u8]) {
        if self.dialect == Dialect::Bare && std::str::from_utf8(payload).is_err() {
            frames.extend_from_slice(&self.carrier.binary(payload));
        } else {
            self.carrier.append_text(frames, payload);
        }
    }
}

/// What clients may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageLimits {
    /// Longest message, in bytes.
    pub(crate) max_message: usize,
    /// The same for the echo of conformance mode.
    pub(crate) max_echo: usize,
}

impl MessageLimits {
    pub(crate) fn of(self, form: Form) -> Limits {
        Limits {
            max_message: if form.dialect == Dialect::Echo { self.max_echo } else { self.max_message },
            binary: form.dialect == Dialect::Echo,
            deflate: matches!(form.carrier, Carrier::WebSocket { deflate: Some(_) }),
        }
    }
}
