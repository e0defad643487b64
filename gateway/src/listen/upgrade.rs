//! Whether an upgrade request is taken, and the bytes that answer it (RFC 6455 section 4.2). Pure.

use std::fmt::Write;

use chatcluster_contracts::problem::{Code, Problem};
use http::StatusCode;

use super::{head::Request, origins::Origins};
use crate::protocol::websocket::{self, Window};

/// A refused upgrade: the HTTP status that says it best, and the problem.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) problem: Problem,
}

impl Refusal {
    pub(super) fn of(problem: Problem) -> Self {
        Self { status: problem.code.status(), problem }
    }
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Answer {
    /// As HTTP/1.1.
    pub(super) fn head(&self) -> String {
        let reason = self.status.canonical_reason().unwrap_or_default();
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status.as_u16());
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        head
    }
}

/// A completed handshake.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    pub(super) answer: Answer,
    /// The subprotocol agreed on.
    pub(super) protocol: Option<&'static str>,
    /// permessage-deflate was agreed on.
    pub(super) deflate: Option<Window>,
}

/// What an endpoint speaks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spoken<'a> {
    /// Of WebSocket.
    pub(super) versions: &'a [&'a str],
    /// Subprotocols, the preferred one first.
    pub(super) protocols: &'a [&'static str],
    /// May permessage-deflate be agreed on?
    pub(super) deflate: bool,
}

/// The answer that completes the handshake, or why there is none. Who it is has been checked elsewhere.
pub(super) fn handshake(request: &Request, origins: &Origins, spoken: Spoken<'_>) -> Result<Handshake, Refusal> {
    let Spoken { versions, protocols, deflate } = spoken;
    if !request.version.as_deref().is_some_and(|version| versions.contains(&version)) {
        let problem = Problem::new(Code::BadRequest, "Sec-WebSocket-Version must be 13");
        return Err(Refusal { status: 426, problem });
    }
    let key = request.key.as_deref().filter(|key| websocket::is_valid_key(key));
    let Some(key) = key else {
        return Err(Refusal::of(Problem::new(Code::BadRequest, "Sec-WebSocket-Key must be 16 bytes in base64")));
    };
    if !origins.allow(request.origin.as_deref(), request.host.as_deref()) {
        return Err(Refusal::of(Problem::new(Code::OriginRefused, "pages of this origin may not connect")));
    }
    let mut headers = vec![
        ("Upgrade", "websocket".to_owned()),
        ("Connection", "Upgrade".to_owned()),
        ("Sec-WebSocket-Accept", websocket::accept_key(key)),
    ];
    let protocol = protocols.iter().copied().find(|ours| request.protocols.iter().any(|name| name == ours));
    headers.extend(protocol.map(|protocol| ("Sec-WebSocket-Protocol", protocol.to_owned())));
    let offers = request.extensions.iter().map(String::as_str);
    let agreement = if deflate { websocket::negotiate(offers) } else { None };
    headers.extend(agreement.as_ref().map(|agreed| ("Sec-WebSocket-Extensions", agreed.to_string())));
    let answer = Answer { status: StatusCode::SWITCHING_PROTOCOLS, headers };
    Ok(Handshake { answer, protocol, deflate: agreement.map(|agreement| agreement.window) })
}

impl Refusal {
    /// An answer that ends the connection, and its body.
    pub(super) fn answer(&self) -> (Answer, String) {
        let body = super::web::problem_json(self.status, &self.problem);
        let mut headers = vec![
            ("Content-Type", "application/problem+json".to_owned()),
            ("Content-Length", body.len().to_string()),
            ("Connection", "close".to_owned()),
        ];
        match self.status {
            426 => {
                headers.push(("Upgrade", "websocket".to_owned()));
                headers.push(("Sec-WebSocket-Version", websocket::VERSION.to_owned()));
            }
            429 if self.problem.code == Code::RateLimited => headers.push(("Retry-After", "1".to_owned())),
            401 => headers.push(("WWW-Authenticate", "Bearer".to_owned())),
            // spread, so that those refused together do not come back together
            503 => headers.push(("Retry-After", rand::random_range(1..=8).to_string())),
            _ => {}
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (Answer { status, headers }, body)
    }

    /// The same as HTTP/1.1.
    pub(super) fn bytes(&self) -> String {
        let (answer, body) = self.answer();
        answer.head() + &body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Spoken<'_> = Spoken { versions: &[websocket::VERSION], protocols: &["a", "b"], deflate: false };
    const DEFLATING: Spoken<'_> = Spoken { deflate: true, ..PLAIN };

    fn request() -> Request {
        Request {
            host: Some("chat.example".into()),
            key: Some("dGhlIHNhbXBsZSBub25jZQ==".into()),
            version: Some("13".into()),
            ..Request::default()
        }
    }

    fn accepted(request: &Request) -> String {
        handshake(request, &Origins::OwnHost, DEFLATING).unwrap().answer.head()
    }

    fn refused(request: &Request) -> Refusal {
        handshake(request, &Origins::OwnHost, PLAIN).unwrap_err()
    }

    #[test]
    fn of_the_subprotocols_offered_the_one_we_prefer_is_named() {
        assert!(!accepted(&request()).contains("Protocol:"));
        let offered = Request { protocols: vec!["x".into(), "b".into(), "a".into()], ..request() };
        assert!(accepted(&offered).contains("Sec-WebSocket-Protocol: a\r\n"));
        assert_eq!(handshake(&offered, &Origins::OwnHost, PLAIN).unwrap().protocol, Some("a"));
    }

    #[test]
    fn compression_is_agreed_on_only_when_offered_and_allowed() {
        assert!(!accepted(&request()).contains("Extensions:"));
        let offered = Request { extensions: vec!["permessage-deflate".into()], ..request() };
        assert!(accepted(&offered).contains("Sec-WebSocket-Extensions: permessage-deflate"));
        let silent = handshake(&offered, &Origins::OwnHost, PLAIN).unwrap();
        assert!(!silent.answer.head().contains("Extensions:") && silent.deflate.is_none());
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let page = Request { origin: Some("https://evil.example".into()), ..request() };
        assert_eq!(refused(&page).status, 403);
        assert!(handshake(&page, &Origins::Any, PLAIN).is_ok());
    }

    #[test]
    fn other_versions_and_bad_keys_are_refused() {
        let old = Request { version: Some("8".into()), ..request() };
        assert_eq!(refused(&old).status, 426);
        let spoken = Spoken { versions: &["7", "8", "13"], ..PLAIN };
        assert!(handshake(&old, &Origins::OwnHost, spoken).is_ok());
        let bad = Request { key: Some("short".into()), ..request() };
        assert_eq!(refused(&bad).status, 400);
        assert!(refused(&old).bytes().contains("Sec-WebSocket-Version: 13\r\n"));
    }
}
