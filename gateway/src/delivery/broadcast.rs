//! Conversations whose events come by the channel of their room. Listening comes before reading the head: what was
//! committed before is below the head that is read then, what is committed later is heard.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Conversation, Delivery};
use crate::upstream::Backoff;

/// Between two looks whether a conversation is still needed here.
const LOOK: Duration = Duration::from_secs(5);
/// Conversations per question.
const SLICE: usize = 500;

impl Delivery {
    /// Listens to the room of a conversation for as long as it is needed here.
    pub(super) fn listen(self: &Arc<Self>, conversation: &Arc<Conversation>) {
        if conversation.room.get().is_some() {
            return;
        }
        let seat = self.rooms.enter(&conversation.id);
        if conversation.room.set(seat).is_ok() {
            tokio::spawn(self.clone().catch_up(Arc::downgrade(conversation)));
        }
    }

    /// Fetches what was published before the room was listened to.
    async fn catch_up(self: Arc<Self>, conversation: Weak<Conversation>) {
        let mut backoff = Backoff::short();
        let Some(id) = conversation.upgrade().map(|conversation| conversation.id.clone()) else { return };
        while tokio::time::timeout(LOOK, self.rooms.listening(&id)).await.is_err() {
            if conversation.strong_count() == 0 {
                return;
            }
        }
        loop {
            match self.core.heads(std::slice::from_ref(&id)).await {
                Ok(heads) => {
                    return heads.into_iter().for_each(|(id, head)| self.raise_head(&id, head));
                }
                Err(error) => {
                    tracing::warn!(%error, conversation_id = %id, "the head of a room is not read yet");
                    backoff.pause().await;
                }
            }
            if conversation.strong_count() == 0 {
                return;
            }
        }
    }

    /// Asks for a check of all that comes by the channels of rooms: messages may have been lost.
    pub(crate) fn check_rooms(&self) {
        self.check_rooms.notify_one();
    }

    /// Checks the heads of rooms whenever asked to. Runs until dropped.
    pub(crate) async fn check_rooms_when_asked(self: Arc<Self>) {
        let mut backoff = Backoff::short();
        loop {
            self.check_rooms.notified().await;
            let mut rooms = self.snapshot();
            rooms.retain(|conversation| conversation.room.get().is_some());
            for slice in rooms.chunks(SLICE) {
                while let Err(error) = self.compare(slice).await {
                    tracing::warn!(%error, "heads of rooms not checked yet");
                    backoff.pause().await;
                }
            }
            backoff.reset();
        }
    }
}
