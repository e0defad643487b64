//! The head of a request, as far as it decides where the connection goes. Pure.

use crate::protocol::sockjs::hixie76::Challenge;

/// Longest request head, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 100;

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// More bytes are needed.
    Partial,
    /// A GET, which may lead to a session. `length`: bytes of the head.
    Get { request: Box<Request>, length: usize },
    /// For the HTTP router: anything else, or nothing it understands either.
    Http,
}

/// What an upgrade request says that matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// Without the query.
    pub(super) path: String,
    pub(super) query: String,
    /// An event stream is what is wanted.
    pub(super) wants_events: bool,
    /// An upgrade to WebSocket is asked for.
    pub(super) upgrade: bool,
    pub(super) host: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) key: Option<String>,
    pub(super) version: Option<String>,
    /// What a client of the draft of 2010 asks instead.
    pub(super) challenge: Option<Challenge>,
    pub(super) protocols: Vec<String>,
    /// Every `Sec-WebSocket-Extensions` header.
    pub(super) extensions: Vec<String>,
    pub(super) bearer: Option<String>,
    pub(super) ticket: Option<String>,
    pub(super) last_event_id: Option<String>,
    /// All `X-Forwarded-For` headers as one list.
    pub(super) forwarded_for: Option<String>,
}

impl Request {
    /// `target`: path and query.
    pub(super) fn read<'a>(target: &str, headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut found = Self { path: path.to_owned(), query: query.to_owned(), ..Self::default() };
        let (mut upgrade, mut connection) = (false, false);
        let (mut key1, mut key2) = (None, None);
        for (name, value) in headers {
            let Ok(value) = std::str::from_utf8(value) else { continue };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "host" => found.host = Some(value.to_owned()),
                "origin" => found.origin = Some(value.to_owned()),
                // what drafts of WebSocket call it
                "sec-websocket-origin" => drop(found.origin.get_or_insert_with(|| value.to_owned())),
                "upgrade" => upgrade |= lists(value, "websocket"),
                "connection" => connection |= lists(value, "upgrade"),
                "sec-websocket-key" => found.key = Some(value.to_owned()),
                "sec-websocket-key1" => key1 = Some(value),
                "sec-websocket-key2" => key2 = Some(value),
                "sec-websocket-version" => found.version = Some(value.to_owned()),
                "sec-websocket-protocol" => {
                    found.protocols.extend(value.split(',').map(|name| name.trim().to_owned()));
                }
                "x-forwarded-for" => {
                    found.forwarded_for = Some(match found.forwarded_for.take() {
                        Some(before) => format!("{before},{value}"),
                        None => value.to_owned(),
                    });
                }
                "accept" => {
                    let kinds = value.split(',').filter_map(|kind| kind.split(';').next());
                    found.wants_events |= kinds.map(str::trim).any(|kind| kind == "text/event-stream");
                }
                "last-event-id" => found.last_event_id = Some(value.to_owned()),
                "sec-websocket-extensions" => found.extensions.push(value.to_owned()),
                "authorization" => found.bearer = bearer(value).map(str::to_owned),
                _ => {}
            }
        }
        found.upgrade = upgrade && connection;
        found.challenge = key1.zip(key2).and_then(|(key1, key2)| Challenge::new(key1, key2));
        // tickets are made of characters that need no escape
        found.ticket = query.split('&').find_map(|pair| pair.strip_prefix("ticket=")).map(str::to_owned);
        found
    }
}

pub(super) fn parse(bytes: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD_BYTES => return Head::Partial,
        // hyper answers what is wrong with it
        Ok(httparse::Status::Partial) | Err(_) => return Head::Http,
    };
    let Some(target) = request.path else { return Head::Http };
    if request.method != Some("GET") || request.version != Some(1) {
        return Head::Http;
    }
    let headers = request.headers.iter().map(|header| (header.name, header.value));
    Head::Get { request: Box::new(Request::read(target, headers)), length }
}

/// The token of an `Authorization` header.
pub(crate) fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn lists(value: &str, word: &str) -> bool {
    value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADE: &str = "GET /ws?ticket=t1 HTTP/1.1\r\nHost: a:1\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
        Origin: http://a:1\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: k\r\nAuthorization: bearer x.y.z\r\n\
        Sec-WebSocket-Protocol: other, chatcluster.v1\r\n\r\n";

    #[test]
    fn an_upgrade_is_read_once_complete_and_leaves_what_follows() {
        for end in 0..UPGRADE.len() {
            assert_eq!(parse(&UPGRADE.as_bytes()[..end]), Head::Partial, "{end}");
        }
        let bytes = [UPGRADE.as_bytes(), b"\x81"].concat();
        let Head::Get { request, length } = parse(&bytes) else { panic!("a GET") };
        assert!(request.upgrade);
        assert_eq!(length, UPGRADE.len());
        assert_eq!((request.bearer.as_deref(), request.ticket.as_deref()), (Some("x.y.z"), Some("t1")));
        assert_eq!(request.protocols, ["other", "chatcluster.v1"]);
        assert_eq!(request.path, "/ws");
    }

    #[test]
    fn everything_else_is_for_the_router() {
        let Head::Get { request, .. } = parse(b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n") else { panic!("a GET") };
        assert!(!request.upgrade);
        for other in [
            "POST /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "GET /ws HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert_eq!(parse(other.as_bytes()), Head::Http, "{other}");
        }
        assert_eq!(parse(&[b'a'; MAX_HEAD_BYTES]), Head::Http, "a head without end");
    }
}
