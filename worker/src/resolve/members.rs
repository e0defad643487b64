//! Asks core what the cache cannot know.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chatcluster_contracts::{
    event::EventHead,
    ids::{ConversationId, UserId},
    rpc::{GetHeadsRequest, GetMembersAtRequest, message_service_client::MessageServiceClient},
    seq::Seq,
};
use chatcluster_service::{health::Dependency, rpc::ServiceToken};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tonic::{Code, service::interceptor::InterceptedService, transport::Channel};

use super::member_cache::{Change, MemberCache, MemberList};
use crate::breaker::Breaker;

/// Questions to core at one time, over all partitions.
const CONCURRENCY: usize = 32;
/// An answer that takes longer counts as a failure.
const PATIENCE: Duration = Duration::from_secs(5);
/// How old the members may be that get a typing indicator.
const PRESENT_FOR: Duration = Duration::from_secs(5);
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
}

impl CoreClient {
    pub(crate) fn new(channel: Channel, token: ServiceToken, dependency: Dependency) -> Self {
        Self {
            client: MessageServiceClient::with_interceptor(channel, token),
            breaker: Arc::default(),
            permits: Arc::new(Semaphore::new(CONCURRENCY)),
            dependency,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.breaker.lock().is_open()
    }

    async fn members_at(&self, conversation: &ConversationId, seq: Seq) -> Result<MemberList, CoreAway> {
        let _permit = self.permits.acquire().await.map_err(|_| CoreAway::Open)?;
        if !self.breaker.lock().admit(Instant::now()) {
            return Err(CoreAway::Open);
        }
        let request = GetMembersAtRequest { conversation_id: conversation.to_string(), seq: seq.get() };
        let mut client = self.client.clone();
        let answer = match tokio::time::timeout(PATIENCE, client.get_members_at(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) if matches!(status.code(), Code::NotFound | Code::InvalidArgument) => {
                // an answer like any other as far as core's health goes
                self.breaker.lock().success();
                return Err(CoreAway::Unknown(status.message().to_owned()));
            }
            Ok(Err(status)) => Err(format!("{:?}: {}", status.code(), status.message())),
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        match answer {
            Ok(answer) => {
                self.breaker.lock().success();
                self.dependency.up();
                // an id core stored is valid; one that is not could not be connected either
                Ok(answer.user_ids.iter().filter_map(|id| UserId::parse(id).ok()).collect())
            }
            Err(reason) => {
                self.breaker.lock().failure(Instant::now());
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
    /// For typing: present members, and when they were asked for. Small: cleared when it grows.
    present: std::collections::HashMap<ConversationId, (Instant, MemberList)>,
}

impl Members {
    pub(crate) fn new(core: CoreClient, capacity: usize) -> Self {
        Self { core, cache: MemberCache::new(capacity), present: std::collections::HashMap::new() }
    }

    /// Who is entitled to this event.
    pub(crate) async fn entitled(&mut self, head: &EventHead) -> Result<MemberList, CoreAway> {
        let change = Change::of(head);
        if let Some(members) = self.cache.advance(&head.conversation_id, head.seq, change) {
            return Ok(members);
        }
        let members = self.core.members_at(&head.conversation_id, head.seq).await?;
        self.cache.fill(&head.conversation_id, head.seq, &members, change);
        Ok(members)
    }

    /// Who is a member now, or was a few seconds ago.
    pub(crate) async fn present(&mut self, conversation: &ConversationId) -> Result<MemberList, CoreAway> {
        if let Some((_, members)) = self.present.get(conversation).filter(|(at, _)| at.elapsed() < PRESENT_FOR) {
            return Ok(Arc::clone(members));
        }
        let members = self.core.members_at(conversation, LAST).await?;
        if self.present.len() >= 1000 {
            self.present.clear();
        }
        self.present.insert(conversation.clone(), (Instant::now(), Arc::clone(&members)));
        Ok(members)
    }
}
