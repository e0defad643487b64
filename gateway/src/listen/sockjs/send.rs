//! Requests that send messages to a session.

use axum::{
    body::to_bytes,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use tokio::time::timeout;

use super::{Service, Shared, answers, sessions::Session};
use crate::protocol::sockjs::{incoming, route::Inlet};

const FORM: &str = "application/x-www-form-urlencoded";

/// Reaching a session takes its id, which only its client knows, and a page of an allowed origin: the content type may be
/// anything, as the document wants it, and so protects nothing.
pub(super) async fn send<S: Service>(shared: &Shared<S>, inlet: Inlet, id: &str, request: Request) -> Response {
    let Some(entry) = shared.store.find(id) else { return answers::text(StatusCode::NOT_FOUND, "unknown session") };
    let is_form =
        request.headers().get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(FORM.as_bytes()));
    let settings = &shared.settings;
    let body = match timeout(settings.post_timeout, to_bytes(request.into_body(), settings.max_post)).await {
        Ok(Ok(body)) => body,
        // or the client broke off, and reads no answer
        Ok(Err(_)) => return answers::text(StatusCode::PAYLOAD_TOO_LARGE, "the payload is longer than is accepted"),
        Err(_) => return answers::text(StatusCode::REQUEST_TIMEOUT, "the payload did not arrive in time"),
    };
    let messages = match inlet {
        Inlet::Jsonp if is_form => incoming::form(&body),
        Inlet::Jsonp | Inlet::Xhr => incoming::post(&body),
    };
    match messages {
        Ok(messages) => entry.session.post(messages).await,
        // the document's own choice of status
        Err(broken) => return answers::text(StatusCode::INTERNAL_SERVER_ERROR, &broken.to_string()),
    }
    match inlet {
        // Firefox takes an answer without a type for XML, and complains
        Inlet::Xhr => (StatusCode::NO_CONTENT, [(header::CONTENT_TYPE, answers::TEXT)]).into_response(),
        // Konqueror does not understand 204
        Inlet::Jsonp => answers::text(StatusCode::OK, "ok"),
    }
}
