//! `/v1/notifications`: what the caller was told, newest first, and how much of it is unread.

use axum::{
    Json,
    extract::{Path, State},
};
use chatcluster_contracts::{problem::Code, record::NotificationRecord, time};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    extract::Params,
    problem::{ApiError, ProblemDocument},
};
use crate::{
    identity::Caller,
    store::{MAX_NOTIFICATIONS, NotificationPage},
};

/// Notifications in one page unless asked for otherwise.
const PAGE: u32 = 50;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only those that were not read.
    #[serde(default)]
    unread: bool,
    /// The `next` of the page before.
    before: Option<String>,
    /// At most 200; 50 unless given.
    limit: Option<u32>,
}

/// The same as in the frame NOTIFICATION and in the record on the topic `notifications`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotificationBody {
    id: String,
    user_id: String,
    title: String,
    content: String,
    /// `MENTION`, `CONVERSATION_CREATED`, or what another producer calls it.
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    related_entity_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<String>,
    read: bool,
    /// RFC 3339.
    created_at: String,
}

impl From<NotificationRecord> for NotificationBody {
    fn from(record: NotificationRecord) -> Self {
        Self {
            id: record.id,
            user_id: record.user_id.to_string(),
            title: record.title,
            content: record.content,
            kind: record.kind,
            related_entity_id: record.related_entity_id,
            conversation_id: record.conversation_id.map(|id| id.to_string()),
            read: record.read,
            created_at: time::format(record.created_at),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct NotificationList {
    notifications: Vec<NotificationBody>,
    /// How many are unread in all; 999 means so many or more.
    unread: i64,
    /// Pass it as `before` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Unread {
    /// How many are unread now; 999 means so many or more.
    unread: i64,
}

/// They are kept for 30 days.
#[utoipa::path(get, path = "/v1/notifications", tag = "notifications", params(Which), responses(
    (status = 200, body = NotificationList), (status = 422, body = ProblemDocument)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(query): Params<Which>,
) -> Result<Json<NotificationList>, ApiError> {
    let page = NotificationPage {
        unread_only: query.unread,
        before: query.before.as_deref().map(place).transpose()?,
        limit: query.limit.unwrap_or(PAGE).clamp(1, MAX_NOTIFICATIONS),
    };
    // counted first: what is counted is listed
    let unread = api.store.unread_notifications(&caller.user_id).await?;
    let found = api.store.notifications(&caller.user_id, &page).await?;
    let last = found.last().filter(|_| found.len() == page.limit as usize);
    let next = last.map(|last| format!("{}.{}", last.created_at.as_millisecond(), last.id));
    Ok(Json(NotificationList { notifications: found.into_iter().map(NotificationBody::from).collect(), unread, next }))
}

/// Where a page begins: the time of the last one before it, and its id.
fn place(text: &str) -> Result<(i64, String), ApiError> {
    let (at, id) = text.split_once('.').ok_or_else(|| ApiError::field("before", "not the `next` of a page"))?;
    let at = at.parse().map_err(|_| ApiError::field("before", "not the `next` of a page"))?;
    Ok((at, id.to_owned()))
}

/// Marks one as read. Doing so again changes nothing.
#[utoipa::path(post, path = "/v1/notifications/{id}/read", tag = "notifications", params(("id" = String, Path)),
    responses((status = 200, body = Unread), (status = 404, description = "not_found", body = ProblemDocument)))]
pub(super) async fn read_one(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Unread>, ApiError> {
    if !api.store.read_notifications(&caller.user_id, Some(&id)).await? {
        return Err(ApiError::new(Code::NotFound, "there is no such notification"));
    }
    unread(&api, &caller).await
}

/// Marks all as read.
#[utoipa::path(post, path = "/v1/notifications/read", tag = "notifications", responses((status = 200, body = Unread)))]
pub(super) async fn read_all(State(api): State<Api>, caller: Caller) -> Result<Json<Unread>, ApiError> {
    api.store.read_notifications(&caller.user_id, None).await?;
    unread(&api, &caller).await
}

async fn unread(api: &Api, caller: &Caller) -> Result<Json<Unread>, ApiError> {
    Ok(Json(Unread { unread: api.store.unread_notifications(&caller.user_id).await? }))
}
