//! `/v1/conversations/{id}/messages`

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use chatcluster_contracts::{
    ids::{ClientMsgId, MessageId},
    seq::Seq,
    time,
    trace::TraceParent,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    extract::{Body, ConversationPath, Params},
    problem::{ApiError, ProblemDocument, in_field},
};
use crate::{
    domain::message::{Content, NewMessage, Stored, attachment_ids},
    identity::Caller,
    store::{HistoryPage, MAX_HISTORY, MessageRow},
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Send {
    /// The sender's own name for the message; a retry with the same one is answered with the first result.
    client_msg_id: String,
    /// At most 64 KiB.
    content: String,
    /// A message of the same conversation.
    thread_root_id: Option<String>,
    /// At most 16.
    #[serde(default)]
    attachment_ids: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageBody {
    message_id: String,
    conversation_id: String,
    seq: u64,
    sender_id: String,
    client_msg_id: String,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_root_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachment_ids: Vec<String>,
    /// RFC 3339.
    created_at: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct History {
    /// Ascending by seq.
    messages: Vec<MessageBody>,
    /// There are further messages in the direction asked for.
    more: bool,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// The newest messages below this seq.
    before: Option<u64>,
    /// The oldest messages above this seq.
    after: Option<u64>,
    /// At most 200; 50 unless given.
    limit: Option<u32>,
}

/// 201, or 200 with the first result for a repeat of the same clientMsgId.
#[utoipa::path(post, path = "/v1/conversations/{id}/messages", tag = "messages", params(("id" = String, Path)),
    request_body = Send, responses((status = 201, body = MessageBody), (status = 200, body = MessageBody),
    (status = 403, description = "not_a_member", body = ProblemDocument),
    (status = 404, description = "unknown_conversation, unknown_message", body = ProblemDocument),
    (status = 409, description = "client_msg_id_reused", body = ProblemDocument),
    (status = 413, description = "payload_too_large", body = ProblemDocument)))]
pub(super) async fn send(
    State(api): State<Api>,
    caller: Caller,
    ConversationPath(conversation_id): ConversationPath,
    headers: HeaderMap,
    Body(body): Body<Send>,
) -> Result<(StatusCode, Json<MessageBody>), ApiError> {
    let client_trace = headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(TraceParent::parse);
    let root = body.thread_root_id.as_deref().map(MessageId::parse).transpose();
    let message = NewMessage {
        sender_id: caller.user_id,
        workspace_id: caller.workspace_id,
        conversation_id,
        client_msg_id: ClientMsgId::parse(&body.client_msg_id)
            .map_err(|error| ApiError::field("clientMsgId", error))?,
        content: Content::parse(body.content).map_err(in_field("content"))?,
        thread_root_id: root.map_err(|error| ApiError::field("threadRootId", error))?,
        attachment_ids: attachment_ids(body.attachment_ids).map_err(in_field("attachmentIds"))?,
        trace: Some(api.traces.start(client_trace)),
    };
    let stored = api.store.send(message.clone()).await?;
    let status = if stored.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(sent(message, &stored))))
}

fn sent(message: NewMessage, stored: &Stored) -> MessageBody {
    MessageBody {
        message_id: stored.message_id.as_str().to_owned(),
        conversation_id: stored.conversation_id.as_str().to_owned(),
        seq: stored.seq.get(),
        sender_id: message.sender_id.as_str().to_owned(),
        client_msg_id: message.client_msg_id.as_str().to_owned(),
        content: message.content.as_str().to_owned(),
        thread_root_id: message.thread_root_id.map(|root| root.as_str().to_owned()),
        attachment_ids: message.attachment_ids,
        created_at: time::format(stored.created_at),
    }
}

impl From<MessageRow> for MessageBody {
    fn from(row: MessageRow) -> Self {
        Self {
            message_id: row.message_id.as_str().to_owned(),
            conversation_id: row.conversation_id.as_str().to_owned(),
            seq: row.seq.get(),
            sender_id: row.sender_id.as_str().to_owned(),
            client_msg_id: row.client_msg_id.as_str().to_owned(),
            content: row.content,
            thread_root_id: row.thread_root_id.map(|root| root.as_str().to_owned()),
            attachment_ids: row.attachment_ids,
            created_at: time::format(row.created_at),
        }
    }
}

/// The newest page unless `before` or `after` is given.
#[utoipa::path(get, path = "/v1/conversations/{id}/messages", tag = "messages", params(("id" = String, Path), Page),
    responses((status = 200, body = History), (status = 403, description = "not_a_member", body = ProblemDocument)))]
pub(super) async fn history(
    State(api): State<Api>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Params(query): Params<Page>,
) -> Result<Json<History>, ApiError> {
    let page = match (query.before, query.after) {
        (None, None) => HistoryPage::Newest,
        (Some(before), None) => HistoryPage::Before(Seq::new(before)),
        (None, Some(after)) => HistoryPage::After(Seq::new(after)),
        (Some(_), Some(_)) => return Err(ApiError::field("before", "before and after exclude each other")),
    };
    let access = api.store.access(&id, &caller.workspace_id, &caller.user_id).await?;
    let from = access.conversation.readable_from(access.joined_seq);
    let limit = query.limit.unwrap_or(50).clamp(1, MAX_HISTORY);
    let (messages, more) = api.store.history(&id, from, page, limit).await?;
    Ok(Json(History { messages: messages.into_iter().map(MessageBody::from).collect(), more }))
}
