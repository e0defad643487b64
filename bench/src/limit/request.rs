//! The two requests, taken from a buffer that may hold less than one or many of them, and their answers. No I/O.

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

pub(super) const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    Subscribe { room: &'a str, key: &'a str },
    Publish { room: &'a str, body: &'a [u8] },
}

/// The first request of the buffer and its length; `None` while it is not there as a whole.
pub(super) fn parse(buffer: &[u8]) -> Result<Option<(Request<'_>, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 24];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(buffer)? else { return Ok(None) };
    let path = request.path.unwrap_or_default();
    let header = |name: &str| {
        let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    if let Some(room) = path.strip_prefix("/pub/") {
        ensure!(request.method == Some("POST"), "publishing is a POST");
        let length: usize = header("content-length").context("a publish without a content-length")?.parse()?;
        let Some(body) = buffer.get(head..head + length) else { return Ok(None) };
        return Ok(Some((Request::Publish { room, body }, head + length)));
    }
    let Some(room) = path.strip_prefix("/sub/") else { bail!("there is no {path} here") };
    let key = header("sec-websocket-key").context("not a WebSocket handshake")?;
    Ok(Some((Request::Subscribe { room, key }, head)))
}

/// RFC 6455 section 4.2.2.
pub(super) fn switching_protocols(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {}\r\n\r\n",
        STANDARD.encode(digest)
    )
}

/// Appends one unmasked text frame (RFC 6455 section 5.2).
pub(super) fn frame(body: &[u8], out: &mut Vec<u8>) {
    out.push(0x81);
    match (u8::try_from(body.len()), u16::try_from(body.len())) {
        (Ok(length @ ..=125), _) => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(body.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_counts_once_its_body_is_there() {
        let whole = b"POST /pub/a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST";
        let (request, length) = parse(whole).unwrap().unwrap();
        assert_eq!(request, Request::Publish { room: "a", body: b"abc" });
        assert_eq!(length, whole.len() - 4);
        assert!((0..length).all(|cut| parse(&whole[..cut]).unwrap().is_none()));
    }

    #[test]
    fn the_handshake_of_the_rfc() {
        let request = b"GET /sub/a HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let (Request::Subscribe { room: "a", key }, _) = parse(request).unwrap().unwrap() else { panic!() };
        assert!(switching_protocols(key).contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn other_paths_are_refused() {
        assert!(parse(b"GET / HTTP/1.1\r\n\r\n").is_err());
        assert!(parse(b"GET /pub/a HTTP/1.1\r\n\r\n").is_err());
    }
}
