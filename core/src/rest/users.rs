//! `/v1/users`, `/v1/me`

use axum::{Json, extract::State, http::StatusCode};
use chatcluster_contracts::problem::Code;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    extract::{Body, Params, UserPath},
    problem::{ApiError, ProblemDocument},
};
use crate::{domain::account::Username, identity::Caller, store::User};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignUp {
    /// 3 to 32 of `a-z 0-9 . _ -`; capital letters are lowered.
    username: String,
    /// 8 to 256 bytes.
    password: String,
    /// 1 to 100 characters; the username unless given.
    display_name: Option<String>,
}

/// A person as others see them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Person {
    pub(super) id: String,
    /// None for some subjects of outside issuers.
    pub(super) username: Option<String>,
    pub(super) display_name: String,
}

impl From<User> for Person {
    fn from(user: User) -> Self {
        Self { id: user.id.as_str().to_owned(), username: user.username, display_name: user.display_name }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Find {
    username: Option<String>,
}

#[utoipa::path(post, path = "/v1/users", tag = "users", request_body = SignUp, responses(
    (status = 201, body = Person), (status = 409, description = "username_taken", body = ProblemDocument),
    (status = 422, body = ProblemDocument)))]
pub(super) async fn sign_up(
    State(api): State<Api>,
    Body(body): Body<SignUp>,
) -> Result<(StatusCode, Json<Person>), ApiError> {
    let display_name = body.display_name.as_deref().unwrap_or(&body.username);
    let user = api.identity.sign_up(&body.username, body.password, display_name).await.map_err(|problem| {
        // The rules' sentences begin with the field they speak of.
        let field = ["username", "password", "displayName"].into_iter().find(|field| problem.detail.starts_with(field));
        let error = ApiError::from(problem);
        match field {
            Some(field) => error.in_field(field),
            None => error,
        }
    })?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// Finds a person of the caller's workspace by exact username.
#[utoipa::path(get, path = "/v1/users", tag = "users", params(Find), responses(
    (status = 200, body = Person), (status = 404, description = "unknown_user", body = ProblemDocument)))]
pub(super) async fn find(
    State(api): State<Api>,
    caller: Caller,
    Params(query): Params<Find>,
) -> Result<Json<Person>, ApiError> {
    let username = query.username.ok_or_else(|| ApiError::missing("username"))?;
    let found = match Username::parse(&username) {
        Ok(name) => api.store.user_by_name(&caller.workspace_id, &name).await?,
        Err(_) => None,
    };
    found.map(|found| Json(found.user.into())).ok_or_else(unknown)
}

#[utoipa::path(get, path = "/v1/users/{id}", tag = "users", params(("id" = String, Path)), responses(
    (status = 200, body = Person), (status = 404, description = "unknown_user", body = ProblemDocument)))]
pub(super) async fn get_one(
    State(api): State<Api>,
    caller: Caller,
    UserPath(id): UserPath,
) -> Result<Json<Person>, ApiError> {
    let user = api.store.user(&id).await?.filter(|user| user.workspace_id == caller.workspace_id);
    user.map(|user| Json(user.into())).ok_or_else(unknown)
}

/// The caller.
#[utoipa::path(get, path = "/v1/me", tag = "users", responses((status = 200, body = Person)))]
pub(super) async fn me(State(api): State<Api>, caller: Caller) -> Result<Json<Person>, ApiError> {
    api.store.user(&caller.user_id).await?.map(|user| Json(user.into())).ok_or_else(unknown)
}

fn unknown() -> ApiError {
    ApiError::new(Code::UnknownUser, "there is no such user")
}
