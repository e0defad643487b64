//! Rooms of the embedded deployment.

use std::sync::Arc;

use async_trait::async_trait;
use chatcluster_contracts::{ids::ConversationId, redis_keys::Keys, room_message::RoomMessage};

use super::{MemoryChannels, MemoryLogs};
use crate::{
    channels::{
        Channels as _, Ear, NewEntry, Retention, Subscriptions,
        rooms::{Mark, Recorded, RoomChannels, RoomRecord},
    },
    gateway_streams::{StreamError, memory},
};

pub(crate) struct MemoryRooms {
    channels: memory::Channels,
    logs: MemoryLogs,
    keys: Keys,
}

impl MemoryRooms {
    pub(crate) fn new(channels: memory::Channels, logs: MemoryLogs) -> Self {
        Self { channels, logs, keys: Keys::default() }
    }

    fn send(&self, room: &ConversationId, message: &RoomMessage) {
        // nobody listens: then nobody is told
        let _ = self.channels.0.send((self.keys.room(room), message.encode()));
    }
}

#[async_trait]
impl RoomChannels for MemoryRooms {
    fn open(&self) -> (Arc<dyn Subscriptions>, Box<dyn Ear>) {
        MemoryChannels::new(self.channels.clone()).open()
    }

    async fn publish(&self, messages: &[(ConversationId, RoomMessage)]) -> Result<(), StreamError> {
        for (room, message) in messages {
            self.send(room, message);
        }
        Ok(())
    }

    async fn record(&self, records: &[RoomRecord], keep: Retention) -> Result<Vec<Recorded>, StreamError> {
        let mut state = self.logs.state.lock();
        let outcomes = records.iter().map(|record| {
            let log = self.keys.room_log(&record.room);
            let key = (log.clone(), record.partition);
            let Some(mark) = Mark::after(state.marks.get(&key).copied(), record) else { return Recorded::Repeat };
            state.marks.insert(key, mark);
            let entry = NewEntry { log, notice: String::new(), payload: record.frame.clone(), token: record.id() };
            let (id, before) = state.push(&entry, keep);
            self.send(&record.room, &RoomMessage::Record { id, before, frame: record.frame.clone() });
            Recorded::New
        });
        Ok(outcomes.collect())
    }
}
