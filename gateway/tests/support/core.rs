//! The stand-in for core and worker.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use chatcluster_contracts::{
    event::{Event, EventHead},
    ids::{ConnectionId, UserId},
    problem::{Code, Problem},
    rpc::{self, stream_create_messages_response::Result as Answer},
    seq::Seq,
    stream_entry::{Recipients, StreamEntry},
};
use chatcluster_transport::gateway_streams::{GatewayStreams, Registry, StreamWriter, memory::MemoryStreams};
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

#[derive(Debug, Clone)]
struct Stay {
    user: String,
    joined: u64,
    left: Option<u64>,
}

#[derive(Debug, Default)]
struct Log {
    events: Vec<(Event, Bytes)>,
    stays: Vec<Stay>,
    sent: HashMap<(String, String), rpc::CreateMessageResponse>,
    /// The lowest seq kept.
    oldest: u64,
}

#[derive(Debug, Default)]
struct State {
    logs: HashMap<String, Log>,
    receipts: Vec<rpc::AckOffsetRequest>,
    connections: HashSet<String>,
    tickets: HashMap<String, String>,
}

#[derive(Clone)]
pub struct Core {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    writer: Arc<dyn StreamWriter>,
    registry: Arc<dyn Registry>,
    /// Answers nothing but errors, and ends its streams.
    away: Arc<AtomicBool>,
    /// Entries are not routed.
    silent: Arc<AtomicBool>,
    /// Lists of conversations are read, and answered only when this is true.
    listing: watch::Sender<bool>,
    /// Lists read so far.
    listed: Arc<AtomicUsize>,
}

impl Core {
    pub async fn start(streams: &MemoryStreams) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let core = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
            writer: streams.writer(),
            registry: streams.registry(),
            away: Arc::default(),
            silent: Arc::default(),
            listing: watch::Sender::new(true),
            listed: Arc::default(),
        };
        let check = |request: Request<()>| match request.metadata().get("authorization") {
            Some(value) if value == format!("Bearer {}", super::SERVICE_TOKEN).as_str() => Ok(request),
            _ => Err(Status::unauthenticated("no service token")),
        };
        let server = Server::builder()
            .add_service(rpc::auth_service_server::AuthServiceServer::with_interceptor(core.clone(), check))
            .add_service(rpc::message_service_server::MessageServiceServer::with_interceptor(core.clone(), check))
            .add_service(rpc::connection_manager_server::ConnectionManagerServer::with_interceptor(core.clone(), check))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        core
    }

    pub fn create(&self, conversation: &str, members: &[&str]) {
        let stays = members.iter().map(|user| Stay { user: (*user).into(), joined: 0, left: None });
        let log = Log { stays: stays.collect(), oldest: 1, ..Log::default() };
        self.state.lock().logs.insert(conversation.into(), log);
    }

    /// While true every call fails and streams end.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// While true events are committed but no gateway hears of them.
    pub fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::SeqCst);
    }

    /// While true lists of conversations are read but not answered: what happens then falls into the attach.
    pub fn hold_lists(&self, held: bool) {
        self.listing.send_replace(!held);
    }

    /// How many lists of conversations were read.
    pub fn lists_read(&self) -> usize {
        self.listed.load(Ordering::SeqCst)
    }

    /// Forgets the events before `oldest`.
    pub fn prune(&self, conversation: &str, oldest: u64) {
        self.state.lock().logs.get_mut(conversation).unwrap().oldest = oldest;
    }

    pub fn add_ticket(&self, ticket: &str, user: &str) {
        self.state.lock().tickets.insert(ticket.into(), user.into());
    }

    pub fn receipts(&self) -> Vec<rpc::AckOffsetRequest> {
        self.state.lock().receipts.clone()
    }

    pub fn connections(&self) -> usize {
        self.state.lock().connections.len()
    }

    pub async fn post(&self, conversation: &str, sender: &str, content: &str) -> u64 {
        let id = format!("m-{:x}", rand::random::<u64>());
        let request = rpc::CreateMessageRequest {
            sender_id: sender.into(),
            conversation_id: conversation.into(),
            client_msg_id: id,
            content: content.into(),
            ..rpc::CreateMessageRequest::default()
        };
        self.commit_message(request).await.unwrap().seq
    }

    pub async fn join(&self, conversation: &str, user: &str) -> u64 {
        self.membership(conversation, user, true).await
    }

    pub async fn leave(&self, conversation: &str, user: &str) -> u64 {
        self.membership(conversation, user, false).await
    }

    async fn membership(&self, conversation: &str, user: &str, joins: bool) -> u64 {
        let (seq, event) = {
            let mut state = self.state.lock();
            let log = state.logs.get_mut(conversation).unwrap();
            let seq = Seq::new(log.events.len() as u64 + 1);
            let (conversation_id, user_id) = (conversation.parse().unwrap(), user.parse::<UserId>().unwrap());
            let (actor_id, created_at) = (user_id.clone(), jiff::Timestamp::now());
            let event = if joins {
                log.stays.push(Stay { user: user.into(), joined: seq.get(), left: None });
                Event::UserJoined { conversation_id, seq, user_id, actor_id, created_at }
            } else {
                let stay = log.stays.iter_mut().find(|stay| stay.user == user && stay.left.is_none()).unwrap();
                stay.left = Some(seq.get());
                Event::UserLeft { conversation_id, seq, user_id, actor_id, created_at }
            };
            log.events.push((event.clone(), event.to_json().into()));
            (seq.get(), event)
        };
        self.route(conversation, &event).await;
        seq
    }

    async fn commit_message(&self, request: rpc::CreateMessageRequest) -> Result<rpc::CreateMessageResponse, Problem> {
        let (answer, event) = {
            let mut state = self.state.lock();
            let log = state
                .logs
                .get_mut(&request.conversation_id)
                .ok_or_else(|| Problem::new(Code::UnknownConversation, "no such conversation"))?;
            if !log.stays.iter().any(|stay| stay.user == request.sender_id && stay.left.is_none()) {
                return Err(Problem::new(Code::NotAMember, "not a member"));
            }
            let key = (request.sender_id.clone(), request.client_msg_id.clone());
            if let Some(answer) = log.sent.get(&key) {
                return Ok(rpc::CreateMessageResponse { repeated: true, ..answer.clone() });
            }
            let seq = log.events.len() as u64 + 1;
            let event = Event::Message {
                conversation_id: request.conversation_id.parse().unwrap(),
                seq: Seq::new(seq),
                message_id: format!("{}-{seq}", request.conversation_id).parse().unwrap(),
                client_msg_id: request.client_msg_id.parse().unwrap(),
                sender_id: request.sender_id.parse().unwrap(),
                content: request.content,
                thread_root_id: None,
                attachment_ids: Vec::new(),
                created_at: jiff::Timestamp::now(),
            };
            let answer = rpc::CreateMessageResponse {
                message_id: format!("{}-{seq}", request.conversation_id),
                seq,
                conversation_id: request.conversation_id.clone(),
                ..rpc::CreateMessageResponse::default()
            };
            log.events.push((event.clone(), event.to_json().into()));
            log.sent.insert(key, answer.clone());
            (answer, event)
        };
        self.route(&request.conversation_id, &event).await;
        Ok(answer)
    }

    /// As a worker does: one entry per gateway that holds somebody entitled.
    async fn route(&self, conversation: &str, event: &Event) {
        if !self.silent.load(Ordering::SeqCst) {
            self.route_as(conversation, event).await;
        }
    }

    /// Routes an event that was committed before, as a worker that repeats or comes late.
    pub async fn route_again(&self, conversation: &str, seq: u64) {
        let index = usize::try_from(seq).unwrap() - 1;
        let event = self.state.lock().logs[conversation].events[index].0.clone();
        self.route_as(conversation, &event).await;
    }

    async fn route_as(&self, conversation: &str, event: &Event) {
        let head = EventHead::of_json(&event.to_json()).unwrap();
        let seq = head.seq.get();
        let members: Vec<UserId> = {
            let state = self.state.lock();
            let stays = state.logs[conversation].stays.iter();
            let entitled = stays.filter(|stay| stay.joined <= seq && stay.left.is_none_or(|left| seq <= left));
            entitled.map(|stay| stay.user.parse().unwrap()).collect()
        };
        let connections = self.registry.connections(&members).await.unwrap();
        let mut nodes: HashMap<String, Vec<UserId>> = HashMap::new();
        for (user, connections) in members.iter().zip(connections) {
            let holders: HashSet<&str> = connections.iter().map(ConnectionId::node).collect();
            for node in holders {
                nodes.entry(node.to_owned()).or_default().push(user.clone());
            }
        }
        let entries = nodes.into_iter().map(|(node, users)| {
            let entry = StreamEntry::Event {
                conversation_id: head.conversation_id.clone(),
                seq: head.seq,
                event_type: head.event_type,
                subject: head.subject.clone(),
                recipients: Recipients::new(&users),
                payload: event.to_json().into(),
                traceparent: None,
            };
            (node.parse().unwrap(), Arc::new(entry))
        });
        self.writer.add(entries.collect()).await.unwrap();
    }

    /// Any entry for a gateway.
    pub async fn write(&self, node: &str, entry: StreamEntry) {
        self.writer.add(vec![(node.parse().unwrap(), Arc::new(entry))]).await.unwrap();
    }

    fn check(&self) -> Result<(), Status> {
        if self.away.load(Ordering::SeqCst) { Err(Status::unavailable("away")) } else { Ok(()) }
    }
}

#[tonic::async_trait]
impl rpc::auth_service_server::AuthService for Core {
    async fn verify_access_token(
        &self,
        _: Request<rpc::VerifyAccessTokenRequest>,
    ) -> Result<Response<rpc::VerifyAccessTokenResponse>, Status> {
        Err(Status::unimplemented("the gateway checks tokens itself"))
    }

    async fn redeem_ticket(
        &self,
        request: Request<rpc::RedeemTicketRequest>,
    ) -> Result<Response<rpc::VerifyAccessTokenResponse>, Status> {
        self.check()?;
        let user = self.state.lock().tickets.remove(&request.into_inner().ticket);
        Ok(Response::new(match user {
            Some(user_id) => rpc::VerifyAccessTokenResponse {
                valid: true,
                user_id,
                workspace_id: "default".into(),
                expires_at: jiff::Timestamp::now().as_second() + 60,
                ..rpc::VerifyAccessTokenResponse::default()
            },
            None => rpc::VerifyAccessTokenResponse {
                code: "unauthenticated".into(),
                ..rpc::VerifyAccessTokenResponse::default()
            },
        }))
    }

    async fn hello(&self, request: Request<rpc::HelloRequest>) -> Result<Response<rpc::HelloResponse>, Status> {
        self.check()?;
        Ok(Response::new(rpc::HelloResponse { message: request.into_inner().name }))
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl rpc::message_service_server::MessageService for Core {
    type StreamCreateMessagesStream = Answers<rpc::StreamCreateMessagesResponse>;
    type StreamAckOffsetsStream = Answers<rpc::AckOffsetResponse>;

    async fn create_message(
        &self,
        _: Request<rpc::CreateMessageRequest>,
    ) -> Result<Response<rpc::CreateMessageResponse>, Status> {
        Err(Status::unimplemented("the gateway uses the stream"))
    }

    async fn stream_create_messages(
        &self,
        request: Request<Streaming<rpc::StreamCreateMessagesRequest>>,
    ) -> Result<Response<Self::StreamCreateMessagesStream>, Status> {
        self.check()?;
        let (core, mut requests) = (self.clone(), request.into_inner());
        let (answers, stream) = tokio::sync::mpsc::channel(64);
        tokio::spawn(async move {
            while let Some(Ok(request)) = requests.next().await {
                if core.check().is_err() {
                    return;
                }
                let result = match core.commit_message(request.message.unwrap()).await {
                    Ok(created) => Answer::Created(created),
                    Err(problem) => Answer::Problem(problem.to_rpc()),
                };
                let answer =
                    rpc::StreamCreateMessagesResponse { correlation: request.correlation, result: Some(result) };
                let _ = answers.send(Ok(answer)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn stream_ack_offsets(
        &self,
        request: Request<Streaming<rpc::AckOffsetRequest>>,
    ) -> Result<Response<Self::StreamAckOffsetsStream>, Status> {
        self.check()?;
        let state = self.state.clone();
        let answers = request.into_inner().map(move |request| {
            let request = request?;
            let mut state = state.lock();
            let problem = (!state.logs.contains_key(&request.conversation_id))
                .then(|| Problem::new(Code::UnknownConversation, "no such conversation").to_rpc());
            state.receipts.push(request.clone());
            Ok(rpc::AckOffsetResponse { correlation: request.correlation, problem, ..Default::default() })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn get_user_conversations(
        &self,
        request: Request<rpc::GetUserConversationsRequest>,
    ) -> Result<Response<rpc::GetUserConversationsResponse>, Status> {
        self.check()?;
        let user = request.into_inner().user_id;
        let conversations = {
            let state = self.state.lock();
            let conversations = state.logs.iter().filter_map(|(id, log)| {
                let stay = log.stays.iter().find(|stay| stay.user == user && stay.left.is_none())?;
                Some(rpc::UserConversation {
                    conversation_id: id.clone(),
                    head: log.events.len() as u64,
                    joined_seq: stay.joined,
                    // a new session starts at the head in these tests
                    delivered_seq: log.events.len() as u64,
                })
            });
            conversations.collect()
        };
        self.listed.fetch_add(1, Ordering::SeqCst);
        let _ = self.listing.subscribe().wait_for(|open| *open).await;
        Ok(Response::new(rpc::GetUserConversationsResponse { conversations }))
    }

    async fn get_heads(
        &self,
        request: Request<rpc::GetHeadsRequest>,
    ) -> Result<Response<rpc::GetHeadsResponse>, Status> {
        self.check()?;
        let state = self.state.lock();
        let heads = request.into_inner().conversation_ids.into_iter().filter_map(|id| {
            let head = state.logs.get(&id)?.events.len() as u64;
            Some(rpc::ConversationHead { conversation_id: id, head })
        });
        Ok(Response::new(rpc::GetHeadsResponse { heads: heads.collect() }))
    }

    async fn get_events(
        &self,
        request: Request<rpc::GetEventsRequest>,
    ) -> Result<Response<rpc::GetEventsResponse>, Status> {
        self.check()?;
        let (request, state) = (request.into_inner(), self.state.lock());
        let log = state.logs.get(&request.conversation_id).ok_or_else(|| Status::not_found("no such conversation"))?;
        let wanted = |seq: u64| seq > request.after && seq <= request.until && seq >= log.oldest;
        let events = log.events.iter().filter(|(event, _)| wanted(event.seq().get())).map(|(event, json)| rpc::Event {
            seq: event.seq().get(),
            event_type: event.event_type().as_str().into(),
            payload: json.clone(),
            subject_id: event.subject().map(ToString::to_string).unwrap_or_default(),
        });
        let events = events.take(request.limit as usize).collect();
        let (head, oldest) = (log.events.len() as u64, log.oldest);
        Ok(Response::new(rpc::GetEventsResponse { events, head, oldest }))
    }

    async fn get_members_at(
        &self,
        _: Request<rpc::GetMembersAtRequest>,
    ) -> Result<Response<rpc::GetMembersAtResponse>, Status> {
        Err(Status::unimplemented("workers ask this"))
    }

    async fn get_memberships(
        &self,
        request: Request<rpc::GetMembershipsRequest>,
    ) -> Result<Response<rpc::GetMembershipsResponse>, Status> {
        self.check()?;
        let (request, state) = (request.into_inner(), self.state.lock());
        let log = state.logs.get(&request.conversation_id).ok_or_else(|| Status::not_found("no such conversation"))?;
        let open = log.stays.iter().filter(|stay| stay.left.is_none() && request.user_ids.contains(&stay.user));
        let memberships =
            open.map(|stay| rpc::Membership { user_id: stay.user.clone(), joined_seq: stay.joined }).collect();
        Ok(Response::new(rpc::GetMembershipsResponse { memberships, head: log.events.len() as u64 }))
    }
}

#[tonic::async_trait]
impl rpc::connection_manager_server::ConnectionManager for Core {
    type GetAllConnectionsStream = Answers<rpc::GetConnectionsResponse>;

    async fn register_connection(
        &self,
        request: Request<rpc::RegisterConnectionRequest>,
    ) -> Result<Response<rpc::RegisterConnectionResponse>, Status> {
        self.check()?;
        let ids = request.into_inner().connections.into_iter().map(|connection| connection.connection_id);
        self.state.lock().connections.extend(ids);
        Ok(Response::new(rpc::RegisterConnectionResponse {}))
    }

    async fn unregister_connection(
        &self,
        request: Request<rpc::UnregisterConnectionRequest>,
    ) -> Result<Response<rpc::UnregisterConnectionResponse>, Status> {
        self.check()?;
        let gone = request.into_inner().connection_ids;
        self.state.lock().connections.retain(|id| !gone.contains(id));
        Ok(Response::new(rpc::UnregisterConnectionResponse {}))
    }

    async fn update_last_ping(
        &self,
        _: Request<rpc::UpdateLastPingRequest>,
    ) -> Result<Response<rpc::UpdateLastPingResponse>, Status> {
        self.check()?;
        Ok(Response::new(rpc::UpdateLastPingResponse { register_again: false }))
    }

    async fn get_connections_by_user(
        &self,
        _: Request<rpc::GetConnectionsByUserRequest>,
    ) -> Result<Response<rpc::GetConnectionsResponse>, Status> {
        Err(Status::unimplemented("workers ask this"))
    }

    async fn get_online_users(
        &self,
        _: Request<rpc::GetOnlineUsersRequest>,
    ) -> Result<Response<rpc::GetOnlineUsersResponse>, Status> {
        Err(Status::unimplemented("nobody asks this here"))
    }

    async fn get_all_connections(
        &self,
        _: Request<rpc::GetAllConnectionsRequest>,
    ) -> Result<Response<Self::GetAllConnectionsStream>, Status> {
        Err(Status::unimplemented("workers ask this"))
    }
}
