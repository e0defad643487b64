//! Whether an upgrade request is taken, and the bytes that answer it (RFC 6455 section 4.2). Pure.

use std::fmt::Write;

use chatcluster_contracts::problem::{Code, Problem};

use super::head::Request;
use crate::protocol::{native::SUBPROTOCOL, websocket};

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

/// The answer that completes the handshake, or why there is none. Who it is has been checked elsewhere.
pub(super) fn answer(request: &Request, allowed_origins: &[String]) -> Result<String, Refusal> {
    if request.version.as_deref() != Some(websocket::VERSION) {
        let problem = Problem::new(Code::BadRequest, "Sec-WebSocket-Version must be 13");
        return Err(Refusal { status: 426, problem });
    }
    let key = request.key.as_deref().filter(|key| websocket::is_valid_key(key));
    let Some(key) = key else {
        return Err(Refusal::of(Problem::new(Code::BadRequest, "Sec-WebSocket-Key must be 16 bytes in base64")));
    };
    if !origin_is_allowed(request, allowed_origins) {
        return Err(Refusal::of(Problem::new(Code::OriginRefused, "pages of this origin may not connect")));
    }
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
        websocket::accept_key(key)
    );
    if request.protocols.iter().any(|name| name == SUBPROTOCOL) {
        let _ = write!(answer, "Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n");
    }
    answer.push_str("\r\n");
    Ok(answer)
}

/// Browsers always name the page's origin, and a page of another site must not use a user's cookies or network place.
/// Programs name none.
fn origin_is_allowed(request: &Request, allowed: &[String]) -> bool {
    let Some(origin) = &request.origin else { return true };
    if !allowed.is_empty() {
        return allowed.contains(origin);
    }
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == request.host.as_deref()
}

/// A refusal as an HTTP/1.1 answer that ends the connection.
pub(super) fn refusal_bytes(refusal: &Refusal) -> String {
    let body = super::web::problem_json(refusal.status, &refusal.problem);
    let reason = axum::http::StatusCode::from_u16(refusal.status).ok().and_then(|status| status.canonical_reason());
    let mut answer = format!("HTTP/1.1 {} {}\r\n", refusal.status, reason.unwrap_or("Refused"));
    match refusal.status {
        426 => answer.push_str("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
        401 => answer.push_str("WWW-Authenticate: Bearer\r\n"),
        503 => answer.push_str("Retry-After: 5\r\n"),
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

    fn with_origin(origin: &str) -> Request {
        Request { origin: Some(origin.into()), ..request() }
    }

    #[test]
    fn the_subprotocol_is_named_only_when_offered() {
        assert!(!answer(&request(), &[]).unwrap().contains("Protocol:"));
        let offered = Request { protocols: vec!["x".into(), SUBPROTOCOL.into()], ..request() };
        assert!(answer(&offered, &[]).unwrap().contains("Sec-WebSocket-Protocol: chatcluster.v1\r\n"));
    }

    #[test]
    fn origins_are_compared_exactly() {
        let allowed = ["https://app.example".to_owned()];
        assert!(answer(&with_origin("https://app.example"), &allowed).is_ok());
        for bad in ["https://app.example.evil", "http://app.example", "https://chat.example", "null"] {
            assert_eq!(answer(&with_origin(bad), &allowed).unwrap_err().status, 403, "{bad}");
        }
        assert!(answer(&request(), &allowed).is_ok(), "programs name no origin");
    }

    #[test]
    fn without_a_list_only_the_own_host_is_allowed() {
        assert!(answer(&with_origin("https://chat.example"), &[]).is_ok());
        for bad in ["https://evil.example", "https://chat.example:444", "null"] {
            assert!(answer(&with_origin(bad), &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_versions_and_bad_keys_are_refused() {
        let old = Request { version: Some("8".into()), ..request() };
        assert_eq!(answer(&old, &[]).unwrap_err().status, 426);
        let bad = Request { key: Some("short".into()), ..request() };
        assert_eq!(answer(&bad, &[]).unwrap_err().status, 400);
        assert!(refusal_bytes(&answer(&old, &[]).unwrap_err()).contains("Sec-WebSocket-Version: 13\r\n"));
    }
}
