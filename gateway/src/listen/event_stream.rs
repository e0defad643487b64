//! `/events`: a session as server-sent events, read only, for those behind proxies that let nothing else through. What a
//! client was sent last is in the ids; a browser hands the last one back by itself.

use chatcluster_contracts::{
    frame::Connect,
    position,
    problem::{Code, Problem},
};
use http::StatusCode;

use super::{
    head::Request,
    origins::Origins,
    upgrade::{Answer, Refusal},
};

/// A stream that may begin.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) answer: Answer,
    /// The stream's first text.
    pub(super) begins_with: String,
    /// What the session is to connect with.
    pub(super) connect: Connect,
}

pub(super) fn begin(request: &Request, origins: &Origins) -> Result<Begun, Refusal> {
    let (answer, begins_with) = answer(request, origins)?;
    let resume = match request.last_event_id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => position::decode(id)
            .map_err(|invalid| Refusal::of(Problem::new(Code::BadRequest, format!("Last-Event-ID: {invalid}"))))?,
        None => position::Resume::default(),
    };
    Ok(Begun { answer, begins_with, connect: Connect { token: None, resume } })
}

/// The answer that begins a stream of whatever events, and the stream's first text.
pub(super) fn answer(request: &Request, origins: &Origins) -> Result<(Answer, String), Refusal> {
    if !origins.allow(request.origin.as_deref(), request.host.as_deref()) {
        return Err(Refusal::of(Problem::new(Code::OriginRefused, "pages of this origin may not connect")));
    }
    // the stream ends with the connection: no length, no chunks
    let mut headers: Vec<_> = [
        ("Content-Type", "text/event-stream"),
        ("Cache-Control", "no-store, no-transform"),
        ("X-Accel-Buffering", "no"),
        ("Connection", "close"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into();
    if let Some(origin) = &request.origin {
        headers.push(("Access-Control-Allow-Origin", origin.clone()));
        headers.push(("Access-Control-Allow-Credentials", "true".to_owned()));
        headers.push(("Vary", "Origin".to_owned()));
    }
    // spread, so that those cut off together do not come back together
    let begins_with = format!("retry: {}\n\n", rand::random_range(1000..4000));
    Ok((Answer { status: StatusCode::OK, headers }, begins_with))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_id_is_where_it_goes_on() {
        let request = Request { last_event_id: Some("1;c1=42".into()), ..Request::default() };
        let begun = begin(&request, &Origins::OwnHost).unwrap();
        assert!(begun.answer.head().contains("text/event-stream") && begun.begins_with.starts_with("retry: "));
        assert_eq!(position::encode(&begun.connect.resume), "1;c1=42");
        let request = Request { last_event_id: Some("nonsense".into()), ..Request::default() };
        assert_eq!(begin(&request, &Origins::OwnHost).unwrap_err().status, 400);
    }

    #[test]
    fn only_allowed_pages_are_answered_and_named() {
        let page = Request { origin: Some("https://app.example".into()), ..Request::default() };
        assert_eq!(begin(&page, &Origins::OwnHost).unwrap_err().status, 403);
        let listed = Origins::listed(&["https://app.example".to_owned()]);
        assert!(begin(&page, &listed).unwrap().answer.head().contains("Allow-Origin: https://app.example\r\n"));
    }
}
