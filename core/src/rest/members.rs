//! `/v1/conversations/{id}/members`

use axum::{Json, extract::State, http::StatusCode};
use chatcluster_contracts::{ids::UserId, problem::Code};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api,
    conversations::Page,
    extract::{Body, ConversationPath, Params, UserPath},
    problem::{ApiError, ProblemDocument},
    users::Person,
};
use crate::{identity::Caller, store::MAX_MEMBERS};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Add {
    user_id: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Member {
    conversation_id: String,
    user_id: String,
    /// The seq of the `USER_JOINED` event; absent when the user was a member already.
    #[serde(skip_serializing_if = "Option::is_none")]
    joined_seq: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct MemberList {
    /// In the order of their ids.
    members: Vec<Person>,
    /// Pass it as `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Adding somebody again changes nothing and answers 200.
#[utoipa::path(post, path = "/v1/conversations/{id}/members", tag = "members", params(("id" = String, Path)),
    request_body = Add, responses((status = 201, body = Member), (status = 200, body = Member),
    (status = 403, description = "not_a_member, forbidden", body = ProblemDocument),
    (status = 422, description = "unknown_user", body = ProblemDocument)))]
pub(super) async fn add(
    State(api): State<Api>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Body(body): Body<Add>,
) -> Result<(StatusCode, Json<Member>), ApiError> {
    let unknown = || ApiError::new(Code::UnknownUser, "there is no such user").in_field("userId").unprocessable();
    let subject = UserId::parse(&body.user_id).map_err(|_| unknown())?;
    let user = api.store.user(&subject).await?;
    user.filter(|user| user.workspace_id == caller.workspace_id).ok_or_else(unknown)?;
    let joined = api.store.add_member(&id, &caller.workspace_id, &caller.user_id, &subject).await?;
    let status = if joined.is_some() { StatusCode::CREATED } else { StatusCode::OK };
    let member = Member {
        conversation_id: id.as_str().to_owned(),
        user_id: subject.as_str().to_owned(),
        joined_seq: joined.map(chatcluster_contracts::seq::Seq::get),
    };
    Ok((status, Json(member)))
}

/// Removing somebody who is no member changes nothing.
#[utoipa::path(delete, path = "/v1/conversations/{id}/members/{user}", tag = "members",
    params(("id" = String, Path), ("user" = String, Path)), responses((status = 204),
    (status = 403, description = "not_a_member, forbidden", body = ProblemDocument)))]
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    UserPath(user): UserPath,
) -> Result<StatusCode, ApiError> {
    api.store.remove_member(&id, &caller.workspace_id, &caller.user_id, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(get, path = "/v1/conversations/{id}/members", tag = "members", params(("id" = String, Path), Page),
    responses((status = 200, body = MemberList)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Params(page): Params<Page>,
) -> Result<Json<MemberList>, ApiError> {
    api.store.access(&id, &caller.workspace_id, &caller.user_id).await?;
    let after = page.after.as_deref().map(UserId::parse).transpose();
    let after = after.map_err(|error| ApiError::field("after", error))?;
    let limit = page.limit.unwrap_or(MAX_MEMBERS).clamp(1, MAX_MEMBERS);
    let members = api.store.members(&id, after.as_ref(), limit).await?;
    let next = members.last().filter(|_| members.len() == limit as usize).map(|user| user.id.as_str().to_owned());
    Ok(Json(MemberList { members: members.into_iter().map(Person::from).collect(), next }))
}
