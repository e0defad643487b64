//! `POST /pub/{room}`. Load generators keep many publishes in flight on one connection, so the plain case (a body with its
//! length) is read without an HTTP library; everything else is answered by the router.

use std::{io, mem::MaybeUninit, sync::Arc};

use axum::{
    Router,
    body::to_bytes,
    extract::{Path, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::rooms::{NotPublished, Rooms};

/// Longest body of a publish, in bytes.
const MAX_BODY: usize = 1 << 20;
const MAX_HEADERS: usize = 32;
/// Bytes read at once: what many publishes in flight need, so that what is for one socket can go out together.
const READ_BYTES: usize = 256 * 1024;
const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

/// The front of a publisher's bytes.
enum Front<'a> {
    Partial,
    /// A publish: its room, where its body begins and how long it is.
    Publish {
        room: &'a str,
        head: usize,
        body: usize,
    },
    /// For the router.
    Other,
}

fn parse(bytes: &[u8]) -> Front<'_> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let head = match request.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if bytes.len() < READ_BYTES => return Front::Partial,
        Ok(httparse::Status::Partial) | Err(_) => return Front::Other,
    };
    let room = request.path.and_then(|path| path.strip_prefix("/pub/"));
    let (Some("POST"), Some(1), Some(room)) = (request.method, request.version, room) else { return Front::Other };
    let mut body = None;
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            body = std::str::from_utf8(header.value).ok().and_then(|value| value.trim().parse().ok());
        } else if ["transfer-encoding", "expect", "connection"]
            .iter()
            .any(|name| header.name.eq_ignore_ascii_case(name))
            && !header.value.eq_ignore_ascii_case(b"keep-alive")
        {
            return Front::Other;
        }
    }
    match body {
        Some(body) if body <= MAX_BODY => Front::Publish { room, head, body },
        _ => Front::Other,
    }
}

/// Serves a publisher's connection for as long as it publishes in the plain way. Returns what it asked otherwise, to be
/// answered by the router; `None`: it is gone.
pub(crate) async fn serve_publisher(rooms: &Rooms, stream: &mut TcpStream, first: &[u8]) -> io::Result<Option<Bytes>> {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    buffer.extend_from_slice(first);
    let mut answers = Vec::new();
    loop {
        let mut other = false;
        while !buffer.is_empty() {
            let (room, head, body) = match parse(&buffer) {
                Front::Publish { room, head, body } if buffer.len() >= head + body => (room, head, body),
                Front::Publish { .. } | Front::Partial => break,
                Front::Other => {
                    other = true;
                    break;
                }
            };
            let payload = Bytes::copy_from_slice(&buffer[head..head + body]);
            if rooms.publish(room, payload).is_err() {
                // the router says why
                other = true;
                break;
            }
            answers.extend_from_slice(ACCEPTED);
            buffer.advance(head + body);
        }
        if !answers.is_empty() {
            stream.write_all(&answers).await?;
            answers.clear();
        }
        if other {
            return Ok(Some(buffer.freeze()));
        }
        rooms.space().await;
        buffer.reserve(READ_BYTES);
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(None);
        }
    }
}

pub(super) fn router(rooms: Arc<Rooms>) -> Router {
    Router::new().route("/pub/{room}", post(publish)).with_state(rooms)
}

async fn publish(State(rooms): State<Arc<Rooms>>, Path(room): Path<String>, request: Request) -> Response {
    let Ok(body) = to_bytes(request.into_body(), MAX_BODY).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, format!("a publish has at most {MAX_BODY} bytes\n")).into_response();
    };
    rooms.space().await;
    match rooms.publish(&room, body) {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(NotPublished::BadName(why)) => (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
        Err(NotPublished::TooManyRooms) => (StatusCode::INSUFFICIENT_STORAGE, "too many rooms\n").into_response(),
    }
}
