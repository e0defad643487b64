//! Rooms: channels of their own, published to in batches, each with a bounded log of the records that others put into it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chatcluster_contracts::{ids::ConversationId, room_message::RoomMessage};

use super::{Ear, Retention, Subscriptions};
use crate::gateway_streams::StreamError;

/// A record for a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomRecord {
    pub room: ConversationId,
    /// Where it came from: of a room and a partition only what is new is taken.
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the Unix epoch. An old offset with a new time is of a topic that was made anew.
    pub timestamp_ms: i64,
    /// What clients read.
    pub frame: Bytes,
}

impl RoomRecord {
    /// Names the record among all of its topic.
    pub fn id(&self) -> String {
        record_id(self.partition, self.offset)
    }
}

/// The id of a record: its partition and its offset there.
pub fn record_id(partition: i32, offset: i64) -> String {
    format!("{partition}-{offset}")
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the log and was published.
    New,
    /// It was there before.
    Repeat,
}

/// In a cluster what is published to a room stays at the servers that hold it.
#[async_trait]
pub trait RoomChannels: Send + Sync + 'static {
    /// As [`Channels::open`](super::Channels::open), for the channels of rooms.
    fn open(&self) -> (Arc<dyn Subscriptions>, Box<dyn Ear>);

    /// Publishes all of them in one round trip, those of one room in the order given. An error means that some may not
    /// have been: publish them all again, gateways drop repeats by seq.
    async fn publish(&self, messages: &[(ConversationId, RoomMessage)]) -> Result<(), StreamError>;

    /// Adds each record to the log of its room and publishes it, both or neither, unless it is there already. After an
    /// error record all of them again.
    async fn record(&self, records: &[RoomRecord], keep: Retention) -> Result<Vec<Recorded>, StreamError>;
}

/// The last record of a partition that a room has: what tells repeats from what is new. Pure; Redis has it as a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) offset: i64,
    pub(super) timestamp_ms: i64,
}

impl Mark {
    /// The mark after this record; `None`: it is a repeat.
    pub(super) fn after(known: Option<Self>, record: &RoomRecord) -> Option<Self> {
        let RoomRecord { offset, timestamp_ms, .. } = *record;
        match known {
            Some(mark) if offset <= mark.offset && timestamp_ms <= mark.timestamp_ms => None,
            Some(mark) if offset > mark.offset => {
                Some(Self { offset, timestamp_ms: timestamp_ms.max(mark.timestamp_ms) })
            }
            _ => Some(Self { offset, timestamp_ms }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_told_from_a_topic_made_anew() {
        let record = |offset, timestamp_ms| RoomRecord {
            room: ConversationId::parse("r").unwrap(),
            partition: 0,
            offset,
            timestamp_ms,
            frame: Bytes::new(),
        };
        let mark = Mark::after(None, &record(7, 1000));
        assert_eq!(mark, Some(Mark { offset: 7, timestamp_ms: 1000 }));
        assert_eq!(Mark::after(mark, &record(7, 1000)), None);
        assert_eq!(Mark::after(mark, &record(3, 900)), None);
        let late = Mark::after(mark, &record(8, 400));
        assert_eq!(late, Some(Mark { offset: 8, timestamp_ms: 1000 }), "a slow clock makes no repeat");
        assert_eq!(Mark::after(late, &record(7, 1000)), None);
        assert_eq!(Mark::after(late, &record(0, 5000)), Some(Mark { offset: 0, timestamp_ms: 5000 }));
    }
}
