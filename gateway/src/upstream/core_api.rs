//! The reads and reports that go to core one call at a time, with a deadline each and a limit on how many at once.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use chatcluster_contracts::{
    event::EventType,
    ids::{BootId, ConversationId, Node, UserId, WorkspaceId},
    problem::{Code, Problem},
    rpc::{
        self, auth_service_client::AuthServiceClient, connection_manager_client::ConnectionManagerClient,
        message_service_client::MessageServiceClient,
    },
    seq::Seq,
};
use chatcluster_service::{health::Dependency, rpc::ServiceToken, tokens::Claims};
use tokio::sync::Semaphore;
use tonic::{Response, Status, service::interceptor::InterceptedService, transport::Channel};

use crate::delivery::cursor::Arrived;

const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Reads of events and heads at a time: a mass reconnect must not become a storm on the database.
const READS_AT_ONCE: usize = 32;
/// Events per call.
const PAGE_EVENTS: u32 = 200;
/// 200 events of 64 KiB content, escaped, and room to spare.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Core did not answer; trying again may help.
#[derive(Debug, thiserror::Error)]
#[error("core did not answer {call}: {reason}")]
pub(crate) struct CoreError {
    call: &'static str,
    reason: String,
    /// Core did answer: there is no such thing.
    not_found: bool,
}

type Service = InterceptedService<Channel, ServiceToken>;
pub(crate) type Messages = MessageServiceClient<Service>;

/// Core, as this gateway sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct CoreApi {
    auth: AuthServiceClient<Service>,
    messages: Messages,
    connections: ConnectionManagerClient<Service>,
    reads: Arc<Semaphore>,
    health: Dependency,
}

/// Events in seq order, core's head, and the lowest seq it keeps.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) events: Vec<Arrived>,
    pub(crate) head: Seq,
    pub(crate) oldest: Seq,
}

/// One conversation of a user.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) id: ConversationId,
    pub(crate) head: Seq,
    pub(crate) joined: Seq,
    pub(crate) delivered: Seq,
}

impl CoreApi {
    pub(crate) fn new(channel: Channel, token: ServiceToken, health: Dependency) -> Self {
        let service = InterceptedService::new(channel, token);
        Self {
            auth: AuthServiceClient::new(service.clone()),
            messages: MessageServiceClient::new(service.clone()).max_decoding_message_size(MAX_ANSWER_BYTES),
            connections: ConnectionManagerClient::new(service),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            health,
        }
    }

    /// For the streams, which live longer than a call.
    pub(crate) fn messages(&self) -> Messages {
        self.messages.clone()
    }

    async fn call<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, CoreError> {
        let failed = |reason: String| CoreError { call, reason, not_found: false };
        match tokio::time::timeout(CALL_TIMEOUT, answer).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(CoreError {
                not_found: status.code() == tonic::Code::NotFound,
                ..failed(format!("{}: {}", status.code(), status.message()))
            }),
            Err(_) => Err(failed(format!("no answer in {} s", CALL_TIMEOUT.as_secs()))),
        }
    }

    /// Whether core answers and accepts our token; says so on `/readyz`.
    pub(crate) async fn probe(&self) {
        let (mut auth, request) = (self.auth.clone(), rpc::HelloRequest { name: "gateway".into() });
        match self.call("Hello", auth.hello(request)).await {
            Ok(_) => self.health.up(),
            Err(error) => self.health.down(error),
        }
    }

    /// Spends a single-use ticket.
    pub(crate) async fn redeem_ticket(&self, ticket: &str) -> Result<Claims, Problem> {
        let (mut auth, request) = (self.auth.clone(), rpc::RedeemTicketRequest { ticket: ticket.to_owned() });
        let answer = self.call("RedeemTicket", auth.redeem_ticket(request)).await.map_err(|error| {
            tracing::warn!(%error, "ticket not redeemed");
            Problem::new(Code::Unavailable, "tickets cannot be checked now; ask for a new one and try again")
        })?;
        claims(answer, "the ticket is unknown, spent or too old")
    }

    /// Whether core accepts a token, and whose it is: for outside issuers, whose subjects only core knows apart from
    /// those who signed up here.
    pub(crate) async fn verify_token(&self, token: &str) -> Result<Claims, Problem> {
        let request = rpc::VerifyAccessTokenRequest { access_token: token.to_owned() };
        let mut auth = self.auth.clone();
        let answer = self.call("VerifyAccessToken", auth.verify_access_token(request)).await.map_err(|error| {
            tracing::warn!(%error, "token not checked");
            Problem::new(Code::Unavailable, "tokens of this issuer cannot be checked now; try again")
        })?;
        claims(answer, "the token is not accepted")
    }

    /// Every conversation of a user with its head.
    pub(crate) async fn conversations(&self, user: &UserId, workspace: &WorkspaceId) -> Result<Vec<Listed>, CoreError> {
        let _permit = self.reads.acquire().await;
        let mut messages = self.messages.clone();
        let request =
            rpc::GetUserConversationsRequest { user_id: user.to_string(), workspace_id: workspace.to_string() };
        let answer = self.call("GetUserConversations", messages.get_user_conversations(request)).await?;
        let listed = answer.conversations.into_iter().filter_map(|listed| {
            Some(Listed {
                id: ConversationId::parse(&listed.conversation_id).ok()?,
                head: Seq::new(listed.head),
                joined: Seq::new(listed.joined_seq),
                delivered: Seq::new(listed.delivered_seq),
            })
        });
        Ok(listed.collect())
    }

    /// The events with `after < seq <= until`, as many as one call brings.
    pub(crate) async fn events(&self, id: &ConversationId, after: Seq, until: Seq) -> Result<Page, CoreError> {
        let _permit = self.reads.acquire().await;
        let mut messages = self.messages.clone();
        let request = rpc::GetEventsRequest {
            conversation_id: id.to_string(),
            after: after.get(),
            until: until.get(),
            limit: PAGE_EVENTS,
        };
        let answer = self.call("GetEvents", messages.get_events(request)).await?;
        let events = answer.events.into_iter().map_while(|event| {
            // an event this version does not know ends the page: skipping it would be a silent hole
            Some(Arrived {
                seq: Seq::new(event.seq),
                event_type: EventType::parse(&event.event_type)?,
                subject: UserId::parse(&event.subject_id).ok(),
                payload: event.payload,
                trace: None,
            })
        });
        Ok(Page { events: events.collect(), head: Seq::new(answer.head), oldest: Seq::new(answer.oldest) })
    }

    pub(crate) async fn heads(&self, ids: &[ConversationId]) -> Result<Vec<(ConversationId, Seq)>, CoreError> {
        let _permit = self.reads.acquire().await;
        let mut messages = self.messages.clone();
        let request = rpc::GetHeadsRequest { conversation_ids: ids.iter().map(ToString::to_string).collect() };
        let answer = self.call("GetHeads", messages.get_heads(request)).await?;
        let heads = answer.heads.into_iter();
        Ok(heads
            .filter_map(|head| Some((ConversationId::parse(&head.conversation_id).ok()?, Seq::new(head.head))))
            .collect())
    }

    /// Since when each of `users` that is a member is one, and the head at that time.
    pub(crate) async fn memberships(
        &self,
        id: &ConversationId,
        users: &[UserId],
    ) -> Result<(HashMap<UserId, Seq>, Seq), CoreError> {
        let _permit = self.reads.acquire().await;
        let mut messages = self.messages.clone();
        let request = rpc::GetMembershipsRequest {
            conversation_id: id.to_string(),
            user_ids: users.iter().map(ToString::to_string).collect(),
        };
        let answer = match self.call("GetMemberships", messages.get_memberships(request)).await {
            // a conversation that does not exist has no members
            Err(error) if error.not_found => rpc::GetMembershipsResponse::default(),
            answer => answer?,
        };
        let joined = answer.memberships.into_iter();
        let joined = joined.filter_map(|m| Some((UserId::parse(&m.user_id).ok()?, Seq::new(m.joined_seq))));
        Ok((joined.collect(), Seq::new(answer.head)))
    }

    pub(crate) async fn register(&self, connections: Vec<rpc::Connection>) -> Result<(), CoreError> {
        let mut client = self.connections.clone();
        let request = rpc::RegisterConnectionRequest { connections };
        self.call("RegisterConnection", client.register_connection(request)).await.map(drop)
    }

    pub(crate) async fn unregister(&self, node: &Node, boot: &BootId, ids: Vec<String>) -> Result<(), CoreError> {
        let mut client = self.connections.clone();
        let request =
            rpc::UnregisterConnectionRequest { node: node.to_string(), boot_id: boot.to_string(), connection_ids: ids };
        self.call("UnregisterConnection", client.unregister_connection(request)).await.map(drop)
    }

    /// Renews this boot. True: core does not know it and wants everything registered again.
    pub(crate) async fn update_last_ping(&self, node: &Node, boot: &BootId) -> Result<bool, CoreError> {
        let mut client = self.connections.clone();
        let request = rpc::UpdateLastPingRequest {
            node: node.to_string(),
            boot_id: boot.to_string(),
            connection_ids: Vec::new(),
        };
        Ok(self.call("UpdateLastPing", client.update_last_ping(request)).await?.register_again)
    }
}

fn claims(answer: rpc::VerifyAccessTokenResponse, refusal: &str) -> Result<Claims, Problem> {
    if !answer.valid {
        return Err(Problem::new(Code::parse(&answer.code).unwrap_or(Code::Unauthenticated), refusal));
    }
    let invalid = |_| Problem::new(Code::Internal, "core named an owner that has no valid id");
    Ok(Claims {
        user_id: UserId::parse(&answer.user_id).map_err(invalid)?,
        workspace_id: WorkspaceId::parse(&answer.workspace_id).map_err(invalid)?,
        expires_at: answer.expires_at,
        token_id: Some(answer.token_id).filter(|id| !id.is_empty()),
        issuer: String::new(),
    })
}
