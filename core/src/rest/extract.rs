//! Reading requests: bodies, queries, ids and the caller, each refused as a problem that names what is wrong.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, header, request::Parts},
};
use chatcluster_contracts::{
    ids::{ConversationId, UserId},
    problem::{Code, Problem},
};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Api, problem::ApiError};
use crate::identity::Caller;

/// Longest request body, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// How much of a body that is too long is read for the sake of an answer.
const MAX_DISCARDED: usize = 16 * MAX_BODY;

impl FromRequestParts<Api> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let missing = || ApiError::new(Code::Unauthenticated, "an Authorization header with a bearer token is needed");
        let value =
            parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
        let (scheme, token) = value.split_once(' ').ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        Ok(api.identity.verify(token.trim()).await?)
    }
}

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Api> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Api) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::new(Code::UnsupportedMediaType, "the body must be application/json"));
        }
        let bytes = read(request).await?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::new(Code::InvalidJson, format!("the body is not JSON: {error}")))?;
        parse(&value).map(Self)
    }
}

/// The whole body. One that is too long is read on and thrown away, up to a point: a client that is still writing would
/// see its connection reset, and not the answer.
async fn read(request: Request) -> Result<Vec<u8>, ApiError> {
    let mut body = request.into_body().into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0_usize);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| ApiError::new(Code::BadRequest, format!("the body was cut off: {error}")))?;
        length += chunk.len();
        if length > MAX_DISCARDED {
            break;
        }
        if length <= MAX_BODY {
            bytes.extend_from_slice(&chunk);
        }
    }
    if length > MAX_BODY {
        return Err(ApiError::new(Code::PayloadTooLarge, format!("a request body has at most {MAX_BODY} bytes")));
    }
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(value: &Value) -> Result<T, ApiError> {
    if !value.is_object() {
        return Err(ApiError::new(Code::InvalidJson, "the body must be a JSON object"));
    }
    T::deserialize(value).map_err(|error| {
        let said = error.to_string();
        if let Some(field) = said.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            return ApiError::missing(field);
        }
        match culprit::<T>(value, &said) {
            Some(field) => ApiError::field(&field, said),
            None => ApiError::new(Code::InvalidField, said),
        }
    })
}

/// serde does not say which field has the wrong type. It is the one without which the complaint is another.
fn culprit<T: DeserializeOwned>(value: &Value, said: &str) -> Option<String> {
    let fields: Vec<String> = value.as_object()?.keys().take(32).cloned().collect();
    fields.into_iter().find(|field| {
        let mut without = value.clone();
        if let Some(object) = without.as_object_mut() {
            object.remove(field);
        }
        T::deserialize(&without).err().is_none_or(|error| error.to_string() != said)
    })
}

/// The query string.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let said = match Query::<T>::from_request_parts(parts, api).await {
            Ok(Query(params)) => return Ok(Self(params)),
            Err(rejection) => rejection.body_text(),
        };
        // "Failed to deserialize query string: limit: invalid digit found in string"
        let reason = said.split_once(": ").map_or(said.as_str(), |(_, reason)| reason);
        Err(match reason.split_once(": ") {
            Some((field, reason)) => ApiError::field(field, reason),
            None => ApiError::new(Code::InvalidField, reason),
        })
    }
}

/// The conversation named in the path. A text that cannot be an id names nothing.
pub(super) struct ConversationPath(pub(super) ConversationId);

impl FromRequestParts<Api> for ConversationPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let unknown = || ApiError::from(Problem::new(Code::UnknownConversation, "there is no such conversation"));
        let Path(segments) =
            Path::<Vec<(String, String)>>::from_request_parts(parts, api).await.map_err(|_| unknown())?;
        let (_, id) = segments.into_iter().find(|(name, _)| name == "id").ok_or_else(unknown)?;
        ConversationId::parse(&id).map(Self).map_err(|_| unknown())
    }
}

/// The user named in the path, as `{user}` or `{id}`.
pub(super) struct UserPath(pub(super) UserId);

impl FromRequestParts<Api> for UserPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let unknown = || ApiError::from(Problem::new(Code::UnknownUser, "there is no such user"));
        let Path(segments) =
            Path::<Vec<(String, String)>>::from_request_parts(parts, api).await.map_err(|_| unknown())?;
        let (_, id) = segments.into_iter().next_back().ok_or_else(unknown)?;
        UserId::parse(&id).map(Self).map_err(|_| unknown())
    }
}

/// Where a request comes from, as far as known.
pub(super) struct Address(pub(super) Option<IpAddr>);

impl FromRequestParts<Api> for Address {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        Ok(Self(forwarded_for(&parts.headers, api.trusted_proxies).or(peer)))
    }
}

/// Each trusted proxy appends whom it was called by; what stands further left was written by the client.
fn forwarded_for(headers: &HeaderMap, trusted_proxies: usize) -> Option<IpAddr> {
    let last = trusted_proxies.checked_sub(1)?;
    let values: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    values.iter().rev().nth(last)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize, Debug)]
    #[serde(rename_all = "camelCase")]
    struct Sample {
        #[allow(dead_code, reason = "only parsed")]
        client_msg_id: String,
        #[allow(dead_code, reason = "only parsed")]
        content: Option<String>,
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |value: Value| format!("{:?}", parse::<Sample>(&value).unwrap_err());
        assert!(said(json!({})).contains("clientMsgId is missing"));
        assert!(said(json!({"clientMsgId": "a", "content": 7})).contains(r#"field: Some("content")"#));
        assert!(said(json!({"clientMsgId": 7})).contains(r#"field: Some("clientMsgId")"#));
        assert!(said(json!([])).contains("JSON object"));
    }

    #[test]
    fn a_clients_own_forwarded_for_is_not_believed() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "6.6.6.6, 10.0.0.7".parse().unwrap());
        assert_eq!(forwarded_for(&headers, 0), None);
        assert_eq!(forwarded_for(&headers, 1), Some(IpAddr::from([10, 0, 0, 7])));
        assert_eq!(forwarded_for(&headers, 3), None);
    }
}
