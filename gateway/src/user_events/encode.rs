//! An event as bytes on the wire. Pure; made once for all who get the same.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chatcluster_contracts::log_id::LogId;
use serde::de::IgnoredAny;

use crate::session::Carrier;

/// The payload and nothing else. What is not UTF-8 is a binary message; an event stream knows text only.
pub(super) fn plain(carrier: Carrier, payload: &[u8]) -> Bytes {
    match carrier {
        Carrier::EventStream => event(None, None, payload),
        _ if simdutf8::basic::from_utf8(payload).is_ok() => carrier.text(payload),
        _ => carrier.binary(payload),
    }
}

/// The payload with its id: around it in a message, beside it in an event stream.
pub(super) fn numbered(carrier: Carrier, id: LogId, payload: &[u8]) -> Bytes {
    if carrier == Carrier::EventStream {
        return event(Some(id), None, payload);
    }
    let begin = format!("{{\"id\":\"{id}\",");
    let text = std::str::from_utf8(payload).ok();
    let is_json = serde_json::from_slice::<IgnoredAny>(payload).is_ok();
    let (key, value): (&str, Cow<'_, [u8]>) = match text {
        Some(_) if is_json => ("\"data\":", Cow::Borrowed(payload)),
        Some(text) => ("\"text\":", serde_json::Value::from(text).to_string().into_bytes().into()),
        None => ("\"base64\":", format!("\"{}\"", STANDARD.encode(payload)).into_bytes().into()),
    };
    carrier.text_of(&[begin.as_bytes(), key.as_bytes(), &value, b"}"])
}

/// Events after `since` may be missing: they are not in the log any more.
pub(super) fn gap(carrier: Carrier, since: LogId) -> Bytes {
    let body = format!("{{\"since\":\"{since}\"}}");
    if carrier == Carrier::EventStream {
        return event(None, Some("gap"), body.as_bytes());
    }
    carrier.text_of(&[b"{\"gap\":", body.as_bytes(), b"}"])
}

/// One event of an event stream. Whatever breaks a line begins another line of data.
fn event(id: Option<LogId>, name: Option<&str>, payload: &[u8]) -> Bytes {
    let text = String::from_utf8_lossy(payload);
    let mut out = String::with_capacity(text.len() + 48);
    if let Some(name) = name {
        out.extend(["event: ", name, "\n"]);
    }
    if let Some(id) = id {
        out.extend(["id: ", &id.to_string(), "\n"]);
    }
    for line in text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')) {
        out.extend(["data: ", line, "\n"]);
    }
    out.push('\n');
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: Carrier = Carrier::WebSocket { deflate: None };
    const ID: LogId = LogId { ms: 7, n: 1 };

    #[test]
    fn the_payload_passes_untouched() {
        assert_eq!(&plain(SOCKET, b" {\"a\": 1}\n")[..], b"\x81\x0a {\"a\": 1}\n");
        assert_eq!(&plain(SOCKET, b"not json")[..], b"\x81\x08not json");
        assert_eq!(&plain(SOCKET, b"\xff\x00")[..], b"\x82\x02\xff\x00", "binary");
        assert_eq!(&plain(SOCKET, b"")[..], b"\x81\x00");
    }

    #[test]
    fn an_id_stands_around_whatever_it_is() {
        let text = |payload: &[u8]| String::from_utf8(numbered(SOCKET, ID, payload)[2..].to_vec()).unwrap();
        assert_eq!(text(b"{\"b\":1, \"a\":2}"), r#"{"id":"7-1","data":{"b":1, "a":2}}"#);
        assert_eq!(text(b"a \"b\"\n"), r#"{"id":"7-1","text":"a \"b\"\n"}"#);
        assert_eq!(text(b"\xff\x00"), r#"{"id":"7-1","base64":"/wA="}"#);
        assert_eq!(text(b"{\"a\":1} {}"), r#"{"id":"7-1","text":"{\"a\":1} {}"}"#, "two values are none");
        assert_eq!(&gap(SOCKET, ID)[2..], br#"{"gap":{"since":"7-1"}}"#);
    }

    #[test]
    fn nothing_in_a_payload_can_make_a_field_of_an_event_stream() {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(text(plain(Carrier::EventStream, b"{}")), "data: {}\n\n");
        let evil = b"a\rid: 9-9\r\nevent: x\n\nb";
        assert_eq!(
            text(numbered(Carrier::EventStream, ID, evil)),
            "id: 7-1\ndata: a\ndata: id: 9-9\ndata: event: x\ndata: \ndata: b\n\n"
        );
        assert_eq!(text(gap(Carrier::EventStream, ID)), "event: gap\ndata: {\"since\":\"7-1\"}\n\n");
    }
}
