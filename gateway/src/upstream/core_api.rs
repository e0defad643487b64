//! The reads and reports that go to core one call at a time, with a deadline each and a limit on how many at once.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use chatcluster_contracts::{
    event::EventType,
    ids::{BootId, ConversationId, Node, UserId, WorkspaceId},
    problem::{Code, Problem},
    revocation::Revocation,
    road::RoomFacts,
    rpc::{
        self, auth_service_client::AuthServiceClient, connection_manager_client::ConnectionManagerClient,
        message_service_client::MessageServiceClient,
    },
    seq::Seq,
};
use chatcluster_service::{health::Dependency, rpc::ServiceToken, tokens::Claims};
use chatcluster_transport::ended_logins;
use tonic::{Response, Status, service::interceptor::InterceptedService, transport::Channel};

use super::turns::Turns;
use crate::delivery::cursor::Arrived;

const CALL_TIMEOUT: Duration = Duration::from_secs(5);
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
    reads: Arc<Turns>,
    /// Those for sessions that are on their way in.
    arrivals: Arc<Turns>,
    health: Dependency,
}

/// Events in seq order, how far was asked for, core's head, and the lowest seq it keeps.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) events: Vec<Arrived>,
    pub(crate) until: Seq,
    pub(crate) head: Seq,
    pub(crate) oldest: Seq,
}

/// One conversation of a user.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) id: ConversationId,
    pub(crate) head: Seq,
    pub(crate) joined: Seq,
    pub(crate) delivered: Seq,
    /// The stay is over, and this was its last event.
    pub(crate) left: Option<Seq>,
    pub(crate) facts: RoomFacts,
}

/// A conversation as somebody meets it who may not be a member.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) workspace: String,
    pub(crate) facts: RoomFacts,
    pub(crate) head: Seq,
    /// Since when the user is a member, if it is one.
    pub(crate) joined: Option<Seq>,
}

/// Which stays count besides those that last: each that meets one of these.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Over {
    /// Those that ended with this event or a later one; zero: none for that reason.
    pub(crate) ended_from: Seq,
    /// Those that began at this time, in ms since the epoch, or later; 0: none for that reason.
    pub(crate) begun_since_ms: i64,
}

#[derive(Debug)]
struct Stay {
    user: UserId,
    joined: Seq,
    left: Option<Seq>,
}

impl CoreApi {
    pub(crate) fn new(channel: Channel, token: ServiceToken, health: Dependency, arrivals: (usize, Duration)) -> Self {
        let service = InterceptedService::new(channel, token);
        Self {
            auth: AuthServiceClient::new(service.clone()),
            messages: MessageServiceClient::new(service.clone()).max_decoding_message_size(MAX_ANSWER_BYTES),
            connections: ConnectionManagerClient::new(service),
            reads: Arc::new(Turns::at_once()),
            arrivals: Arc::new(Turns::in_turn(arrivals.0, arrivals.1)),
            health,
        }
    }

    /// For sessions on their way in. Thousands may come at once, when another gateway is gone: they wait for each other,
    /// and neither what is sent meanwhile nor a gap of those who are here waits for them.
    pub(crate) fn for_arrivals(&self) -> Self {
        Self { reads: self.arrivals.clone(), ..self.clone() }
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

    /// Logins that were ended since what an earlier page named.
    pub(crate) async fn revocations(&self, since: i64) -> Result<ended_logins::Page, CoreError> {
        let (mut auth, request) = (self.auth.clone(), rpc::ListRevocationsRequest { since_ms: since });
        let answer = self.call("ListRevocations", auth.list_revocations(request)).await?;
        let ended = answer.revocations.iter();
        let ended = ended.filter_map(|it| Some(Revocation { login: it.login.parse().ok()?, until: it.until }));
        Ok(ended_logins::Page { revocations: ended.collect(), next_since: answer.next_since_ms, more: answer.more })
    }

    /// A read of several calls, or one of which it is not known yet what it asks: waits for its turn, and rests so many
    /// times as long as it took.
    pub(super) async fn in_turn<T>(&self, rest: u32, read: impl Future<Output = T>) -> T {
        self.reads.take_and_rest(rest, Box::pin(read)).await
    }

    /// Every conversation of a user with its head, and stays that began at `begun_since`, in ms since the epoch, or later
    /// and are over.
    pub(crate) async fn conversations(
        &self,
        user: &UserId,
        workspace: &WorkspaceId,
        begun_since: Option<i64>,
    ) -> Result<Vec<Listed>, CoreError> {
        let read = self.list(std::slice::from_ref(user), workspace, begun_since);
        let answer = self.reads.take(Box::pin(read)).await?;
        Ok(answer.conversations.into_iter().filter_map(place).map(|(_, place)| place).collect())
    }

    /// The conversations of several users; whoever asks has waited for a turn.
    pub(super) async fn lists(
        &self,
        users: &[UserId],
        workspace: &WorkspaceId,
    ) -> Result<HashMap<String, Vec<Listed>>, CoreError> {
        let answer = self.list(users, workspace, None).await?;
        let knows_several = answer.users as usize == users.len();
        let places = answer.conversations.into_iter().filter_map(place);
        let mut lists: HashMap<String, Vec<Listed>> = HashMap::with_capacity(users.len());
        match users {
            [user] => drop(lists.insert(user.to_string(), places.map(|(_, place)| place).collect())),
            _ if knows_several => places.for_each(|(user, place)| lists.entry(user).or_default().push(place)),
            // an older core tells of one user at a time, and names nobody
            _ => {
                for user in users {
                    let answer = self.list(std::slice::from_ref(user), workspace, None).await?;
                    let places = answer.conversations.into_iter().filter_map(place);
                    lists.insert(user.to_string(), places.map(|(_, place)| place).collect());
                }
            }
        }
        Ok(lists)
    }

    async fn list(
        &self,
        users: &[UserId],
        workspace: &WorkspaceId,
        begun_since: Option<i64>,
    ) -> Result<rpc::GetUserConversationsResponse, CoreError> {
        let mut messages = self.messages.clone();
        let request = rpc::GetUserConversationsRequest {
            user_ids: users.iter().map(ToString::to_string).collect(),
            workspace_id: workspace.to_string(),
            begun_since_ms: begun_since.unwrap_or_default(),
        };
        self.call("GetUserConversations", messages.get_user_conversations(request)).await
    }

    /// The events with `after < seq <= until`, as many as one call brings. How far is asked when its turn has come: in a
    /// storm that takes long, and who reads no further than it wanted when it began to wait is behind again.
    pub(crate) async fn events(
        &self,
        id: &ConversationId,
        after: Seq,
        until: impl FnOnce() -> Seq,
    ) -> Result<Page, CoreError> {
        let mut messages = self.messages.clone();
        let read = async {
            let until = until();
            let request = rpc::GetEventsRequest {
                conversation_id: id.to_string(),
                after: after.get(),
                until: until.get(),
                limit: PAGE_EVENTS,
            };
            Ok((self.call("GetEvents", messages.get_events(request)).await?, until))
        };
        let (answer, until) = self.reads.take(Box::pin(read)).await?;
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
        let (head, oldest) = (Seq::new(answer.head), Seq::new(answer.oldest));
        Ok(Page { events: events.collect(), until, head, oldest })
    }

    pub(crate) async fn heads(&self, ids: &[ConversationId]) -> Result<Vec<(ConversationId, Seq)>, CoreError> {
        let mut messages = self.messages.clone();
        let request = rpc::GetHeadsRequest { conversation_ids: ids.iter().map(ToString::to_string).collect() };
        let answer = self.reads.take(Box::pin(self.call("GetHeads", messages.get_heads(request)))).await?;
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
        let (stays, answer) = self.stays(id, users, Over::default()).await?.unwrap_or_default();
        let joined = stays.into_iter().map(|stay| (stay.user, stay.joined));
        Ok((joined.collect(), Seq::new(answer.head)))
    }

    /// A conversation and whether the user is a member of it; `None`: there is no such conversation.
    pub(crate) async fn room(&self, id: &ConversationId, user: &UserId) -> Result<Option<Room>, CoreError> {
        let found = self.stays(id, std::slice::from_ref(user), Over::default()).await?;
        Ok(found.map(|(stays, answer)| {
            let facts = answer.facts.unwrap_or_default();
            Room {
                facts: RoomFacts::of_rpc(&facts),
                workspace: facts.workspace_id,
                head: Seq::new(answer.head),
                joined: stays.into_iter().map(|stay| stay.joined).min(),
            }
        }))
    }

    /// Since when the user belongs to the conversation, or belonged to it in the first of the stays that are `over`, count
    /// all the same and ended after `served`. And the head at that time, and how it is fanned out.
    pub(crate) async fn stay(
        &self,
        id: &ConversationId,
        user: &UserId,
        over: Over,
        served: Seq,
    ) -> Result<(Option<Seq>, Seq, RoomFacts), CoreError> {
        let (stays, answer) = self.stays(id, std::slice::from_ref(user), over).await?.unwrap_or_default();
        let facts = answer.facts.as_ref().map(RoomFacts::of_rpc).unwrap_or_default();
        let owed = stays.into_iter().filter(|stay| stay.left.is_none_or(|left| left > served));
        Ok((owed.map(|stay| stay.joined).min(), Seq::new(answer.head), facts))
    }

    async fn stays(
        &self,
        id: &ConversationId,
        users: &[UserId],
        over: Over,
    ) -> Result<Option<(Vec<Stay>, rpc::GetMembershipsResponse)>, CoreError> {
        let mut messages = self.messages.clone();
        let request = rpc::GetMembershipsRequest {
            conversation_id: id.to_string(),
            user_ids: users.iter().map(ToString::to_string).collect(),
            ended_from: over.ended_from.get(),
            begun_since_ms: over.begun_since_ms,
        };
        let read = self.call("GetMemberships", messages.get_memberships(request));
        let answer = match self.reads.take(Box::pin(read)).await {
            Err(error) if error.not_found => return Ok(None),
            answer => answer?,
        };
        let stay = |found: &rpc::Membership| {
            let left = (found.left_seq > 0).then(|| Seq::new(found.left_seq));
            Some(Stay { user: UserId::parse(&found.user_id).ok()?, joined: Seq::new(found.joined_seq), left })
        };
        Ok(Some((answer.memberships.iter().filter_map(stay).collect(), answer)))
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

/// A place in a list, and whose list it is.
fn place(listed: rpc::UserConversation) -> Option<(String, Listed)> {
    let place = Listed {
        id: ConversationId::parse(&listed.conversation_id).ok()?,
        head: Seq::new(listed.head),
        joined: Seq::new(listed.joined_seq),
        delivered: Seq::new(listed.delivered_seq),
        left: (listed.left_seq > 0).then(|| Seq::new(listed.left_seq)),
        facts: listed.facts.as_ref().map(RoomFacts::of_rpc).unwrap_or_default(),
    };
    Some((listed.user_id, place))
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
        login: answer.login.parse().ok(),
        issuer: String::new(),
        user_events: answer.user_events.iter().flat_map(|name| name.parse()).collect(),
        admin: answer.admin,
    })
}
