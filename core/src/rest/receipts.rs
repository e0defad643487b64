//! `/v1/conversations/{id}/receipts`: watermarks, not a row a message.

use axum::{Json, extract::State};
use chatcluster_contracts::seq::Seq;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api,
    extract::{Body, ConversationPath},
    problem::{ApiError, ProblemDocument},
};
use crate::{domain::receipt::Watermarks, identity::Caller};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Set {
    /// Everything up to it was received.
    delivered_seq: Option<u64>,
    /// Everything up to it was read, and so received.
    read_seq: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    user_id: String,
    delivered_seq: u64,
    read_seq: u64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ReceiptList {
    receipts: Vec<Receipt>,
}

fn receipt(user: &str, marks: Watermarks) -> Receipt {
    Receipt { user_id: user.to_owned(), delivered_seq: marks.delivered.get(), read_seq: marks.read.get() }
}

/// Watermarks only move forward, and never past the head; the answer is where they stand.
#[utoipa::path(post, path = "/v1/conversations/{id}/receipts", tag = "receipts", params(("id" = String, Path)),
    request_body = Set, responses((status = 200, body = Receipt),
    (status = 403, description = "not_a_member", body = ProblemDocument)))]
pub(super) async fn set(
    State(api): State<Api>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Body(body): Body<Set>,
) -> Result<Json<Receipt>, ApiError> {
    if body.delivered_seq.is_none() && body.read_seq.is_none() {
        return Err(ApiError::missing("deliveredSeq"));
    }
    let (delivered, read) = (body.delivered_seq.map(Seq::new), body.read_seq.map(Seq::new));
    let marks = api.store.move_watermarks(&id, &caller.workspace_id, &caller.user_id, delivered, read).await?;
    Ok(Json(receipt(caller.user_id.as_str(), marks)))
}

/// The watermarks of the members (of the first 1000 by id).
#[utoipa::path(get, path = "/v1/conversations/{id}/receipts", tag = "receipts", params(("id" = String, Path)),
    responses((status = 200, body = ReceiptList)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> Result<Json<ReceiptList>, ApiError> {
    api.store.access(&id, &caller.workspace_id, &caller.user_id).await?;
    let marks = api.store.member_watermarks(&id).await?;
    let receipts = marks.iter().map(|member| receipt(member.user_id.as_str(), member.marks)).collect();
    Ok(Json(ReceiptList { receipts }))
}
