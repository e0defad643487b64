//! Asks core what the cache cannot know.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chatcluster_contracts::{
    event::EventHead,
    ids::{ConversationId, UserId},
    road::RoomFacts,
    rpc::{GetHeadsRequest, GetMembersAtRequest, message_service_client::MessageServiceClient},
    seq::Seq,
};
use chatcluster_service::{health::Dependency, rpc::ServiceToken};
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Semaphore;
use tonic::{Code, service::interceptor::InterceptedService, transport::Channel};

use super::{
    member_cache::{Change, MemberCache, MemberList},
    roads::{Answer, Audience, Next, Roads},
};
use crate::breaker::Breaker;

/// Questions to core at one time, over all partitions.
const CONCURRENCY: usize = 32;
/// An answer that takes longer counts as a failure.
const PATIENCE: Duration = Duration::from_secs(5);
/// How old the members may be that get a typing indicator.
const PRESENT_FOR: Duration = Duration::from_secs(5);
/// The ids of some hundred thousand members.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// No seq is higher; "now" when asking who is a member.
const LAST: Seq = Seq::new(i64::MAX as u64);

pub(crate) type MessageClient = MessageServiceClient<InterceptedService<Channel, ServiceToken>>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum CoreAway {
    #[error("core did not answer: {0}")]
    Call(String),
    #[error("core was away a moment ago and is not asked again yet")]
    Open,
    /// Core is there and says so.
    #[error("core knows no such conversation: {0}")]
    Unknown(String),
}

/// Core as every partition asks it: bounded, and left alone while it is away.
#[derive(Debug, Clone)]
pub(crate) struct CoreClient {
    client: MessageClient,
    breaker: Arc<Mutex<Breaker>>,
    permits: Arc<Semaphore>,
    dependency: Dependency,
    /// 1 while the circuit is open.
    open: Gauge,
}

impl CoreClient {
    pub(crate) fn new(channel: Channel, token: ServiceToken, dependency: Dependency, open: Gauge) -> Self {
        Self {
            client: MessageServiceClient::with_interceptor(channel, token).max_decoding_message_size(MAX_ANSWER_BYTES),
            breaker: Arc::default(),
            permits: Arc::new(Semaphore::new(CONCURRENCY)),
            dependency,
            open,
        }
    }

    /// Tells the breaker how a call went.
    fn note(&self, answered: bool) {
        let mut breaker = self.breaker.lock();
        if answered {
            breaker.success();
        } else {
            breaker.failure(Instant::now());
        }
        self.open.set(i64::from(breaker.is_open()));
    }

    pub(crate) fn is_open(&self) -> bool {
        self.breaker.lock().is_open()
    }

    /// `max`: more than that are not named; 0: however many they are.
    async fn members_at(&self, conversation: &ConversationId, seq: Seq, max: u64) -> Result<Answer, CoreAway> {
        let _permit = self.permits.acquire().await.map_err(|_| CoreAway::Open)?;
        if !self.breaker.lock().admit(Instant::now()) {
            return Err(CoreAway::Open);
        }
        let request = GetMembersAtRequest { conversation_id: conversation.to_string(), seq: seq.get(), max };
        let mut client = self.client.clone();
        let answer = match tokio::time::timeout(PATIENCE, client.get_members_at(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) if matches!(status.code(), Code::NotFound | Code::InvalidArgument) => {
                // an answer like any other as far as core's health goes
                self.note(true);
                return Err(CoreAway::Unknown(status.message().to_owned()));
            }
            Ok(Err(status)) => Err(format!("{:?}: {}", status.code(), status.message())),
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        match answer {
            Ok(answer) => {
                self.note(true);
                self.dependency.up();
                // an id core stored is valid; one that is not could not be connected either
                let members = || answer.user_ids.iter().filter_map(|id| UserId::parse(id).ok()).collect();
                Ok(Answer {
                    members: (!answer.many).then(members),
                    facts: answer.facts.as_ref().map(RoomFacts::of_rpc).unwrap_or_default(),
                })
            }
            Err(reason) => {
                self.note(false);
                self.dependency.down(&reason);
                Err(CoreAway::Call(reason))
            }
        }
    }
}

/// Keeps an eye on core while nothing is asked of it, so that `/readyz` is true before the first message. Runs until
/// dropped.
pub(crate) async fn hello(core: CoreClient, dependency: Dependency) {
    loop {
        let mut client = core.client.clone();
        match tokio::time::timeout(PATIENCE, client.get_heads(GetHeadsRequest::default())).await {
            Ok(Ok(_)) => dependency.up(),
            Ok(Err(status)) => dependency.down(status.message()),
            Err(_) => dependency.down("no answer"),
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// The members as one partition knows them.
#[derive(Debug)]
pub(crate) struct Members {
    core: CoreClient,
    cache: MemberCache,
    roads: Roads,
    /// For typing: present members, and when they were asked for. Small: cleared when it grows.
    present: std::collections::HashMap<ConversationId, (Instant, MemberList)>,
}

impl Members {
    /// `broadcast_above`: members that a routed conversation has at most.
    pub(crate) fn new(core: CoreClient, capacity: usize, broadcast_above: u64) -> Self {
        let (cache, roads) = (MemberCache::new(capacity), Roads::new(broadcast_above));
        Self { core, cache, roads, present: std::collections::HashMap::new() }
    }

    /// Who is to have this event, and by which road.
    pub(crate) async fn audience(&mut self, head: &EventHead) -> Result<Audience, CoreAway> {
        if let Some(room) = self.roads.broadcast(head) {
            return Ok(room);
        }
        let (change, id) = (Change::of(head), &head.conversation_id);
        if self.roads.is_routed(id)
            && let Some(members) = self.cache.advance(id, head.seq, change)
        {
            let outgrown = self.roads.outgrown(head, &members);
            return Ok(if outgrown { Audience::Room { tell: members } } else { Audience::Members(members) });
        }
        let answer = self.core.members_at(id, head.seq, self.roads.ask_for()).await?;
        let audience = match self.roads.answered(head, &answer, false) {
            Next::Go(audience) => audience,
            Next::AskForAll => {
                let answer = self.core.members_at(id, head.seq, 0).await?;
                match self.roads.answered(head, &answer, true) {
                    Next::Go(audience) => audience,
                    Next::AskForAll => Audience::Members(answer.members.unwrap_or_default()),
                }
            }
        };
        if let Audience::Members(members) = &audience {
            self.cache.fill(id, head.seq, members, change);
        }
        Ok(audience)
    }

    /// Who is a member now, or was a few seconds ago; nobody where they are too many to be told what passes.
    pub(crate) async fn present(&mut self, conversation: &ConversationId) -> Result<MemberList, CoreAway> {
        if let Some((_, members)) = self.present.get(conversation).filter(|(at, _)| at.elapsed() < PRESENT_FOR) {
            return Ok(Arc::clone(members));
        }
        let members = self.core.members_at(conversation, LAST, self.roads.ask_for()).await?.members;
        let members = members.filter(|members| !self.roads.are_many(members)).unwrap_or_default();
        if self.present.len() >= 1000 {
            self.present.clear();
        }
        self.present.insert(conversation.clone(), (Instant::now(), Arc::clone(&members)));
        Ok(members)
    }
}
