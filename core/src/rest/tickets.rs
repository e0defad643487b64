//! `/v1/tickets`

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    problem::{ApiError, ProblemDocument},
};
use crate::identity::{Caller, TICKET_TTL};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ticket {
    /// For `/ws?ticket=`, once.
    ticket: String,
    /// Seconds.
    expires_in: u64,
}

/// A single-use stand-in for the caller's token, for clients that cannot set a header.
#[utoipa::path(post, path = "/v1/tickets", tag = "identity", responses(
    (status = 201, body = Ticket), (status = 401, body = ProblemDocument)))]
pub(super) async fn issue(State(api): State<Api>, caller: Caller) -> Result<(StatusCode, Json<Ticket>), ApiError> {
    let ticket = api.identity.issue_ticket(&caller).await?;
    Ok((StatusCode::CREATED, Json(Ticket { ticket, expires_in: TICKET_TTL.as_secs() })))
}
