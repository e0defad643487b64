//! Channels and logs of the embedded deployment: memory of the one process, with the behaviour of Redis.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use chatcluster_contracts::log_id::LogId;
use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    time::Instant,
};

use super::{ChannelLogs, Channels, Ear, Entry, NewEntry, Page, Retention, Standing, Subscriptions, rooms::Mark};
use crate::gateway_streams::{Signal, StreamError, memory};

mod rooms;

pub(crate) use rooms::MemoryRooms;

pub(crate) struct MemoryChannels(memory::Channels);

impl MemoryChannels {
    pub(crate) const fn new(channels: memory::Channels) -> Self {
        Self(channels)
    }
}

#[async_trait]
impl Channels for MemoryChannels {
    fn open(&self) -> (Arc<dyn Subscriptions>, Box<dyn Ear>) {
        let wanted = Arc::new(Named::default());
        let ear = MemoryEar { wanted: Wanted::Named(wanted.clone()), published: self.0.0.subscribe() };
        (wanted, Box::new(ear))
    }

    async fn open_all(&self, prefix: &str) -> Result<Box<dyn Ear>, StreamError> {
        Ok(Box::new(MemoryEar { wanted: Wanted::All(prefix.to_owned()), published: self.0.0.subscribe() }))
    }

    fn is_ordered(&self) -> bool {
        true
    }
}

#[derive(Default)]
struct Named(RwLock<HashSet<String>>);

#[async_trait]
impl Subscriptions for Named {
    fn subscribe(&self, channel: &str) {
        self.0.write().insert(channel.to_owned());
    }

    fn unsubscribe(&self, channel: &str) {
        self.0.write().remove(channel);
    }

    async fn listening(&self, _: &str) {}
}

enum Wanted {
    Named(Arc<Named>),
    All(String),
}

struct MemoryEar {
    wanted: Wanted,
    published: Receiver<(String, Bytes)>,
}

impl MemoryEar {
    fn signal(&self, (channel, payload): (String, Bytes)) -> Option<Signal> {
        let wanted = match &self.wanted {
            Wanted::Named(named) => named.0.read().contains(&channel),
            Wanted::All(prefix) => channel.starts_with(prefix),
        };
        wanted.then_some(Signal::Message { channel, payload })
    }
}

#[async_trait]
impl Ear for MemoryEar {
    async fn hear(&mut self, max: usize, into: &mut Vec<Signal>) {
        let first = into.len();
        while into.len() == first {
            match self.published.recv().await {
                Ok(message) => into.extend(self.signal(message)),
                Err(RecvError::Lagged(_)) => into.push(Signal::Gap),
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
        while into.len() - first < max {
            match self.published.try_recv() {
                Ok(message) => into.extend(self.signal(message)),
                Err(TryRecvError::Lagged(_)) => into.push(Signal::Gap),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }
}

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct MemoryLogs {
    channels: memory::Channels,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    logs: HashMap<String, Log>,
    /// Names the time since the last flush, once somebody wrote.
    life: Option<String>,
    holder: Option<(String, Instant)>,
    writing_until: Option<Instant>,
    notes: HashMap<String, (Instant, String)>,
    /// Of each room's log and partition.
    marks: HashMap<(String, i32), Mark>,
}

struct Log {
    entries: VecDeque<Entry>,
    until: Instant,
}

impl MemoryLogs {
    pub(crate) fn new(channels: memory::Channels) -> Self {
        Self { channels, state: Arc::default() }
    }

    pub(crate) fn flush(&self) {
        *self.state.lock() = State::default();
    }
}

impl State {
    fn take(&mut self, holder: &str, ttl: Duration) -> bool {
        let now = Instant::now();
        if self.holder.as_ref().is_some_and(|(other, until)| other != holder && *until > now) {
            return false;
        }
        self.holder = Some((holder.to_owned(), now + ttl));
        self.life.get_or_insert_with(|| format!("{:032x}", rand::random::<u128>()));
        true
    }

    fn log(&self, name: &str) -> Option<&Log> {
        self.logs.get(name).filter(|log| log.until > Instant::now())
    }

    /// The new entry's id and that of the one before; `None`: it was there.
    fn add(&mut self, entry: &NewEntry, keep: Retention) -> Option<(LogId, LogId)> {
        let is_there = |log: &Log| log.entries.iter().any(|known| known.token == entry.token);
        (!self.log(&entry.log).is_some_and(is_there)).then(|| self.push(entry, keep))
    }

    /// The same, whatever is there.
    fn push(&mut self, entry: &NewEntry, keep: Retention) -> (LogId, LogId) {
        let now = Instant::now();
        let log = self
            .logs
            .entry(entry.log.clone())
            .and_modify(|log| {
                if log.until <= now {
                    log.entries.clear();
                }
            })
            .or_insert_with(|| Log { entries: VecDeque::new(), until: now });
        let before = log.entries.back().map(|last| last.id).unwrap_or_default();
        let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms = u64::try_from(today.as_millis()).unwrap_or_default();
        let id = if ms > before.ms { LogId { ms, n: 0 } } else { LogId { ms: before.ms, n: before.n + 1 } };
        let (payload, token) = (entry.payload.clone(), entry.token.clone());
        log.entries.push_back(Entry { id, before, payload, token });
        while log.entries.len() > keep.entries {
            log.entries.pop_front();
        }
        log.until = now + keep.idle;
        (id, before)
    }
}

#[async_trait]
impl ChannelLogs for MemoryLogs {
    async fn append(&self, entries: &[NewEntry], keep: Retention, _: bool) -> Result<(), StreamError> {
        let mut state = self.state.lock();
        for entry in entries {
            if let Some((id, _)) = state.add(entry, keep) {
                // nobody listens: then nobody is told
                let _ = self.channels.0.send((entry.notice.clone(), Bytes::from(id.to_string())));
            }
        }
        Ok(())
    }

    async fn after(&self, log: &str, after: LogId, max: usize) -> Result<Page, StreamError> {
        let state = self.state.lock();
        let all = state.log(log).into_iter().flat_map(|log| &log.entries);
        let entries: Vec<Entry> = all.filter(|entry| entry.id > after).take(max).cloned().collect();
        let more = entries.len() == max;
        Ok(Page { reached: entries.last().map_or(after, |last| last.id), entries, more })
    }

    async fn last(&self, log: &str, max: usize) -> Result<Page, StreamError> {
        let state = self.state.lock();
        let Some(log) = state.log(log) else { return Ok(Page::default()) };
        let skipped = log.entries.len().saturating_sub(max);
        let entries = log.entries.iter().skip(skipped).cloned().collect();
        let reached = log.entries.back().map(|last| last.id).unwrap_or_default();
        Ok(Page { entries, reached, more: false })
    }

    async fn stand_by(&self, holder: &str, ttl: Duration) -> Result<Standing, StreamError> {
        let mut state = self.state.lock();
        let is_held = state.life.is_some() && state.take(holder, ttl);
        Ok(Standing { is_held, life: state.life.clone() })
    }

    async fn hold(&self, holder: &str, ttl: Duration, writing: bool) -> Result<Standing, StreamError> {
        let mut state = self.state.lock();
        let is_held = state.take(holder, ttl);
        if is_held && writing {
            state.writing_until = Some(Instant::now() + ttl);
        }
        Ok(Standing { is_held, life: state.life.clone() })
    }

    async fn release(&self, holder: &str) -> Result<(), StreamError> {
        let mut state = self.state.lock();
        if state.holder.as_ref().is_some_and(|(held, _)| held == holder) {
            (state.holder, state.writing_until) = (None, None);
        }
        Ok(())
    }

    async fn is_written(&self) -> Result<bool, StreamError> {
        Ok(self.state.lock().writing_until.is_some_and(|until| until > Instant::now()))
    }

    async fn note(&self, node: &str, text: &str, fresh: Duration) -> Result<Vec<(String, String)>, StreamError> {
        let (mut state, now) = (self.state.lock(), Instant::now());
        state.notes.insert(node.to_owned(), (now, text.to_owned()));
        state.notes.retain(|_, (at, _)| *at + fresh > now);
        Ok(state.notes.iter().map(|(node, (_, text))| (node.clone(), text.clone())).collect())
    }
}
