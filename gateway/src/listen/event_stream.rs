//! `/events`: a session as server-sent events, read only, for those behind proxies that let nothing else through. What a
//! client was sent last is in the ids; a browser hands the last one back by itself.

use std::fmt::Write;

use chatcluster_contracts::{
    frame::Connect,
    position,
    problem::{Code, Problem},
};

use super::{head::Request, origins::Origins, upgrade::Refusal};

/// The answer that begins the stream, and what the session is to connect with.
pub(super) fn answer(request: &Request, origins: &Origins) -> Result<(String, Connect), Refusal> {
    if !origins.allow(request.origin.as_deref(), request.host.as_deref()) {
        return Err(Refusal::of(Problem::new(Code::OriginRefused, "pages of this origin may not connect")));
    }
    let resume = match request.last_event_id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => position::decode(id)
            .map_err(|invalid| Refusal::of(Problem::new(Code::BadRequest, format!("Last-Event-ID: {invalid}"))))?,
        None => position::Resume::default(),
    };
    // the stream ends with the connection: no length, no chunks
    let mut answer = String::from(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store, no-transform\r\nX-Accel-Buffering: no\r\n\
         Connection: close\r\n",
    );
    if let Some(origin) = &request.origin {
        let _ = write!(
            answer,
            "Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n"
        );
    }
    // spread, so that those cut off together do not come back together
    let _ = write!(answer, "\r\nretry: {}\n\n", rand::random_range(1000..4000));
    Ok((answer, Connect { token: None, resume }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_id_is_where_it_goes_on() {
        let request = Request { last_event_id: Some("1;c1=42".into()), ..Request::default() };
        let (answer, connect) = answer(&request, &Origins::OwnHost).unwrap();
        assert!(answer.contains("text/event-stream") && answer.contains("\r\n\r\nretry: "));
        assert_eq!(position::encode(&connect.resume), "1;c1=42");
        let request = Request { last_event_id: Some("nonsense".into()), ..Request::default() };
        assert_eq!(super::answer(&request, &Origins::OwnHost).unwrap_err().status, 400);
    }

    #[test]
    fn only_allowed_pages_are_answered_and_named() {
        let page = Request { origin: Some("https://app.example".into()), ..Request::default() };
        assert_eq!(answer(&page, &Origins::OwnHost).unwrap_err().status, 403);
        let listed = Origins::listed(&["https://app.example".to_owned()]);
        assert!(answer(&page, &listed).unwrap().0.contains("Allow-Origin: https://app.example\r\n"));
    }
}
