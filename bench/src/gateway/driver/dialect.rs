//! How clients of each kind of server subscribe and publish. Bytes only.

use std::{fmt::Write, net::SocketAddr};

use super::frames;

/// The key of RFC 6455's example and its answer.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(super) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A socket at `/sub/{room}`, published by `POST /pub/{room}`; the frame is the body.
    Rooms,
    /// STOMP 1.2 over WebSocket at a path, guest/guest, `/topic/{room}`; published by a STOMP connection too.
    Stomp { path: &'static str },
    /// A socket at `/ws?username={room}`, published in Redis; the frame is the body.
    UserEvents { redis: SocketAddr },
}

/// A text that a client sends, and what the answer to it contains.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) send: String,
    pub(super) answer: &'static str,
}

impl Dialect {
    pub(super) fn upgrade(self, room: &str) -> String {
        let (path, more) = match self {
            Self::Rooms => (format!("/sub/{room}"), ""),
            Self::Stomp { path } => (path.to_owned(), "Sec-WebSocket-Protocol: v12.stomp\r\n"),
            Self::UserEvents { .. } => (format!("/ws?username={room}"), ""),
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
        )
    }

    /// Where publishing connections go, when it is not where sockets go.
    pub(super) fn publishes_to(self) -> Option<SocketAddr> {
        match self {
            Self::UserEvents { redis } => Some(redis),
            Self::Rooms | Self::Stomp { .. } => None,
        }
    }

    /// What follows the upgrade of a publishing connection; `None` when publishing is plain HTTP, or Redis's.
    pub(super) fn publisher(self) -> Option<Vec<Exchange>> {
        match self {
            Self::Rooms | Self::UserEvents { .. } => None,
            Self::Stomp { .. } => Some(vec![stomp_connect()]),
        }
    }

    pub(super) fn subscribe(self, room: &str) -> Vec<Exchange> {
        match self {
            Self::Rooms | Self::UserEvents { .. } => Vec::new(),
            Self::Stomp { .. } => {
                let send = format!("SUBSCRIBE\nid:0\ndestination:/topic/{room}\nreceipt:subscribed\n\n\0");
                vec![stomp_connect(), Exchange { send, answer: "receipt-id:subscribed" }]
            }
        }
    }

    /// Appends one publish.
    pub(super) fn publish(self, room: &str, body: &[u8], out: &mut Vec<u8>) {
        let mut head = String::new();
        // writing to a string cannot fail
        let _ = match self {
            Self::Rooms => {
                write!(head, "POST /pub/{room} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len())
            }
            Self::Stomp { .. } => write!(head, "SEND\ndestination:/topic/{room}\ncontent-length:{}\n\n", body.len()),
            Self::UserEvents { .. } => {
                let channel = format!("workflow:events:{room}");
                write!(head, "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n", channel.len(), body.len())
            }
        };
        match self {
            Self::Rooms => {
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(body);
            }
            Self::UserEvents { .. } => {
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(body);
                out.extend_from_slice(b"\r\n");
            }
            Self::Stomp { .. } => frames::write(frames::TEXT, &[head.as_bytes(), body, b"\0"].concat(), out),
        }
    }

    /// Whether a delivered frame is the body and nothing else.
    pub(super) fn bare(self) -> bool {
        !matches!(self, Self::Stomp { .. })
    }
}

fn stomp_connect() -> Exchange {
    let send = "CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\nheart-beat:0,0\n\n\0".to_owned();
    Exchange { send, answer: "CONNECTED" }
}
