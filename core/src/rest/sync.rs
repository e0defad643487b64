//! `/v1/sync`: everything missed, over all conversations.

use axum::{Json, extract::State};
use chatcluster_contracts::{position, seq::Seq};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    events::raw,
    extract::Params,
    problem::{ApiError, ProblemDocument},
};
use crate::{
    identity::Caller,
    store::{Ended, MAX_EVENTS, Membership},
};

/// An answer with this many bytes of events takes no further conversation.
const MAX_BYTES: usize = 8 << 20;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// The last position the server handed out. A conversation missing from it counts from the caller's delivered
    /// watermark, or from joining.
    position: Option<String>,
    /// At most 500, which is the default.
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Missed {
    /// Ascending by seq within each conversation; the same JSON as the frames of the WebSocket.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Box<RawValue>>,
    /// Pass it the next time.
    position: String,
    /// There is more: ask again with the new position.
    more: bool,
}

/// Includes what happened until the caller left a conversation.
#[utoipa::path(get, path = "/v1/sync", tag = "messages", params(Since), responses(
    (status = 200, body = Missed), (status = 422, body = ProblemDocument)))]
pub(super) async fn sync(
    State(api): State<Api>,
    caller: Caller,
    Params(query): Params<Since>,
) -> Result<Json<Missed>, ApiError> {
    let given = query.position.as_deref().map(position::decode).transpose();
    let given = given.map_err(|error| ApiError::field("position", error))?.unwrap_or_default();
    let mut left = query.limit.unwrap_or(MAX_EVENTS).clamp(1, MAX_EVENTS);
    let memberships =
        api.store.memberships(std::slice::from_ref(&caller.user_id), &caller.workspace_id, Ended::All).await?;
    let (mut reached, mut events, mut bytes, mut more) = (position::Resume::new(), Vec::new(), 0, false);
    for membership in &memberships {
        let id = &membership.conversation_id;
        let known = reached.get(id).or_else(|| given.get(id)).copied().unwrap_or(membership.delivered_seq);
        let after = start(membership, known);
        if after >= membership.end() || left == 0 {
            // What was not looked at keeps its place.
            reached.insert(id.clone(), known);
            more |= after < membership.end();
            continue;
        }
        let page = api.store.events(id, after, Some(membership.end()), left).await?;
        let page = page.map(|page| page.events).unwrap_or_default();
        let last = page.last().map_or(membership.end(), |event| event.seq);
        more |= last < membership.end();
        bytes += page.iter().map(|event| event.payload.len()).sum::<usize>();
        left = if bytes < MAX_BYTES { left.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX)) } else { 0 };
        reached.insert(id.clone(), last);
        for event in page {
            events.push(raw(event)?);
        }
    }
    Ok(Json(Missed { events, position: position::encode(&reached), more }))
}

fn start(membership: &Membership, known: Seq) -> Seq {
    known.max(membership.joined_seq.previous())
}
