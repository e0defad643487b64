//! The pages of a base that have nothing to do with a session.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{Settings, answers};
use crate::{
    listen::Origins,
    protocol::sockjs::{info, route::Base},
};

pub(super) fn greeting() -> Response {
    answers::text(StatusCode::OK, "Welcome to SockJS!\n")
}

pub(super) fn info(base: &Base) -> Response {
    let document = info::document(base, rand::random());
    ([(header::CONTENT_TYPE, "application/json; charset=UTF-8")], document).into_response()
}

pub(super) fn iframe(settings: &Settings, headers: &HeaderMap) -> Response {
    let Some(page) = &settings.page else {
        return answers::text(StatusCode::NOT_FOUND, "no client script is set for this page");
    };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut answer = if known.is_some_and(|known| known.split(',').any(|tag| tag.trim() == page.etag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "text/html; charset=UTF-8")], page.html.clone()).into_response()
    };
    if let Ok(etag) = HeaderValue::from_str(&page.etag) {
        answer.headers_mut().insert(header::ETAG, etag);
    }
    limit_frames(&mut answer, &settings.origins);
    answers::cached(answer)
}

/// A page of this host in a frame speaks with this host's origin for whoever holds the frame: that must be one who may
/// connect anyway.
pub(super) fn limit_frames(answer: &mut Response, origins: &Origins) {
    let listed = match origins {
        Origins::Any => return,
        Origins::OwnHost => "",
        Origins::Listed(listed) => &listed.join(" "),
    };
    let policy = format!("frame-ancestors 'self' {listed}");
    let policy = HeaderValue::from_str(policy.trim_end());
    let policy = policy.unwrap_or(HeaderValue::from_static("frame-ancestors 'self'"));
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
}

/// For a request that should have become a WebSocket and did not.
pub(super) fn not_upgraded(headers: &HeaderMap) -> Response {
    let lists = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    let fault = if !lists(header::UPGRADE, "websocket") {
        "Can \"Upgrade\" only to \"WebSocket\"."
    } else if !lists(header::CONNECTION, "upgrade") {
        "\"Connection\" must be \"Upgrade\"."
    } else {
        "This request cannot be upgraded."
    };
    answers::text(StatusCode::BAD_REQUEST, fault)
}
