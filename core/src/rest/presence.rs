//! `/v1/presence`: who is online. It follows from the connections that live, so nobody stays online after a gateway died.

use axum::{Json, extract::State};
use chatcluster_contracts::{ids::UserId, time};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    extract::Params,
    problem::{ApiError, ProblemDocument},
};
use crate::{
    identity::Caller,
    store::{MAX_PRESENCES, Presence},
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct Of {
    /// Separated by commas, at most 500. Unless given: those with whom the caller shares a dm or a group of at most 50, who
    /// are also those whose PRESENCE frames the caller gets.
    user_ids: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PresenceBody {
    user_id: String,
    online: bool,
    /// When this changed last; absent: never online yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

impl From<Presence> for PresenceBody {
    fn from(presence: Presence) -> Self {
        Self {
            user_id: presence.user_id.as_str().to_owned(),
            online: presence.online,
            since: presence.since.map(time::format),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct PresenceList {
    /// In the order of their ids. Users of other workspaces are left out like unknown ones.
    presence: Vec<PresenceBody>,
}

#[utoipa::path(get, path = "/v1/presence", tag = "users", params(Of), responses((status = 200, body = PresenceList),
    (status = 422, description = "invalid_field", body = ProblemDocument)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(query): Params<Of>,
) -> Result<Json<PresenceList>, ApiError> {
    let mut users = if let Some(ids) = &query.user_ids {
        let named = ids.split(',').filter(|id| !id.is_empty());
        let named = named.map(|id| UserId::parse(id).map_err(|error| ApiError::field("userIds", error)));
        named.collect::<Result<Vec<_>, _>>()?
    } else {
        let contacts = api.store.contacts(std::slice::from_ref(&caller.user_id)).await?;
        contacts.into_iter().map(|(_, contact)| contact).take(MAX_PRESENCES).collect()
    };
    if users.len() > MAX_PRESENCES {
        return Err(ApiError::field("userIds", format!("at most {MAX_PRESENCES}")));
    }
    users.sort();
    users.dedup();
    let presence = api.store.presence_of(&caller.workspace_id, &users).await?;
    Ok(Json(PresenceList { presence: presence.into_iter().map(PresenceBody::from).collect() }))
}
