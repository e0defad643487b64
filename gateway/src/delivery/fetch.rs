//! Brings what a cursor lacks: one fetch in flight per conversation, again and again until nothing is missing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Conversation, Delivery, Touched, conversation::State, cursor::Wanted, fanout::Fanout};
use crate::upstream::{Backoff, CoreError};

/// An event that overtook another is usually followed by it within this time.
const PATIENCE: Duration = Duration::from_millis(5);

impl Delivery {
    pub(super) fn fetch_if_wanted(self: &Arc<Self>, conversation: &Arc<Conversation>) {
        let must_fetch = self.must_fetch(&mut conversation.state.lock());
        if must_fetch {
            self.begin_to_fetch(conversation);
        }
    }

    /// Is something missing that nobody fetches yet? Whoever is told so fetches it.
    pub(super) fn must_fetch(&self, state: &mut State) -> bool {
        let must_fetch = !state.fetching && state.cursor.wanted(self.resume_limit).is_some();
        state.fetching |= must_fetch;
        must_fetch
    }

    pub(super) fn begin_to_fetch(self: &Arc<Self>, conversation: &Arc<Conversation>) {
        let (delivery, conversation) = (self.clone(), conversation.clone());
        tokio::spawn(async move {
            delivery.fetch(&conversation).await;
            delivery.forget_if_unused(conversation);
        });
    }

    async fn fetch(self: &Arc<Self>, conversation: &Arc<Conversation>) {
        tokio::time::sleep(PATIENCE).await;
        let mut backoff = Backoff::short();
        loop {
            let wanted = {
                let mut state = conversation.state.lock();
                let wanted = state.cursor.wanted(self.resume_limit);
                state.fetching = wanted.is_some();
                wanted
            };
            let Some(wanted) = wanted else { return };
            self.metrics.fetches.inc();
            if let Err(error) = self.fetch_once(conversation, wanted).await {
                tracing::warn!(%error, conversation_id = %conversation.id, "missing events not fetched yet");
                backoff.pause().await;
            } else if conversation.state.lock().cursor.wanted(self.resume_limit) == Some(wanted) {
                // core named a head whose events it does not hand out yet
                backoff.pause().await;
            } else {
                backoff.reset();
            }
        }
    }

    async fn fetch_once(self: &Arc<Self>, conversation: &Arc<Conversation>, wanted: Wanted) -> Result<(), CoreError> {
        let mut touched = Touched::default();
        let since = match wanted {
            Wanted::Events { after, until } => {
                let page = self.core.events(&conversation.id, after, || until).await?;
                let since = Instant::now();
                let mut state = conversation.state.lock();
                let mut sink = Fanout::new(self, conversation, &mut touched);
                state.cursor.fetched(page.events, page.head, page.oldest, &mut sink);
                since
            }
            Wanted::Memberships => {
                let users = Self::local_users(conversation);
                let (joined, head) = self.core.memberships(&conversation.id, &users).await?;
                let since = Instant::now();
                let mut state = conversation.state.lock();
                state.cursor.resynced(&users, &joined, head, &mut Fanout::new(self, conversation, &mut touched));
                since
            }
        };
        touched.flush(since);
        Ok(())
    }
}
