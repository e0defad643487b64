//! `/v1/login`, `/v1/token/refresh`, `/v1/logout`

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api,
    extract::{Address, Body},
    problem::{ApiError, ProblemDocument},
};
use crate::identity;

#[derive(Deserialize, ToSchema)]
pub(super) struct Credentials {
    username: String,
    password: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefreshToken {
    refresh_token: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Logout {
    refresh_token: String,
    /// All logins of the user, on all devices.
    #[serde(default)]
    everywhere: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tokens {
    /// A JWT; send it as `Authorization: Bearer`.
    access_token: String,
    /// Good for one refresh, which answers the next one.
    refresh_token: String,
    /// Seconds the access token is good for.
    expires_in: u64,
    /// Always `Bearer`.
    token_type: &'static str,
}

impl From<identity::Login> for Tokens {
    fn from(login: identity::Login) -> Self {
        Self {
            access_token: login.access_token,
            refresh_token: login.refresh_token,
            expires_in: login.expires_in.as_secs(),
            token_type: "Bearer",
        }
    }
}

#[utoipa::path(post, path = "/v1/login", tag = "identity", request_body = Credentials, responses(
    (status = 200, body = Tokens), (status = 401, description = "bad_credentials", body = ProblemDocument),
    (status = 429, description = "rate_limited, with Retry-After", body = ProblemDocument)))]
pub(super) async fn login(
    State(api): State<Api>,
    Address(address): Address,
    Body(body): Body<Credentials>,
) -> Result<Json<Tokens>, ApiError> {
    Ok(Json(api.identity.login(&body.username, body.password, address).await?.into()))
}

/// Using a refresh token a second time ends the login it belongs to.
#[utoipa::path(post, path = "/v1/token/refresh", tag = "identity", request_body = RefreshToken, responses(
    (status = 200, body = Tokens), (status = 401, description = "unauthenticated, token_revoked", body = ProblemDocument)))]
pub(super) async fn refresh(State(api): State<Api>, Body(body): Body<RefreshToken>) -> Result<Json<Tokens>, ApiError> {
    Ok(Json(api.identity.refresh(&body.refresh_token).await?.into()))
}

/// Ends the login of a refresh token: its access tokens are refused from now on, and its open sessions are closed.
#[utoipa::path(post, path = "/v1/logout", tag = "identity", request_body = Logout, responses((status = 204)))]
pub(super) async fn logout(State(api): State<Api>, Body(body): Body<Logout>) -> Result<StatusCode, ApiError> {
    api.identity.logout(&body.refresh_token, body.everywhere).await?;
    Ok(StatusCode::NO_CONTENT)
}
