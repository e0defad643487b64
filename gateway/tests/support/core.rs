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
    ids::{ConnectionId, Node, UserId},
    problem::{Code, Problem},
    room_message::{RoomMessage, record_frame},
    rpc::{self, stream_create_messages_response::Result as Answer},
    seq::Seq,
    stream_entry::{Recipients, StreamEntry},
};
use chatcluster_transport::{
    channels::{
        Retention,
        rooms::{RoomChannels, RoomRecord, record_id},
    },
    gateway_streams::{GatewayStreams, Registry, StreamWriter, memory::MemoryStreams},
};
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
    workspace: String,
    open: bool,
    /// Events are published once, to the room.
    broadcast: bool,
    /// Answers about memberships name this head: it was read before what came since.
    head_read: Option<u64>,
}

impl Log {
    fn facts(&self) -> rpc::RoomFacts {
        rpc::RoomFacts {
            workspace_id: self.workspace.clone(),
            open: self.open,
            member_count: self.stays.iter().filter(|stay| stay.left.is_none()).count() as u64,
            fanout: if self.broadcast { "broadcast".into() } else { String::new() },
        }
    }
}

#[derive(Debug, Default)]
struct State {
    logs: HashMap<String, Log>,
    receipts: Vec<rpc::AckOffsetRequest>,
    connections: HashSet<String>,
    tickets: HashMap<String, String>,
    revocations: Vec<rpc::Revocation>,
}

#[derive(Clone)]
pub struct Core {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    writer: Arc<dyn StreamWriter>,
    registry: Arc<dyn Registry>,
    pub rooms: Arc<dyn RoomChannels>,
    /// Answers nothing but errors, and ends its streams.
    away: Arc<AtomicBool>,
    /// Entries are not routed.
    silent: Arc<AtomicBool>,
    /// Lists of conversations are read, and answered only when this is true.
    listing: watch::Sender<bool>,
    /// Lists read so far.
    listed: Arc<AtomicUsize>,
    /// As an older version does: the list of the last user that is asked for, and no word of how many.
    lists_one: Arc<AtomicBool>,
    /// Answers about memberships so far.
    asked: Arc<AtomicUsize>,
    /// The conversation of which no page of events is answered now.
    held: watch::Sender<Option<String>>,
    /// Pages of events asked for, by conversation.
    paged: Arc<Mutex<HashMap<String, usize>>>,
    /// Receipts are stored and answered only when this is true.
    storing: watch::Sender<bool>,
}

impl Core {
    pub async fn start(streams: &MemoryStreams) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let core = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
            writer: streams.writer(),
            registry: streams.registry(),
            rooms: streams.rooms(),
            away: Arc::default(),
            silent: Arc::default(),
            listing: watch::Sender::new(true),
            listed: Arc::default(),
            lists_one: Arc::default(),
            asked: Arc::default(),
            held: watch::Sender::new(None),
            paged: Arc::default(),
            storing: watch::Sender::new(true),
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
        let log = Log { stays: stays.collect(), oldest: 1, workspace: "default".into(), ..Log::default() };
        self.state.lock().logs.insert(conversation.into(), log);
    }

    /// One whose events go to its room.
    pub fn create_room(&self, conversation: &str, members: &[&str], open: bool) {
        self.create(conversation, members);
        let mut state = self.state.lock();
        let log = state.logs.get_mut(conversation).unwrap();
        (log.open, log.broadcast) = (open, true);
    }

    /// Its events take the other road from the next one on, which says so to those it is routed to.
    pub fn turn_to_broadcast(&self, conversation: &str) {
        self.state.lock().logs.get_mut(conversation).unwrap().broadcast = true;
    }

    pub fn move_to_workspace(&self, conversation: &str, workspace: &str) {
        self.state.lock().logs.get_mut(conversation).unwrap().workspace = workspace.into();
    }

    /// From now on answers about its members name the head of now, as if it had been read before all that is to come.
    pub fn read_head_early(&self, conversation: &str) {
        let mut state = self.state.lock();
        let log = state.logs.get_mut(conversation).unwrap();
        log.head_read = Some(log.events.len() as u64);
    }

    /// Puts a record into a room, as a worker does with those of `message.created`.
    pub async fn record(&self, room: &str, offset: i64, data: &str) {
        let (room, timestamp_ms) = (room.parse().unwrap(), 1_000 + offset);
        let frame = record_frame(&room, Some(&record_id(3, offset)), data.as_bytes());
        let record = RoomRecord { room, partition: 3, offset, timestamp_ms, frame };
        let keep = Retention { entries: 100, idle: std::time::Duration::from_hours(1) };
        self.rooms.record(&[record], keep).await.unwrap();
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

    /// From now on pages of this conversation's events are asked for and not answered.
    pub fn hold_pages(&self, conversation: Option<&str>) {
        self.held.send_replace(conversation.map(Into::into));
    }

    /// How many pages of its events were asked for.
    pub fn pages_read(&self, conversation: &str) -> usize {
        self.paged.lock().get(conversation).copied().unwrap_or_default()
    }

    /// While true receipts are not stored.
    pub fn hold_receipts(&self, held: bool) {
        self.storing.send_replace(!held);
    }

    /// How many lists of conversations were read.
    pub fn lists_read(&self) -> usize {
        self.listed.load(Ordering::SeqCst)
    }

    /// From now on it is a version that reads one list at a time.
    pub fn list_one_at_a_time(&self) {
        self.lists_one.store(true, Ordering::SeqCst);
    }

    /// How many times it was asked who is a member.
    pub fn memberships_read(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Forgets the events before `oldest`.
    pub fn prune(&self, conversation: &str, oldest: u64) {
        self.state.lock().logs.get_mut(conversation).unwrap().oldest = oldest;
    }

    pub fn add_ticket(&self, ticket: &str, user: &str) {
        self.state.lock().tickets.insert(ticket.into(), user.into());
    }

    /// The login was ended; who does not ask does not hear of it.
    pub fn revoke(&self, login: &str) {
        let until = jiff::Timestamp::now().as_second() + 60;
        self.state.lock().revocations.push(rpc::Revocation { login: login.into(), until });
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
        if self.silent.load(Ordering::SeqCst) {
            return;
        }
        let broadcast = self.state.lock().logs[conversation].broadcast;
        if broadcast {
            self.publish_again(conversation, event.seq().get()).await;
        }
        if !broadcast || event.subject().is_some() {
            let entries = self.entries(conversation, event).await;
            self.writer.add(entries).await.unwrap();
        }
    }

    /// Publishes an event that was committed before to its room.
    pub async fn publish_again(&self, conversation: &str, seq: u64) {
        let index = usize::try_from(seq).unwrap() - 1;
        let event = self.state.lock().logs[conversation].events[index].0.clone();
        let head = EventHead::of_json(&event.to_json()).unwrap();
        let message = RoomMessage::Event {
            seq: head.seq,
            event_type: head.event_type,
            subject: head.subject,
            payload: event.to_json().into(),
            trace: None,
        };
        self.rooms.publish(&[(head.conversation_id, message)]).await.unwrap();
    }

    /// Says how far a room has come.
    pub async fn digest(&self, conversation: &str, head: u64) {
        let message = RoomMessage::Digest { head: Seq::new(head) };
        self.rooms.publish(&[(conversation.parse().unwrap(), message)]).await.unwrap();
    }

    /// Routes an event that was committed before, as a worker that repeats or comes late.
    pub async fn route_again(&self, conversation: &str, seq: u64) {
        self.route_together(conversation, &[seq]).await;
    }

    /// The same for several, which come to their gateways together.
    pub async fn route_together(&self, conversation: &str, seqs: &[u64]) {
        let mut entries = Vec::new();
        for seq in seqs {
            let index = usize::try_from(*seq).unwrap() - 1;
            let event = self.state.lock().logs[conversation].events[index].0.clone();
            entries.extend(self.entries(conversation, &event).await);
        }
        self.writer.add(entries).await.unwrap();
    }

    async fn entries(&self, conversation: &str, event: &Event) -> Vec<(Node, Arc<StreamEntry>)> {
        let head = EventHead::of_json(&event.to_json()).unwrap();
        let seq = head.seq.get();
        let (members, broadcast): (Vec<UserId>, bool) = {
            let state = self.state.lock();
            let log = &state.logs[conversation];
            let stays = log.stays.iter();
            let entitled = stays.filter(|stay| stay.joined <= seq && stay.left.is_none_or(|left| seq <= left));
            (entitled.map(|stay| stay.user.parse().unwrap()).collect(), log.broadcast)
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
                broadcast,
            };
            (node.parse().unwrap(), Arc::new(entry))
        });
        entries.collect()
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

    async fn list_revocations(
        &self,
        _: Request<rpc::ListRevocationsRequest>,
    ) -> Result<Response<rpc::ListRevocationsResponse>, Status> {
        self.check()?;
        let revocations = self.state.lock().revocations.clone();
        Ok(Response::new(rpc::ListRevocationsResponse { revocations, next_since_ms: 1, more: false }))
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
        let storing = self.storing.clone();
        let answers = request.into_inner().then(move |request| {
            let mut open = storing.subscribe();
            async move {
                let _ = open.wait_for(|open| *open).await;
                request
            }
        });
        let answers = answers.map(move |request| {
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
        let mut request = request.into_inner();
        let lists_one = self.lists_one.load(Ordering::SeqCst);
        if lists_one {
            request.user_ids = request.user_ids.pop().into_iter().collect();
        }
        let conversations = {
            let state = self.state.lock();
            let stays = state.logs.iter().flat_map(|(id, log)| log.stays.iter().map(move |stay| (id, log, stay)));
            // in a test every stay is a late one
            let listed = |stay: &Stay| {
                request.user_ids.contains(&stay.user) && (stay.left.is_none() || request.begun_since_ms > 0)
            };
            let stays = stays.filter(|(_, _, stay)| listed(stay));
            let conversations = stays.map(|(id, log, stay)| rpc::UserConversation {
                conversation_id: id.clone(),
                head: log.events.len() as u64,
                joined_seq: stay.joined,
                // a new session starts at the head in these tests
                delivered_seq: log.events.len() as u64,
                left_seq: stay.left.unwrap_or_default(),
                facts: Some(log.facts()),
                user_id: if lists_one { String::new() } else { stay.user.clone() },
            });
            conversations.collect()
        };
        let users = if lists_one { 0 } else { request.user_ids.len().try_into().unwrap() };
        self.listed.fetch_add(1, Ordering::SeqCst);
        let _ = self.listing.subscribe().wait_for(|open| *open).await;
        Ok(Response::new(rpc::GetUserConversationsResponse { conversations, users }))
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
        let request = request.into_inner();
        *self.paged.lock().entry(request.conversation_id.clone()).or_default() += 1;
        let _ = self.held.subscribe().wait_for(|held| held.as_ref() != Some(&request.conversation_id)).await;
        let state = self.state.lock();
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
        let counts = |left: u64| request.ended_from > 0 && left >= request.ended_from;
        // in a test every stay began after every session
        let stays = log.stays.iter().filter(|stay| stay.left.is_none_or(counts) || request.begun_since_ms > 0);
        let asked = stays.filter(|stay| request.user_ids.contains(&stay.user));
        let membership = |stay: &Stay| rpc::Membership {
            user_id: stay.user.clone(),
            joined_seq: stay.joined,
            left_seq: stay.left.unwrap_or_default(),
        };
        let memberships = asked.map(membership).collect();
        let head = log.head_read.unwrap_or(log.events.len() as u64);
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(rpc::GetMembershipsResponse { memberships, head, facts: Some(log.facts()) }))
    }
}

#[tonic::async_trait]
impl rpc::connection_manager_server::ConnectionManager for Core {
    async fn get_contacts(
        &self,
        _: Request<rpc::GetContactsRequest>,
    ) -> Result<Response<rpc::GetContactsResponse>, Status> {
        Err(Status::unimplemented("not asked by gateways"))
    }

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
