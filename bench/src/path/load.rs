//! Offering load and waiting until everything has arrived.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::fleet::Fleet;
use crate::percentiles::Samples;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// Open loop: so many messages a second, whatever comes back.
    Rate(u32),
    /// Closed loop: so many sends in flight.
    Window(usize),
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) sent: usize,
    pub(crate) acks: Samples,
    pub(crate) messages: Samples,
    /// From the first SEND to the last MESSAGE.
    pub(crate) elapsed: Duration,
}

/// How long everything sent may take to arrive.
const DRAIN_WITHIN: Duration = Duration::from_mins(1);

impl Fleet {
    pub(crate) async fn offer(&mut self, load: Load, time: Duration) -> Result<Outcome> {
        let first = self.board.written.lock().len();
        let (acked, delivered) =
            (self.board.acknowledged.load(Ordering::Relaxed), self.board.delivered.load(Ordering::Relaxed));
        let start = Instant::now();
        while start.elapsed() < time {
            let sent = self.board.written.lock().len() - first;
            match load {
                Load::Rate(rate) => {
                    let due = start + Duration::from_secs(1) * u32::try_from(sent)? / rate;
                    tokio::time::sleep_until(due.into()).await;
                }
                Load::Window(window) => {
                    while sent as u64 - (self.board.acknowledged.load(Ordering::Relaxed) - acked) >= window as u64 {
                        self.progress(DRAIN_WITHIN).await?;
                    }
                }
            }
            self.send_one().await?;
        }
        let sent = self.board.written.lock().len() - first;
        let expected = (sent * self.sinks.len()) as u64;
        let deadline = Instant::now() + DRAIN_WITHIN;
        loop {
            let acks = self.board.acknowledged.load(Ordering::Relaxed) - acked;
            let messages = self.board.delivered.load(Ordering::Relaxed) - delivered;
            ensure!(messages <= expected, "{messages} deliveries of {expected}: something came twice");
            if acks == sent as u64 && messages == expected {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "only {acks} of {sent} ACKs and {messages} of {expected} deliveries in time");
            self.progress(left).await?;
        }
        let elapsed = start.elapsed();
        let mut messages = Samples::default();
        for reader in &self.latencies {
            messages.merge(&std::mem::take(&mut *reader.lock()));
        }
        Ok(Outcome { sent, acks: std::mem::take(&mut *self.board.acks.lock()), messages, elapsed })
    }

    async fn send_one(&mut self) -> Result<()> {
        let number = self.board.written.lock().len();
        let frame = json!({"type": "SEND", "clientMsgId": format!("n-{number}"), "conversationId": self.conversation,
            "content": format!("message {number}, as long as people's messages tend to be when they chat about things")});
        let sender = number % self.sinks.len();
        self.board.written.lock().push(Instant::now());
        self.sinks[sender].send(Message::text(frame.to_string())).await?;
        Ok(())
    }

    /// Waits for any frame.
    async fn progress(&self, within: Duration) -> Result<()> {
        let _ = tokio::time::timeout(within.min(Duration::from_secs(1)), self.board.progress.notified()).await;
        match self.board.failure.lock().take() {
            Some(failure) => bail!("the load was refused: {failure}"),
            None => Ok(()),
        }
    }
}
