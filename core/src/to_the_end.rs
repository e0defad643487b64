//! Requests are served to their end, though whoever asked may have given up. A query that is dropped half-way leaves the
//! rest of its answer on the connection, which is then fit for nothing; and a write that was begun may as well be done.

use axum::{
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::Instrument;

/// A layer around all routes. Streams are outside: only the beginning of their answer is waited for.
pub(crate) async fn to_the_end(request: Request, next: Next) -> Response {
    let serving = tokio::spawn(next.run(request).in_current_span());
    serving.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request handler died");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}
