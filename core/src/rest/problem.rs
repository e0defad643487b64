//! Refusals as RFC 9457 documents with a stable `code`.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chatcluster_contracts::problem::{Code, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{identity::LoginRefused, store::StoreError};

/// What a handler answers when it does not do what it was asked.
#[derive(Debug)]
pub struct ApiError {
    problem: Problem,
    status: StatusCode,
    field: Option<String>,
    retry_after: Option<Duration>,
}

/// `application/problem+json`
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDocument {
    /// `about:blank`: the title is that of the HTTP status.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    /// What went wrong, by a word that does not change between releases.
    code: &'static str,
    /// The same for people.
    detail: String,
    /// The field of the request that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let status = StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Away for a moment: do not come back at once.
        let retry_after = (problem.code == Code::Unavailable).then_some(Duration::from_secs(1));
        Self { problem, status, field: None, retry_after }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Problem::from(error).into()
    }
}

impl From<LoginRefused> for ApiError {
    fn from(refused: LoginRefused) -> Self {
        match refused {
            LoginRefused::Problem(problem) => problem.into(),
            LoginRefused::TooMany { retry_after } => {
                let problem = Problem::new(Code::RateLimited, "too many failed logins; wait before the next one");
                Self { retry_after: Some(retry_after), ..problem.into() }
            }
        }
    }
}

impl ApiError {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    /// A value of the request is not acceptable.
    pub(super) fn field(field: &str, detail: impl std::fmt::Display) -> Self {
        Self::new(Code::InvalidField, format!("{field}: {detail}")).in_field(field)
    }

    pub(super) fn missing(field: &str) -> Self {
        Self::new(Code::MissingField, format!("{field} is missing")).in_field(field)
    }

    #[must_use]
    pub(super) fn in_field(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    /// A body that names something unknown is unprocessable; the resource itself is there.
    #[must_use]
    pub(super) fn unprocessable(mut self) -> Self {
        self.status = StatusCode::UNPROCESSABLE_ENTITY;
        self
    }
}

/// Names the field a rule of the domain speaks of.
pub(super) fn in_field(field: &'static str) -> impl Fn(Problem) -> ApiError {
    move |problem| ApiError::from(problem).in_field(field)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let document = ProblemDocument {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.problem.code.as_str(),
            detail: self.problem.detail,
            field: self.field,
        };
        let mut response = (self.status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            // Rounded up: coming back a moment early would be refused again.
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
        }
        response
    }
}
