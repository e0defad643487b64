//! What one client sent and saw, in order, with monotonic times: the input of every checker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

/// Who caused an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client sent this frame. Written down before the bytes leave, so nothing sent is ever missing here.
    Client,
    /// The server sent this frame.
    Server,
    /// The connection ended; the frame is `{"type":"CLOSED","code":..,"reason":".."}`, without a code when no close
    /// frame came.
    End,
}

/// One entry of a history.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Comparable between all clients of this process.
    pub at: Instant,
    pub side: Side,
    pub frame: Value,
}

/// Grows only. Clones share the same entries.
#[derive(Clone, Debug)]
pub struct History {
    entries: Arc<Mutex<Vec<Recorded>>>,
    length: watch::Sender<usize>,
}

impl Default for History {
    fn default() -> Self {
        Self { entries: Arc::default(), length: watch::Sender::new(0) }
    }
}

impl History {
    pub(super) fn record(&self, side: Side, frame: Value) {
        let mut entries = self.entries.lock();
        // Under the lock, so that times never run backwards along the list.
        entries.push(Recorded { at: Instant::now(), side, frame });
        let length = entries.len();
        drop(entries);
        self.length.send_replace(length);
    }

    /// Everything so far.
    pub fn all(&self) -> Vec<Recorded> {
        self.entries.lock().clone()
    }

    /// How many entries there are; a place to wait from.
    pub fn len(&self) -> usize {
        self.entries.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The server's frames so far.
    pub fn received(&self) -> Vec<Value> {
        let entries = self.entries.lock();
        entries.iter().filter(|entry| entry.side == Side::Server).map(|entry| entry.frame.clone()).collect()
    }

    /// The end of the connection, once it has ended.
    pub fn end(&self) -> Option<Recorded> {
        self.entries.lock().iter().rfind(|entry| entry.side == Side::End).cloned()
    }

    /// The first entry at or after index `from` that `found` accepts, as soon as it is there. The error shows the last
    /// entries instead.
    pub async fn wait_from<F>(&self, from: usize, within: Duration, found: F) -> Result<Recorded>
    where
        F: Fn(&Recorded) -> bool,
    {
        let mut length = self.length.subscribe();
        let search = async {
            let mut next = from;
            loop {
                {
                    let entries = self.entries.lock();
                    let fresh = entries.get(next..).unwrap_or_default();
                    if let Some(entry) = fresh.iter().find(|entry| found(entry)) {
                        return Ok(entry.clone());
                    }
                    next = next.max(entries.len());
                }
                length.wait_for(|length| *length > next).await.context("the history is gone")?;
            }
        };
        match tokio::time::timeout(within, search).await {
            Ok(result) => result,
            Err(_) => anyhow::bail!("waited {within:?} for a frame; the last ones were:\n  {}", self.last(10)),
        }
    }

    fn last(&self, count: usize) -> String {
        let entries = self.entries.lock();
        let from = entries.len().saturating_sub(count);
        let lines: Vec<_> = entries[from..].iter().map(|entry| format!("{:?} {}", entry.side, entry.frame)).collect();
        lines.join("\n  ")
    }
}
