//! Logs as streams. Fields of an entry: `d` the payload, `b` the entry before it, `t` the token of its writing.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatcluster_contracts::log_id::LogId;
use redis::{Cmd, Value, cmd};

use super::{
    super::{ChannelLogs, Entry, NewEntry, Page, Retention, Standing},
    RedisChannels,
};
use crate::gateway_streams::StreamError;

/// Commands in one pipeline.
const CHUNK: usize = 200;

/// Adds one entry and tells of it. What may have been written before is looked for among the last ones.
const APPEND: &str = "
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[6])
for _, entry in ipairs(last) do
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 't' and entry[2][i + 1] == ARGV[3] and ARGV[6] ~= '1' then return entry[1] end
  end
end
local before = last[1] and last[1][1] or '0-0'
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', 'd', ARGV[2], 'b', before, 't', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PUBLISH', ARGV[1], id)
return id";
/// Entries among which a repeat is looked for.
const LOOK_BACK: usize = 1000;

/// The lease goes to whoever holds it already or finds it free; where no life of the data has a name, only to those who
/// bring one. Answers whether it is held, and the name.
const HOLD: &str = "
local lease = redis.call('HMGET', KEYS[1], 'life', 'holder', 'until')
local life = lease[1] or ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if life == '' or (lease[2] and lease[2] ~= ARGV[1] and tonumber(lease[3]) > now) then return {0, life} end
redis.call('HSET', KEYS[1], 'life', life, 'holder', ARGV[1], 'until', now + ARGV[2])
return {1, life}";

const GIVE_UP: &str = "
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then return redis.call('HDEL', KEYS[1], 'holder', 'until') end
return 0";

const RELEASE: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// What the nodes say, without those that have said nothing for too long.
const NOTE: &str = "
local now = tonumber(redis.call('TIME')[1])
redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2])
redis.call('EXPIRE', KEYS[1], 3600)
local all = redis.call('HGETALL', KEYS[1])
local fresh = {}
for i = 1, #all, 2 do
  local at, text = string.match(all[i + 1], '^(%d+) (.*)$')
  if at and tonumber(at) + tonumber(ARGV[3]) >= now then
    fresh[#fresh + 1] = all[i]
    fresh[#fresh + 1] = text
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return fresh";

fn script(text: &str, key: &str) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(text).arg(1).arg(key);
    command
}

pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl ChannelLogs for RedisChannels {
    async fn append(&self, entries: &[NewEntry], keep: Retention, again: bool) -> Result<(), StreamError> {
        let look_back = if again { LOOK_BACK } else { 1 };
        for chunk in entries.chunks(CHUNK) {
            let append = |entry: &NewEntry| {
                let mut command = script(APPEND, &entry.log);
                command.arg(&entry.notice).arg(&entry.payload[..]).arg(&entry.token);
                command.arg(keep.entries).arg(ms(keep.idle)).arg(look_back);
                command
            };
            self.shared.run::<Value>(chunk.iter().map(append).collect()).await?;
        }
        Ok(())
    }

    async fn after(&self, log: &str, after: LogId, max: usize) -> Result<Page, StreamError> {
        let from = format!("({after}");
        let reply = self.shared.ask(cmd("XRANGE").arg(log).arg(from).arg("+").arg("COUNT").arg(max).take()).await?;
        Ok(page(reply, after, max))
    }

    async fn last(&self, log: &str, max: usize) -> Result<Page, StreamError> {
        let count = max.max(1);
        let mut reply: Vec<Value> =
            self.shared.ask(cmd("XREVRANGE").arg(log).arg("+").arg("-").arg("COUNT").arg(count).take()).await?;
        reply.reverse();
        let mut page = page(reply, LogId::default(), usize::MAX);
        if max == 0 {
            page.entries.clear();
        }
        Ok(page)
    }

    async fn stand_by(&self, holder: &str, ttl: Duration) -> Result<Standing, StreamError> {
        self.lease(holder, ttl, "").await
    }

    async fn hold(&self, holder: &str, ttl: Duration, writing: bool) -> Result<Standing, StreamError> {
        let standing = self.lease(holder, ttl, &format!("{:032x}", rand::random::<u128>())).await?;
        if standing.is_held && writing {
            let writer = self.keys.user_event_log_writer();
            self.shared.ask::<()>(cmd("SET").arg(writer).arg(holder).arg("PX").arg(ms(ttl)).take()).await?;
        }
        Ok(standing)
    }

    async fn release(&self, holder: &str) -> Result<(), StreamError> {
        for (text, key) in [(RELEASE, self.keys.user_event_log_writer()), (GIVE_UP, self.keys.user_event_log_lease())] {
            self.shared.ask::<()>(script(text, &key).arg(holder).take()).await?;
        }
        Ok(())
    }

    async fn is_written(&self) -> Result<bool, StreamError> {
        self.shared.ask(cmd("EXISTS").arg(self.keys.user_event_log_writer()).take()).await
    }

    async fn note(&self, node: &str, text: &str, fresh: Duration) -> Result<Vec<(String, String)>, StreamError> {
        let said = script(NOTE, &self.keys.user_event_nodes()).arg(node).arg(text).arg(fresh.as_secs()).take();
        self.shared.ask(said).await
    }
}

impl RedisChannels {
    async fn lease(&self, holder: &str, ttl: Duration, begin: &str) -> Result<Standing, StreamError> {
        let hold = script(HOLD, &self.keys.user_event_log_lease()).arg(holder).arg(ms(ttl)).arg(begin).take();
        let (is_held, life): (bool, String) = self.shared.ask(hold).await?;
        Ok(Standing { is_held, life: (!life.is_empty()).then_some(life) })
    }
}

/// `[[id, [field, value, ...]], ...]`. What somebody else wrote there is passed over.
fn page(reply: Vec<Value>, after: LogId, max: usize) -> Page {
    let mut page = Page { entries: Vec::new(), reached: after, more: reply.len() >= max };
    for listed in reply {
        let Value::Array(parts) = listed else { continue };
        let [Value::BulkString(id), fields] = &parts[..] else { continue };
        let Some(id) = log_id(id) else { continue };
        page.reached = id;
        page.entries.extend(entry(id, fields));
    }
    page
}

fn entry(id: LogId, fields: &Value) -> Option<Entry> {
    let Value::Array(fields) = fields else { return None };
    let (mut payload, mut before, mut token) = (None, LogId::default(), String::new());
    for pair in fields.chunks_exact(2) {
        let [Value::BulkString(name), Value::BulkString(value)] = pair else { continue };
        match &name[..] {
            b"d" => payload = Some(Bytes::copy_from_slice(value)),
            b"b" => before = log_id(value)?,
            b"t" => token = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
    }
    Some(Entry { id, before, payload: payload?, token })
}

fn log_id(bytes: &[u8]) -> Option<LogId> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn entries_of_others_are_passed_over_and_still_move_the_place() {
        let entry = |id: &str, fields: &[&str]| {
            Value::Array(vec![bulk(id), Value::Array(fields.iter().map(|field| bulk(field)).collect())])
        };
        let ours = ["d", "{}", "b", "4-0", "t", "x-1"];
        let reply = vec![entry("5-0", &ours), entry("6-0", &["field", "value"]), Value::Nil];
        let read = page(reply.clone(), LogId::default(), 3);
        assert_eq!((read.entries.len(), read.reached.ms, read.more), (1, 6, true));
        assert_eq!((read.entries[0].before.ms, &read.entries[0].payload[..]), (4, &b"{}"[..]));
        let empty = page(Vec::new(), LogId { ms: 9, n: 1 }, 3);
        assert_eq!((empty.reached, empty.more), (LogId { ms: 9, n: 1 }, false));
    }
}
