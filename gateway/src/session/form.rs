//! What one session's bytes look like: the protocol its client speaks, and what carries it. Encodings are made once per
//! form and shared by everybody of that form.

use bytes::{Bytes, BytesMut};
use chatcluster_contracts::{close::CloseReason, frame::ServerFrame};

use super::carrier::Carrier;
use crate::protocol::websocket::Limits;

/// What the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The native protocol.
    Native,
    /// STOMP, to the platform.
    Stomp,
    /// User events: payloads as they are; what the client says counts for nothing.
    UserEvents,
    /// Conformance mode: STOMP, to a plain broker.
    Broker,
    /// Conformance mode: payloads as they are.
    Bare,
    /// Conformance mode: what comes goes back.
    Echo,
    /// Conformance mode: the end comes at once.
    Farewell,
}

impl Dialect {
    /// Sessions of the platform's users, which the others know of; those of conformance mode are nobody's.
    pub(crate) const fn is_the_platforms(self) -> bool {
        matches!(self, Self::Native | Self::Stomp)
    }

    pub(crate) const fn is_stomp(self) -> bool {
        matches!(self, Self::Stomp | Self::Broker)
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
        matches!((self.dialect, self.carrier), (Dialect::Native, Carrier::EventStream) | (Dialect::Stomp, _))
    }

    /// What a frame of the platform's own is for this client; `None`: nothing.
    pub(crate) fn frame(self, frame: &ServerFrame<'_>) -> Option<Bytes> {
        match (self.dialect, frame) {
            // an event without data is none, and its id still counts
            (Dialect::Native, ServerFrame::Position { position }) if self.carrier == Carrier::EventStream => {
                Some(format!("id: {position}\n\n").into())
            }
            (Dialect::Native, frame) => Some(self.carrier.text(&frame.to_json())),
            // who speaks STOMP is told in its own way
            (_, _) => None,
        }
    }

    /// Code and reason of the end as this client is told.
    pub(crate) const fn close(self, reason: CloseReason) -> (u16, &'static str) {
        match self.dialect {
            // what test suites for SockJS wait for
            Dialect::Farewell => (3000, "Go away!"),
            _ => (reason.code(), reason.as_str()),
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

/// Longest message of those who only listen, in bytes.
const LISTENERS_SAY: usize = 4096;

/// What clients may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageLimits {
    /// Longest message, in bytes.
    pub(crate) max_message: usize,
    /// The same for services of conformance mode.
    pub(crate) max_conformance: usize,
}

impl MessageLimits {
    pub(crate) fn of(self, form: Form) -> Limits {
        let max_message = match form.dialect {
            Dialect::UserEvents => self.max_message.min(LISTENERS_SAY),
            Dialect::Echo | Dialect::Broker => self.max_conformance,
            _ => self.max_message,
        };
        Limits {
            // a JSON string is longer than what it says
            max_message: if form.carrier == Carrier::SockJs { 2 * max_message } else { max_message },
            binary: (matches!(form.dialect, Dialect::Echo | Dialect::UserEvents) || form.dialect.is_stomp())
                && form.carrier != Carrier::SockJs,
            deflate: matches!(form.carrier, Carrier::WebSocket { deflate: Some(_) }),
        }
    }
}
