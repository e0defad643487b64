//! What carries a dialect's messages to one client: how a message, a ping and the end look on the wire.

use bytes::{Bytes, BytesMut};

use crate::protocol::{
    sockjs, stomp,
    websocket::{self, Window},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// `deflate`: permessage-deflate was negotiated.
    WebSocket { deflate: Option<Window> },
    /// SockJS frames in WebSocket messages.
    SockJs,
    /// SockJS by HTTP requests: frames wait until they are fetched.
    Fetched,
    /// Server-sent events: read only.
    EventStream,
    /// Bytes as they are: STOMP's frames end by themselves.
    Tcp,
}

impl Carrier {
    /// One message of the dialect. Text that is UTF-8.
    pub(crate) fn text(self, payload: &[u8]) -> Bytes {
        self.text_of(&[payload])
    }

    /// One message, made of parts.
    pub(crate) fn text_of(self, parts: &[&[u8]]) -> Bytes {
        match self {
            Self::WebSocket { deflate: Some(window) } => websocket::text_deflated(&parts.concat(), window),
            Self::WebSocket { deflate: None } => websocket::text_of(parts),
            Self::SockJs => websocket::text(&sockjs_frame(parts)),
            Self::Fetched => sockjs_frame(parts),
            Self::EventStream => event(parts, None),
            Self::Tcp => parts.concat().into(),
        }
    }

    /// One message of any bytes. SockJS and event streams know text only.
    pub(crate) fn binary(self, payload: &[u8]) -> Bytes {
        match self {
            Self::WebSocket { deflate: Some(window) } => websocket::binary_deflated(payload, window),
            Self::WebSocket { deflate: None } => websocket::binary(payload),
            _ => self.text(payload),
        }
    }

    /// A message after those that `frames` holds already.
    pub(crate) fn append_text(self, frames: &mut BytesMut, payload: &[u8]) {
        self.append_text_of(frames, &[payload]);
    }

    /// The same, made of parts.
    pub(crate) fn append_text_of(self, frames: &mut BytesMut, parts: &[&[u8]]) {
        match self {
            Self::WebSocket { deflate: None } => {
                frames.extend_from_slice(&websocket::text_header(parts.iter().map(|part| part.len()).sum()));
                extend(frames, parts);
            }
            Self::Tcp => extend(frames, parts),
            // one frame holds them all
            Self::Fetched => sockjs::frames::append(frames, &sockjs_frame(parts)),
            _ => frames.extend_from_slice(&self.text_of(parts)),
        }
    }

    /// What comes before everything else. `None`: nothing, or it is not ours to send.
    pub(crate) fn greeting(self) -> Option<Bytes> {
        (self == Self::SockJs).then(|| websocket::text(&sockjs::frames::OPEN))
    }

    /// What an idle peer is sent. `None`: nothing, or it is not ours to send.
    pub(crate) fn ping(self) -> Option<Bytes> {
        match self {
            Self::WebSocket { .. } => Some(websocket::ping()),
            // the script behind sees the one, the browser answers the other
            Self::SockJs => Some([&*websocket::text(&sockjs::frames::HEARTBEAT), &*websocket::ping()].concat().into()),
            Self::EventStream => Some(Bytes::from_static(b":\n\n")),
            Self::Tcp => Some(Bytes::from_static(stomp::HEART_BEAT)),
            Self::Fetched => None,
        }
    }

    /// Does a living peer answer pings?
    pub(crate) const fn answers_pings(self) -> bool {
        matches!(self, Self::WebSocket { .. } | Self::SockJs)
    }

    /// The answer to a peer that closes. `None`: there is none.
    pub(crate) fn close_answer(self, code: Option<u16>) -> Option<Bytes> {
        matches!(self, Self::WebSocket { .. } | Self::SockJs).then(|| websocket::close(code, ""))
    }

    /// The last frame. `None`: the end says it all, or it is not ours to send.
    pub(crate) fn close(self, code: Option<u16>, reason: &str) -> Option<Bytes> {
        match self {
            Self::WebSocket { .. } => Some(websocket::close(code, reason)),
            Self::SockJs => {
                let said = sockjs::frames::Close { code: code.unwrap_or(3000), reason: reason.to_owned().into() };
                Some([&*websocket::text(&said.frame()), &*websocket::close(code, reason)].concat().into())
            }
            Self::Fetched | Self::EventStream | Self::Tcp => None,
        }
    }
}

fn extend(frames: &mut BytesMut, parts: &[&[u8]]) {
    for part in parts {
        frames.extend_from_slice(part);
    }
}

fn sockjs_frame(parts: &[&[u8]]) -> Bytes {
    let whole = parts.concat();
    sockjs::frames::Message::new(&String::from_utf8_lossy(&whole)).frame().clone()
}

/// One event of an event stream. JSON has no line breaks; other texts may. `id`: what a client names when it resumes.
pub(crate) fn event(parts: &[&[u8]], id: Option<&str>) -> Bytes {
    let whole = parts.concat();
    let mut out = BytesMut::with_capacity(whole.len() + 64);
    if let Some(id) = id {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(b"\n");
    }
    for line in whole.split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"\n");
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_message_in_each_carrier() {
        let text = |carrier: Carrier| carrier.text(b"{\"a\":1}").to_vec();
        assert_eq!(text(Carrier::WebSocket { deflate: None }), b"\x81\x07{\"a\":1}");
        assert_eq!(text(Carrier::Fetched), br#"a["{\"a\":1}"]"#);
        assert_eq!(text(Carrier::SockJs), [b"\x81\x0e".as_slice(), br#"a["{\"a\":1}"]"#].concat());
        let mut frames = BytesMut::new();
        for payload in [b"1", b"2", b"3"] {
            Carrier::Fetched.append_text(&mut frames, payload);
        }
        assert_eq!(&frames[..], br#"a["1","2","3"]"#);
        assert_eq!(text(Carrier::EventStream), b"data: {\"a\":1}\n\n");
        assert_eq!(event(&[b"a\nb"], Some("1;c=2")).to_vec(), b"id: 1;c=2\ndata: a\ndata: b\n\n");
    }
}
