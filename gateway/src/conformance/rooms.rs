//! Rooms of conformance mode: numbers each publish and hands it, through a bounded queue, to the loop that in production
//! reads the gateway's stream.

use std::{
    cell::Cell,
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chatcluster_contracts::{
    event::EventType,
    ids::ConversationId,
    seq::Seq,
    stream_entry::{Recipients, StreamEntry},
};
use chatcluster_transport::gateway_streams::{Batch, EntryId, StreamError, StreamReader};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{delivery::Delivery, session::Session};

/// Rooms that were ever published or subscribed to.
const MAX_ROOMS: usize = 100_000;
/// Publishes taken and not yet handed to the sessions' queues.
const MAX_WAITING: usize = 4096;

#[derive(Debug, Default)]
struct State {
    /// The seq of the last publish.
    rooms: HashMap<ConversationId, Cell<Seq>>,
    waiting: VecDeque<(ConversationId, Seq, Bytes)>,
}

#[derive(Debug, Default)]
pub(crate) struct Rooms {
    state: Mutex<State>,
    more: Notify,
    space: Notify,
}

/// Why a publish was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotPublished {
    BadName(String),
    TooManyRooms,
}

impl Rooms {
    pub(super) fn subscribe(&self, delivery: &Arc<Delivery>, session: &Arc<Session>, room: &str) -> bool {
        let Ok(room) = ConversationId::parse(room) else { return false };
        let head = {
            let mut state = self.state.lock();
            if state.rooms.len() >= MAX_ROOMS && !state.rooms.contains_key(&room) {
                return false;
            }
            state.rooms.entry(room.clone()).or_default().get()
        };
        delivery.join_at(session, &room, head)
    }

    /// Takes a publish. What is taken is delivered in this order.
    pub(super) fn publish(&self, room: &str, payload: Bytes) -> Result<(), NotPublished> {
        let mut state = self.state.lock();
        let (room, seq) = match state.rooms.get_key_value(room) {
            Some((room, head)) => (room.clone(), head.replace(head.get().next()).next()),
            None if state.rooms.len() >= MAX_ROOMS => return Err(NotPublished::TooManyRooms),
            None => {
                let room = ConversationId::parse(room).map_err(|error| NotPublished::BadName(error.to_string()))?;
                let seq = Seq::ZERO.next();
                state.rooms.insert(room.clone(), Cell::new(seq));
                (room, seq)
            }
        };
        state.waiting.push_back((room, seq, payload));
        let first = state.waiting.len() == 1;
        drop(state);
        if first {
            self.more.notify_one();
        }
        Ok(())
    }

    /// Waits until more publishes may be taken.
    pub(super) async fn space(&self) {
        loop {
            let space = self.space.notified();
            if self.state.lock().waiting.len() < MAX_WAITING {
                return;
            }
            space.await;
        }
    }
}

/// The reading end, for the delivering loop.
#[derive(Debug)]
pub(crate) struct RoomReader(pub(crate) Arc<Rooms>);

#[async_trait]
impl StreamReader for RoomReader {
    async fn read(&mut self, max: usize, block: Duration) -> Result<Batch, StreamError> {
        if self.0.state.lock().waiting.is_empty() && tokio::time::timeout(block, self.0.more.notified()).await.is_err()
        {
            return Ok(Batch::default());
        }
        // publishers that are ready too go first: what came together is written together
        tokio::task::yield_now().await;
        let mut state = self.0.state.lock();
        let count = state.waiting.len().min(max);
        let entries = state.waiting.drain(..count).map(|(conversation_id, seq, payload)| {
            let entry = StreamEntry::Event {
                conversation_id,
                seq,
                event_type: EventType::Message,
                subject: None,
                recipients: Recipients::default(),
                payload,
                traceparent: None,
                broadcast: false,
            };
            (EntryId::default(), entry)
        });
        let entries = entries.collect();
        drop(state);
        self.0.space.notify_waiters();
        Ok(Batch { entries, gap: false, undecodable: 0 })
    }

    async fn acknowledge(&mut self, _: Vec<EntryId>) -> Result<(), StreamError> {
        Ok(())
    }

    fn length(&self) -> u64 {
        self.0.state.lock().waiting.len() as u64
    }
}
