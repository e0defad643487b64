//! `/v1/conversations/{id}/events`: the ordered log, each event as it travels.

use axum::{Json, extract::State};
use chatcluster_contracts::{problem::Code, seq::Seq};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    extract::{ConversationPath, Params},
    problem::{ApiError, ProblemDocument},
};
use crate::{
    identity::Caller,
    store::{MAX_EVENTS, StoredEvent},
};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventList {
    /// Ascending by seq; the same JSON as the frames of the WebSocket.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Box<RawValue>>,
    /// The head of the log.
    last_seq: u64,
    /// There are events beyond this page.
    more: bool,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Events above this seq; 0 unless given.
    after: Option<u64>,
    /// At most 500; 100 unless given.
    limit: Option<u32>,
}

/// The event's own text, not encoded again.
pub(super) fn raw(event: StoredEvent) -> Result<Box<RawValue>, ApiError> {
    RawValue::from_string(event.payload).map_err(|error| {
        tracing::error!(%error, seq = event.seq.get(), "stored event is not JSON");
        ApiError::new(Code::Internal, "something went wrong here; it was logged")
    })
}

#[utoipa::path(get, path = "/v1/conversations/{id}/events", tag = "messages", params(("id" = String, Path), Page),
    responses((status = 200, body = EventList), (status = 403, description = "not_a_member", body = ProblemDocument)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Params(query): Params<Page>,
) -> Result<Json<EventList>, ApiError> {
    let access = api.store.access(&id, &caller.workspace_id, &caller.user_id).await?;
    let from = access.conversation.readable_from(access.joined_seq).previous();
    let after = Seq::new(query.after.unwrap_or_default()).max(from);
    let limit = query.limit.unwrap_or(100).clamp(1, MAX_EVENTS);
    let page = api.store.events(&id, after, None, limit).await?;
    let page = page.ok_or_else(|| ApiError::new(Code::UnknownConversation, "there is no such conversation"))?;
    let more = page.events.last().is_some_and(|event| event.seq < page.head);
    let events = page.events.into_iter().map(raw).collect::<Result<_, _>>()?;
    Ok(Json(EventList { events, last_seq: page.head.get(), more }))
}
