//! What one session's bytes look like: the protocol its client speaks, and what carries it. Encodings are made once per
//! form and shared by everybody of that form.

use bytes::{Bytes, BytesMut};
use chatcluster_contracts::frame::ServerFrame;

use crate::protocol::websocket::{self, Limits, Window};

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
    /// permessage-deflate was negotiated.
    pub(crate) deflate: Option<Window>,
}

impl Form {
    /// A text message of the dialect, in its carrier.
    pub(crate) fn text(self, payload: &[u8]) -> Bytes {
        match self.deflate {
            Some(window) => websocket::text_deflated(payload, window),
            None => websocket::text(payload),
        }
    }

    pub(crate) fn binary(self, payload: &[u8]) -> Bytes {
        match self.deflate {
            Some(window) => websocket::binary_deflated(payload, window),
            None => websocket::binary(payload),
        }
    }

    /// What a frame of the platform's own is for this client; `None`: nothing.
    pub(crate) fn frame(self, frame: &ServerFrame<'_>) -> Option<Bytes> {
        match self.dialect {
            Dialect::Native => Some(self.text(&frame.to_json())),
            Dialect::Bare | Dialect::Echo => None,
        }
    }

    /// An event's payload for this client.
    pub(crate) fn event(self, payload: &[u8]) -> Bytes {
        if self.dialect == Dialect::Bare && std::str::from_utf8(payload).is_err() {
            return self.binary(payload);
        }
        self.text(payload)
    }

    /// The same, after what `frames` holds already.
    pub(crate) fn append_event(self, frames: &mut BytesMut, payload: &[u8]) {
        if self.deflate.is_some() || self.dialect == Dialect::Bare && std::str::from_utf8(payload).is_err() {
            return frames.extend_from_slice(&self.event(payload));
        }
        frames.extend_from_slice(&websocket::text_header(payload.len()));
        frames.extend_from_slice(payload);
    }

    #[allow(clippy::unused_self, reason = "the carrier decides")]
    pub(crate) fn ping(self) -> Bytes {
        websocket::ping()
    }

    #[allow(clippy::unused_self, reason = "the carrier decides")]
    pub(crate) fn pong(self, payload: &[u8]) -> Bytes {
        websocket::pong(payload)
    }

    #[allow(clippy::unused_self, reason = "the carrier decides")]
    pub(crate) fn close(self, code: Option<u16>, reason: &str) -> Bytes {
        websocket::close(code, reason)
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
            deflate: form.deflate.is_some(),
        }
    }
}
