//! Rooms on Redis. A record goes into the room's log and onto its channel in one script, so that whoever hears it finds it
//! there, and whoever missed it, too.

use std::sync::Arc;

use async_trait::async_trait;
use chatcluster_contracts::{ids::ConversationId, room_message::RoomMessage};
use redis::{Value, cmd};

use super::{
    super::{
        Ear, Retention, Subscriptions,
        rooms::{Recorded, RoomChannels, RoomRecord},
    },
    RedisChannels,
    logs::ms,
};
use crate::gateway_streams::StreamError;

/// Commands in one pipeline.
const CHUNK: usize = 200;

/// `KEYS`: log, marks, channel. `ARGV`: frame, id, partition, offset, timestamp, entries kept, idle ms, how to publish. The
/// rule of the marks is `Mark::after`.
const RECORD: &str = "
local offset, at = tonumber(ARGV[4]), tonumber(ARGV[5])
local mark = redis.call('HGET', KEYS[2], ARGV[3])
if mark then
  local known, when = string.match(mark, '^(%d+) (-?%d+)$')
  if known then
    known, when = tonumber(known), tonumber(when)
    if offset <= known and at <= when then return 0 end
    if offset > known and when > at then ARGV[5] = string.format('%.0f', when) end
  end
end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local before = last[1] and last[1][1] or '0-0'
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[6], '*', 'd', ARGV[1], 'b', before, 't', ARGV[2])
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4] .. ' ' .. ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[7])
redis.call(ARGV[8], KEYS[3], 'r ' .. id .. ' ' .. before .. '\\n' .. ARGV[1])
return 1";

impl RedisChannels {
    /// The command that publishes to a room.
    fn publishing(&self) -> &'static str {
        if self.shared.is_cluster() { "SPUBLISH" } else { "PUBLISH" }
    }
}

#[async_trait]
impl RoomChannels for RedisChannels {
    fn open(&self) -> (Arc<dyn Subscriptions>, Box<dyn Ear>) {
        self.listen(self.shared.is_cluster())
    }

    async fn publish(&self, messages: &[(ConversationId, RoomMessage)]) -> Result<(), StreamError> {
        for chunk in messages.chunks(CHUNK) {
            let publish = |(room, message): &(ConversationId, RoomMessage)| {
                cmd(self.publishing()).arg(self.keys.room(room)).arg(&message.encode()[..]).take()
            };
            self.shared.run::<Value>(chunk.iter().map(publish).collect()).await?;
        }
        Ok(())
    }

    async fn record(&self, records: &[RoomRecord], keep: Retention) -> Result<Vec<Recorded>, StreamError> {
        let mut outcomes = Vec::with_capacity(records.len());
        for chunk in records.chunks(CHUNK) {
            let record = |record: &RoomRecord| {
                let mut command = cmd("EVAL");
                command.arg(RECORD).arg(3);
                command.arg(self.keys.room_log(&record.room)).arg(self.keys.room_marks(&record.room));
                command.arg(self.keys.room(&record.room)).arg(&record.frame[..]).arg(record.id());
                command.arg(record.partition).arg(record.offset).arg(record.timestamp_ms);
                command.arg(keep.entries).arg(ms(keep.idle)).arg(self.publishing());
                command
            };
            let added: Vec<bool> = self.shared.run(chunk.iter().map(record).collect()).await?;
            outcomes.extend(added.into_iter().map(|added| if added { Recorded::New } else { Recorded::Repeat }));
        }
        Ok(outcomes)
    }
}
