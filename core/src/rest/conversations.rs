//! `/v1/conversations`

use std::collections::BTreeSet;

use axum::{Json, extract::State, http::StatusCode};
use chatcluster_contracts::{
    ids::{ConversationId, UserId},
    problem::Code,
    road::Fanout,
    time,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    extract::{Body, ConversationPath, Params},
    problem::{ApiError, ProblemDocument, in_field},
    users::Person,
};
use crate::{
    domain::{
        account::named,
        conversation::{Kind, MAX_INITIAL_MEMBERS},
    },
    identity::Caller,
    store::{MAX_CONVERSATIONS, NewConversation, Overview},
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    kind: Kind,
    /// 1 to 100 characters; a dm has none.
    name: Option<String>,
    /// The caller is a member without being named. A dm names exactly one other person.
    #[serde(default)]
    member_ids: Vec<String>,
    /// Channels only: anybody of the workspace may join.
    #[serde(default)]
    open: bool,
    /// How events go to the gateways: by default as the number of members says. Open channels always go by broadcast.
    #[serde(default)]
    fanout: FanoutChoice,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum FanoutChoice {
    #[default]
    Auto,
    /// To each gateway that holds a member.
    Routed,
    /// Once, to all gateways that listen to the room.
    Broadcast,
}

impl FanoutChoice {
    const fn chosen(self) -> Option<Fanout> {
        match self {
            Self::Auto => None,
            Self::Routed => Some(Fanout::Routed),
            Self::Broadcast => Some(Fanout::Broadcast),
        }
    }
}

/// A conversation as the caller sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConversationBody {
    id: String,
    kind: Kind,
    name: Option<String>,
    open: bool,
    creator_id: String,
    /// The head of the event log.
    last_seq: u64,
    delivered_seq: u64,
    read_seq: u64,
    /// Messages of others beyond `readSeq`; 999 means so many or more.
    unread: i64,
    member_count: i64,
    /// Absent when there are more than 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<Person>>,
    /// RFC 3339.
    created_at: String,
}

impl From<Overview> for ConversationBody {
    fn from(overview: Overview) -> Self {
        let conversation = overview.conversation;
        Self {
            id: conversation.id.as_str().to_owned(),
            kind: conversation.kind,
            name: conversation.name,
            open: conversation.open,
            creator_id: conversation.creator_id.as_str().to_owned(),
            last_seq: conversation.last_seq.get(),
            delivered_seq: overview.marks.delivered.get(),
            read_seq: overview.marks.read.get(),
            unread: overview.unread,
            member_count: overview.member_count,
            members: (!overview.members.is_empty()).then(|| overview.members.into_iter().map(Person::from).collect()),
            created_at: time::format(conversation.created_at),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct ConversationList {
    /// In the order of their ids.
    conversations: Vec<ConversationBody>,
    /// Pass it as `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Asks for a page of any list in the order of ids.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// The `next` of the page before.
    pub(super) after: Option<String>,
    /// At most 500, which is the default.
    pub(super) limit: Option<u32>,
}

/// A dm between the same two people is found again with 200.
#[utoipa::path(post, path = "/v1/conversations", tag = "conversations", request_body = Create, responses(
    (status = 201, body = ConversationBody), (status = 200, body = ConversationBody),
    (status = 422, description = "unknown_user, invalid_field", body = ProblemDocument)))]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(body): Body<Create>,
) -> Result<(StatusCode, Json<ConversationBody>), ApiError> {
    let new = NewConversation {
        members: members(&api, &caller, body.kind, &body.member_ids).await?,
        name: match &body.name {
            Some(name) if body.kind != Kind::Dm => Some(named("name", name).map_err(in_field("name"))?),
            _ => None,
        },
        open: body.open,
        fanout: body.fanout.chosen(),
        kind: body.kind,
        workspace_id: caller.workspace_id,
        creator_id: caller.user_id,
    };
    if new.open && new.kind != Kind::Channel {
        return Err(ApiError::field("open", "only channels can be open"));
    }
    if new.open && new.fanout == Some(Fanout::Routed) {
        return Err(ApiError::field(
            "fanout",
            "whoever listens to an open channel can be anywhere: it goes by broadcast",
        ));
    }
    let (conversation, created) = api.store.create_conversation(&new).await?;
    let seen = overview(&api, &new.creator_id, &conversation.id).await?;
    Ok((if created { StatusCode::CREATED } else { StatusCode::OK }, Json(seen)))
}

/// Those named, without the caller, each once; all must exist in the workspace.
async fn members(api: &Api, caller: &Caller, kind: Kind, named: &[String]) -> Result<Vec<UserId>, ApiError> {
    if named.len() > MAX_INITIAL_MEMBERS {
        return Err(ApiError::field("memberIds", format!("at most {MAX_INITIAL_MEMBERS}; add the others later")));
    }
    let unknown = |ids: &[&str]| {
        let detail = format!("memberIds: there is no user {}", ids.join(", "));
        ApiError::new(Code::UnknownUser, detail).in_field("memberIds").unprocessable()
    };
    let mut wanted = BTreeSet::new();
    for id in named {
        wanted.insert(UserId::parse(id).map_err(|_| unknown(&[id]))?);
    }
    wanted.remove(&caller.user_id);
    let wanted: Vec<UserId> = wanted.into_iter().collect();
    let known: BTreeSet<UserId> =
        api.store.users(&caller.workspace_id, &wanted).await?.into_iter().map(|user| user.id).collect();
    let missing: Vec<&str> = wanted.iter().filter(|id| !known.contains(*id)).map(UserId::as_str).collect();
    if !missing.is_empty() {
        return Err(unknown(&missing));
    }
    if kind == Kind::Dm && wanted.len() != 1 {
        return Err(ApiError::field("memberIds", "a dm names exactly one other person"));
    }
    Ok(wanted)
}

/// The caller's conversations.
#[utoipa::path(get, path = "/v1/conversations", tag = "conversations", params(Page), responses(
    (status = 200, body = ConversationList)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(page): Params<Page>,
) -> Result<Json<ConversationList>, ApiError> {
    let after = page.after.as_deref().map(ConversationId::parse).transpose();
    let after = after.map_err(|error| ApiError::field("after", error))?;
    let limit = page.limit.unwrap_or(MAX_CONVERSATIONS).clamp(1, MAX_CONVERSATIONS);
    let overviews = api.store.overviews(&caller.user_id, after.as_ref(), limit).await?;
    let next = (overviews.len() == limit as usize)
        .then(|| overviews.last().map(|overview| overview.conversation.id.as_str().to_owned()))
        .flatten();
    let conversations = overviews.into_iter().map(ConversationBody::from).collect();
    Ok(Json(ConversationList { conversations, next }))
}

#[utoipa::path(get, path = "/v1/conversations/{id}", tag = "conversations", params(("id" = String, Path)), responses(
    (status = 200, body = ConversationBody), (status = 403, description = "not_a_member", body = ProblemDocument),
    (status = 404, description = "unknown_conversation", body = ProblemDocument)))]
pub(super) async fn get_one(
    State(api): State<Api>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> Result<Json<ConversationBody>, ApiError> {
    api.store.access(&id, &caller.workspace_id, &caller.user_id).await?;
    Ok(Json(overview(&api, &caller.user_id, &id).await?))
}

async fn overview(api: &Api, user: &UserId, id: &ConversationId) -> Result<ConversationBody, ApiError> {
    let overview = api.store.overview(user, id).await?;
    overview
        .map(ConversationBody::from)
        .ok_or_else(|| ApiError::new(Code::NotAMember, "only members see a conversation"))
}
