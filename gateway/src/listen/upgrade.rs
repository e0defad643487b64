//! Whether an upgrade request is taken, and the bytes that answer it (RFC 6455 section 4.2). Pure.

use std::fmt::Write;

use chatcluster_contracts::problem::{Code, Problem};

use super::{head::Request, origins::Origins};
use crate::protocol::{
    native::SUBPROTOCOL,
    websocket::{self, Window},
};

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

/// The answer that completes the handshake and what was agreed on, or why there is none. Who it is has been checked
/// elsewhere. `deflate`: may permessage-deflate be agreed on?
pub(super) fn answer(request: &Request, origins: &Origins, deflate: bool) -> Result<(String, Option<Window>), Refusal> {
    if request.version.as_deref() != Some(websocket::VERSION) {
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
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
        websocket::accept_key(key)
    );
    if request.protocols.iter().any(|name| name == SUBPROTOCOL) {
        let _ = write!(answer, "Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n");
    }
    let offers = request.extensions.iter().map(String::as_str);
    let agreement = if deflate { websocket::negotiate(offers) } else { None };
    if let Some(agreement) = &agreement {
        let _ = write!(answer, "Sec-WebSocket-Extensions: {agreement}\r\n");
    }
    answer.push_str("\r\n");
    Ok((answer, agreement.map(|agreement| agreement.window)))
}

/// A refusal as an HTTP/1.1 answer that ends the connection.
pub(super) fn refusal_bytes(refusal: &Refusal) -> String {
    let body = super::web::problem_json(refusal.status, &refusal.problem);
    let reason = axum::http::StatusCode::from_u16(refusal.status).ok().and_then(|status| status.canonical_reason());
    let mut answer = format!("HTTP/1.1 {} {}\r\n", refusal.status, reason.unwrap_or("Refused"));
    match refusal.status {
        426 => answer.push_str("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
        401 => answer.push_str("WWW-Authenticate: Bearer\r\n"),
        // spread, so that those refused together do not come back together
        503 => drop(write!(answer, "Retry-After: {}\r\n", rand::random_range(1..=8))),
        _ => {}
    }
    let _ = write!(
        answer,
        "Content-Type: application/problem+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            host: Some("chat.example".into()),
            key: Some("dGhlIHNhbXBsZSBub25jZQ==".into()),
            version: Some("13".into()),
            ..Request::default()
        }
    }

    fn accepted(request: &Request) -> String {
        answer(request, &Origins::OwnHost, true).unwrap().0
    }

    fn refused(request: &Request) -> Refusal {
        answer(request, &Origins::OwnHost, false).unwrap_err()
    }

    #[test]
    fn the_subprotocol_is_named_only_when_offered() {
        assert!(!accepted(&request()).contains("Protocol:"));
        let offered = Request { protocols: vec!["x".into(), SUBPROTOCOL.into()], ..request() };
        assert!(accepted(&offered).contains("Sec-WebSocket-Protocol: chatcluster.v1\r\n"));
    }

    #[test]
    fn compression_is_agreed_on_only_when_offered_and_allowed() {
        assert!(!accepted(&request()).contains("Extensions:"));
        let offered = Request { extensions: vec!["permessage-deflate".into()], ..request() };
        assert!(accepted(&offered).contains("Sec-WebSocket-Extensions: permessage-deflate"));
        let (silent, window) = answer(&offered, &Origins::OwnHost, false).unwrap();
        assert!(!silent.contains("Extensions:") && window.is_none());
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let page = Request { origin: Some("https://evil.example".into()), ..request() };
        assert_eq!(refused(&page).status, 403);
        assert!(answer(&page, &Origins::Any, false).is_ok());
    }

    #[test]
    fn other_versions_and_bad_keys_are_refused() {
        let old = Request { version: Some("8".into()), ..request() };
        assert_eq!(refused(&old).status, 426);
        let bad = Request { key: Some("short".into()), ..request() };
        assert_eq!(refused(&bad).status, 400);
        assert!(refusal_bytes(&refused(&old)).contains("Sec-WebSocket-Version: 13\r\n"));
    }
}
