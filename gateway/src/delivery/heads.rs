//! A lost last event leaves no gap, so heads are compared with core: slowly all the time, at once when entries may have
//! been lost.

use std::{sync::Arc, time::Duration};

use chatcluster_contracts::ids::ConversationId;

use super::{Conversation, Delivery};
use crate::{
    session::ticks,
    upstream::{Backoff, CoreError},
};

/// Conversations per question.
const SLICE: usize = 500;

impl Delivery {
    /// Compares all heads with core once per `period`, in slices. Runs until dropped.
    pub(crate) async fn sweep(self: Arc<Self>, period: Duration) {
        loop {
            let all = self.snapshot();
            let slices = u32::try_from(all.len().div_ceil(SLICE)).unwrap_or(u32::MAX).max(1);
            let mut all = all.into_iter();
            for _ in 0..slices {
                tokio::time::sleep(period / slices).await;
                let slice: Vec<_> = all.by_ref().take(SLICE).collect();
                if let Err(error) = self.compare(&slice).await {
                    tracing::debug!(%error, "heads not compared this time");
                }
                for conversation in slice {
                    self.forget_if_unused(conversation);
                }
            }
        }
    }

    /// Checks everything whenever asked to: all heads, and which conversations the users here belong to. Runs until
    /// dropped.
    pub(crate) async fn check_when_asked(self: Arc<Self>) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            self.check.notified().await;
            while let Err(error) = self.check_all().await {
                tracing::warn!(%error, "heads not checked yet");
                backoff.pause().await;
            }
            backoff.reset();
        }
    }

    async fn check_all(self: &Arc<Self>) -> Result<(), CoreError> {
        for slice in self.snapshot().chunks(SLICE) {
            self.compare(slice).await?;
        }
        for session in self.sessions.one_per_user() {
            let Some(identity) = session.identity() else { continue };
            // somebody may have joined and left again, and nobody here heard of either
            let first = self.sessions.of_user(identity.user.as_str()).iter().map(|session| session.opened).min();
            let begun_since = first.map(ticks::unix_ms);
            let listed = self.core.conversations(&identity.user, &identity.workspace, begun_since).await?;
            for place in listed {
                if let Some(left) = place.left {
                    self.discover(identity.user.as_str(), &place.id, left.into());
                    continue;
                }
                let known = self.find(&place.id);
                if let (Some(conversation), true) = (&known, place.facts.is_broadcast(self.rooms.broadcast_above())) {
                    self.listen(conversation);
                }
                let is_in = known.is_some_and(|it| it.state.lock().cursor.has_user(identity.user.as_str()));
                if is_in {
                    self.raise_head(&place.id, place.head);
                } else {
                    self.discover(identity.user.as_str(), &place.id, place.head.into());
                }
            }
        }
        Ok(())
    }

    pub(super) async fn compare(self: &Arc<Self>, slice: &[Arc<Conversation>]) -> Result<(), CoreError> {
        let ids: Vec<ConversationId> = slice.iter().map(|conversation| conversation.id.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        for (id, head) in self.core.heads(&ids).await? {
            self.raise_head(&id, head);
        }
        Ok(())
    }
}
