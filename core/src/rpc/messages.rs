//! `MessageService`: sends, receipts, and the reads that gateways and workers need.

use chatcluster_contracts::{
    ids::{ConversationId, MessageId, UserId},
    problem::{Code, Problem},
    rpc::{
        AckOffsetRequest, AckOffsetResponse, ConversationHead, CreateMessageRequest, CreateMessageResponse, Event,
        GetEventsRequest, GetEventsResponse, GetHeadsRequest, GetHeadsResponse, GetMembersAtRequest,
        GetMembersAtResponse, GetMembershipsRequest, GetMembershipsResponse, GetUserConversationsRequest,
        GetUserConversationsResponse, Membership, StreamCreateMessagesRequest, StreamCreateMessagesResponse,
        UserConversation, message_service_server::MessageService,
    },
    seq::Seq,
    time,
    trace::TraceParent,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{
    acks,
    status::{bounded, id, ids, status},
    stream,
};
use crate::{
    domain::message::{Content, NewMessage, Stored, attachment_ids},
    store::{Ended, MAX_EVENTS, Over, Stay, Store},
};

/// Ids in one question.
const MAX_IDS: usize = 10_000;

#[derive(Debug)]
pub(super) struct Messages {
    pub(super) store: Store,
    pub(super) stop: CancellationToken,
}

/// Checks a request into a message; the sender was authenticated by the calling service.
pub(super) fn new_message(request: CreateMessageRequest) -> Result<NewMessage, Problem> {
    let root = Some(request.thread_root_id.as_str()).filter(|root| !root.is_empty());
    Ok(NewMessage {
        sender_id: id("senderId", &request.sender_id)?,
        workspace_id: id("workspaceId", &request.workspace_id)?,
        // A text that cannot be an id names nothing.
        conversation_id: ConversationId::parse(&request.conversation_id)
            .map_err(|_| Problem::new(Code::UnknownConversation, "there is no such conversation"))?,
        client_msg_id: id("clientMsgId", &request.client_msg_id)?,
        content: Content::parse(request.content)?,
        thread_root_id: root.map(|root| id::<MessageId>("threadRootId", root)).transpose()?,
        attachment_ids: attachment_ids(request.attachment_ids)?,
        trace: TraceParent::parse(&request.traceparent),
    })
}

pub(super) fn created(stored: &Stored) -> CreateMessageResponse {
    CreateMessageResponse {
        message_id: stored.message_id.as_str().to_owned(),
        seq: stored.seq.get(),
        created_at: time::format(stored.created_at),
        repeated: stored.repeated,
        conversation_id: stored.conversation_id.as_str().to_owned(),
    }
}

fn few(count: usize) -> Result<(), Status> {
    if count <= MAX_IDS {
        return Ok(());
    }
    Err(status(&Problem::new(Code::InvalidField, format!("at most {MAX_IDS} ids in one call"))))
}

fn unknown_conversation() -> Status {
    status(&Problem::new(Code::UnknownConversation, "there is no such conversation"))
}

#[async_trait]
impl MessageService for Messages {
    async fn create_message(
        &self,
        request: Request<CreateMessageRequest>,
    ) -> Result<Response<CreateMessageResponse>, Status> {
        let message = new_message(request.into_inner()).map_err(|problem| status(&problem))?;
        Ok(Response::new(created(&bounded(self.store.send(message)).await?)))
    }

    type StreamCreateMessagesStream = ReceiverStream<Result<StreamCreateMessagesResponse, Status>>;

    async fn stream_create_messages(
        &self,
        request: Request<Streaming<StreamCreateMessagesRequest>>,
    ) -> Result<Response<Self::StreamCreateMessagesStream>, Status> {
        Ok(Response::new(stream::create_messages(self.store.clone(), request.into_inner(), self.stop.clone())))
    }

    type StreamAckOffsetsStream = ReceiverStream<Result<AckOffsetResponse, Status>>;

    async fn stream_ack_offsets(
        &self,
        request: Request<Streaming<AckOffsetRequest>>,
    ) -> Result<Response<Self::StreamAckOffsetsStream>, Status> {
        Ok(Response::new(acks::ack_offsets(self.store.clone(), request.into_inner(), self.stop.clone())))
    }

    async fn get_user_conversations(
        &self,
        request: Request<GetUserConversationsRequest>,
    ) -> Result<Response<GetUserConversationsResponse>, Status> {
        let request = request.into_inner();
        few(request.user_ids.len())?;
        let conversations = bounded(async {
            let workspace = id("workspaceId", &request.workspace_id)?;
            let users: Vec<UserId> = ids("userIds", &request.user_ids)?;
            let ended =
                if request.begun_since_ms > 0 { Ended::BegunSince(request.begun_since_ms) } else { Ended::None };
            Ok::<_, Problem>(self.store.memberships(&users, &workspace, ended).await?)
        })
        .await?;
        let conversations = conversations
            .into_iter()
            .map(|membership| UserConversation {
                conversation_id: membership.conversation_id.as_str().to_owned(),
                head: membership.head.get(),
                joined_seq: membership.joined_seq.get(),
                delivered_seq: membership.delivered_seq.get(),
                left_seq: membership.left_seq.map_or(0, Seq::get),
                facts: Some(membership.facts),
                user_id: membership.user_id.as_str().to_owned(),
            })
            .collect();
        let users = u32::try_from(request.user_ids.len()).unwrap_or(u32::MAX);
        Ok(Response::new(GetUserConversationsResponse { conversations, users }))
    }

    async fn get_heads(&self, request: Request<GetHeadsRequest>) -> Result<Response<GetHeadsResponse>, Status> {
        let asked = request.into_inner().conversation_ids;
        few(asked.len())?;
        let known: Vec<ConversationId> = asked.iter().filter_map(|text| ConversationId::parse(text).ok()).collect();
        let heads = bounded(self.store.heads(&known)).await?;
        let heads = heads
            .into_iter()
            .map(|(id, head)| ConversationHead { conversation_id: id.as_str().to_owned(), head: head.get() })
            .collect();
        Ok(Response::new(GetHeadsResponse { heads }))
    }

    async fn get_events(&self, request: Request<GetEventsRequest>) -> Result<Response<GetEventsResponse>, Status> {
        let request = request.into_inner();
        let conversation = ConversationId::parse(&request.conversation_id).map_err(|_| unknown_conversation())?;
        let until = (request.until > 0).then(|| Seq::new(request.until));
        let limit = if request.limit == 0 { MAX_EVENTS } else { request.limit };
        let page = bounded(self.store.events(&conversation, Seq::new(request.after), until, limit)).await?;
        let page = page.ok_or_else(unknown_conversation)?;
        let events = page
            .events
            .into_iter()
            .map(|event| Event {
                seq: event.seq.get(),
                event_type: event.event_type,
                payload: event.payload.into(),
                subject_id: event.subject_id.unwrap_or_default(),
            })
            .collect();
        Ok(Response::new(GetEventsResponse { events, head: page.head.get(), oldest: page.oldest.get() }))
    }

    async fn get_members_at(
        &self,
        request: Request<GetMembersAtRequest>,
    ) -> Result<Response<GetMembersAtResponse>, Status> {
        let request = request.into_inner();
        let conversation = ConversationId::parse(&request.conversation_id).map_err(|_| unknown_conversation())?;
        let known = bounded(self.store.conversation(&conversation)).await?.ok_or_else(unknown_conversation)?;
        // one more than is to be named tells that there are more
        let limit = if request.max == 0 { u64::MAX } else { request.max.saturating_add(1) };
        let mut user_ids = bounded(self.store.members_at(&conversation, Seq::new(request.seq), limit)).await?;
        let many = user_ids.len() as u64 == limit;
        if many {
            user_ids.clear();
        }
        Ok(Response::new(GetMembersAtResponse { user_ids, many, facts: Some(known.facts()) }))
    }

    async fn get_memberships(
        &self,
        request: Request<GetMembershipsRequest>,
    ) -> Result<Response<GetMembershipsResponse>, Status> {
        let request = request.into_inner();
        few(request.user_ids.len())?;
        let conversation = ConversationId::parse(&request.conversation_id).map_err(|_| unknown_conversation())?;
        let users: Vec<UserId> = ids("userIds", &request.user_ids).map_err(|problem| status(&problem))?;
        let over = Over {
            ended_from: (request.ended_from > 0).then(|| Seq::new(request.ended_from)),
            begun_since: (request.begun_since_ms > 0).then_some(request.begun_since_ms),
        };
        let found = bounded(self.store.stays_of(&conversation, &users, over)).await?;
        let (conversation, stays) = found.ok_or_else(unknown_conversation)?;
        let membership = |stay: Stay| Membership {
            user_id: stay.user.as_str().to_owned(),
            joined_seq: stay.joined.get(),
            left_seq: stay.left.map_or(0, Seq::get),
        };
        let memberships = stays.into_iter().map(membership).collect();
        let (head, facts) = (conversation.last_seq.get(), Some(conversation.facts()));
        Ok(Response::new(GetMembershipsResponse { memberships, head, facts }))
    }
}
