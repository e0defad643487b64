//! The server's frames, ready for the wire: CONNECTED, MESSAGE, RECEIPT, ERROR.
//!
//! A MESSAGE to many is made of two parts: the [`prefix`] that differs per subscription, and the [`MessageBody`] with the
//! shared headers, the body and the NUL, encoded once for all.

use bytes::{BufMut, Bytes};

use super::{connect::HeartBeat, escape, frame::Version};

/// The answer to CONNECT.
#[derive(Debug, Clone, Copy)]
pub struct Connected<'a> {
    pub version: Version,
    pub session: &'a str,
    /// The authenticated user, as Spring's `user-name` header tells it.
    pub user: Option<&'a str>,
    /// `name/version`
    pub server: &'a str,
    /// What this server can send and wants to receive.
    pub heart_beat: HeartBeat,
}

/// CONNECTED is never escaped (chapter "Value Encoding"), so that a client of any version reads it.
pub fn connected(frame: &Connected<'_>) -> Bytes {
    let mut out = start("CONNECTED");
    let mut header = |name: &str, value: &str| write_header(&mut out, Version::V1_0, name, value);
    header("version", frame.version.as_str());
    header("heart-beat", &frame.heart_beat.to_string());
    header("server", frame.server);
    header("session", frame.session);
    if let Some(user) = frame.user {
        header("user-name", user);
    }
    end(out, b"")
}

/// The frame that asked for the receipt `id` was done; `headers` say what came of it.
pub fn receipt(version: Version, id: &str, headers: &[(&str, &str)]) -> Bytes {
    let mut out = start("RECEIPT");
    write_header(&mut out, version, "receipt-id", id);
    for (name, value) in headers {
        write_header(&mut out, version, name, value);
    }
    end(out, b"")
}

/// Why the session ends. The connection must be closed after it (chapter "ERROR").
#[derive(Debug, Clone, Copy)]
pub struct ErrorFrame<'a> {
    /// One short line.
    pub message: &'a str,
    /// The receipt that the refused frame asked for.
    pub receipt_id: Option<&'a str>,
    pub headers: &'a [(&'a str, &'a str)],
    /// Plain text for people.
    pub body: &'a str,
}

/// Before CONNECTED the version is [`Version::V1_0`]: the client does not expect escapes yet.
pub fn error(version: Version, frame: &ErrorFrame<'_>) -> Bytes {
    let mut out = start("ERROR");
    let mut header = |name: &str, value: &str| write_header(&mut out, version, name, value);
    header("message", frame.message);
    if let Some(id) = frame.receipt_id {
        header("receipt-id", id);
    }
    for (name, value) in frame.headers {
        header(name, value);
    }
    header("content-type", "text/plain");
    header("content-length", &frame.body.len().to_string());
    end(out, frame.body.as_bytes())
}

/// What is the same for everyone who receives a message.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub destination: &'a str,
    /// `None`: it differs per subscription and stands in the prefix.
    pub message_id: Option<&'a str>,
    pub content_type: Option<&'a str>,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

impl Message<'_> {
    fn is_plain(&self) -> bool {
        [self.destination, self.message_id.unwrap_or_default(), self.content_type.unwrap_or_default()]
            .into_iter()
            .chain(self.headers.iter().flat_map(|(name, value)| [*name, *value]))
            .all(escape::is_plain)
    }

    fn encode(&self, version: Version) -> Bytes {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let id = self.message_id.map_or(0, str::len);
        let mut out = Vec::with_capacity(128 + self.destination.len() + id + headers + self.body.len());
        let mut header = |name: &str, value: &str| write_header(&mut out, version, name, value);
        header("destination", self.destination);
        if let Some(id) = self.message_id {
            header("message-id", id);
        }
        if let Some(content_type) = self.content_type {
            header("content-type", content_type);
        }
        for (name, value) in self.headers {
            header(name, value);
        }
        header("content-length", &self.body.len().to_string());
        end(out, self.body)
    }
}

/// The shared part of a MESSAGE: from the destination header to the closing NUL. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MessageBody {
    /// For 1.2, and for all versions if nothing in the headers needs an escape.
    tail: Bytes,
    /// For 1.0 and 1.1 where they differ.
    older: Option<Box<[Bytes; 2]>>,
}

impl MessageBody {
    pub fn new(message: &Message<'_>) -> Self {
        let older = if message.is_plain() {
            None
        } else {
            Some(Box::new([Version::V1_0, Version::V1_1].map(|v| message.encode(v))))
        };
        Self { tail: message.encode(Version::V1_2), older }
    }

    /// What follows the [`prefix`] of a subscription on a session of `version`.
    pub fn tail(&self, version: Version) -> &Bytes {
        match (&self.older, version) {
            (Some(older), Version::V1_0) => &older[0],
            (Some(older), Version::V1_1) => &older[1],
            _ => &self.tail,
        }
    }
}

/// The part of a MESSAGE that differs per subscription; [`MessageBody::tail`] follows. A subscription of 1.0 may have no id,
/// and `ack` belongs to 1.2 and to subscriptions that acknowledge.
pub fn prefix(version: Version, subscription: Option<&str>, ack: Option<&str>) -> Bytes {
    let mut out = Vec::with_capacity(32 + subscription.map_or(0, str::len) + ack.map_or(0, str::len));
    write_prefix(&mut out, version, subscription, ack);
    Bytes::from(out)
}

/// As [`prefix`], at the end of a buffer that the caller has.
pub fn write_prefix(out: &mut impl BufMut, version: Version, subscription: Option<&str>, ack: Option<&str>) {
    out.put_slice(b"MESSAGE\n");
    if let Some(subscription) = subscription {
        write_header(out, version, "subscription", subscription);
    }
    if let Some(ack) = ack {
        write_header(out, version, "ack", ack);
    }
}

fn start(command: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    out.put_slice(command.as_bytes());
    out.push(b'\n');
    out
}

/// One more header after a [`prefix`]. A colon in a name cannot be said in 1.0: such a header is left out.
pub fn write_header(out: &mut impl BufMut, version: Version, name: &str, value: &str) {
    if version == Version::V1_0 && name.contains(':') {
        return;
    }
    escape::put(out, version, name);
    out.put_u8(b':');
    escape::put(out, version, value);
    out.put_u8(b'\n');
}

fn end(mut out: Vec<u8>, body: &[u8]) -> Bytes {
    out.reserve_exact(body.len() + 2);
    out.push(b'\n');
    out.extend_from_slice(body);
    out.push(0);
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connected_is_never_escaped() {
        let frame = connected(&Connected {
            version: Version::V1_2,
            session: "n~1",
            user: Some("a:b\nversion:9"),
            server: "ChatCluster/0.1.0",
            heart_beat: HeartBeat { sends: 10_000, wants: 0 },
        });
        assert_eq!(
            &frame[..],
            b"CONNECTED\nversion:1.2\nheart-beat:10000,0\nserver:ChatCluster/0.1.0\nsession:n~1\n\
              user-name:a:b version:9\n\n\0"
        );
    }

    #[test]
    fn an_error_names_its_cause_and_the_receipt() {
        let frame =
            ErrorFrame { message: "a: b", receipt_id: Some("r1"), headers: &[("code", "forbidden")], body: "no" };
        assert_eq!(
            &error(Version::V1_2, &frame)[..],
            b"ERROR\nmessage:a\\c b\nreceipt-id:r1\ncode:forbidden\ncontent-type:text/plain\ncontent-length:2\n\nno\0"
        );
        assert_eq!(&receipt(Version::V1_0, "r1", &[("seq", "7")])[..], b"RECEIPT\nreceipt-id:r1\nseq:7\n\n\0");
    }

    #[test]
    fn a_message_is_a_prefix_and_a_shared_tail() {
        let message = Message {
            destination: "/topic/conversations.c1",
            message_id: Some("c1/7"),
            content_type: Some("application/json"),
            headers: &[("position", "p")],
            body: b"{\0}",
        };
        let body = MessageBody::new(&message);
        assert_eq!(&prefix(Version::V1_2, Some("sub-0"), Some("3"))[..], b"MESSAGE\nsubscription:sub-0\nack:3\n");
        assert_eq!(
            &body.tail(Version::V1_2)[..],
            b"destination:/topic/conversations.c1\nmessage-id:c1/7\ncontent-type:application/json\nposition:p\n\
              content-length:3\n\n{\0}\0"
        );
        let shared = body.tail(Version::V1_0).as_ptr();
        assert_eq!(shared, body.tail(Version::V1_2).as_ptr(), "plain headers are encoded once for all versions");
        let other = MessageBody::new(&Message { destination: "/topic/conversations.a:b", ..message });
        assert!(other.tail(Version::V1_2).starts_with(b"destination:/topic/conversations.a\\cb\n"));
        assert!(other.tail(Version::V1_1).starts_with(b"destination:/topic/conversations.a\\cb\n"));
        assert!(other.tail(Version::V1_0).starts_with(b"destination:/topic/conversations.a:b\n"));
    }
}
