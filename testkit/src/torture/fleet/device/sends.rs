//! What a device has sent and not been answered yet.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::Message;

use super::Device;
use crate::torture::history::Name;
use crate::torture::socket::Socket;

/// An attempt that is not answered by then is made again.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// After so many attempts on one connection, another gateway may know better.
const ATTEMPTS: u32 = 3;
/// A server that takes nothing must not hold up the rest.
const SENT_WITHIN: Duration = Duration::from_secs(5);

/// A message on its way.
#[derive(Clone, Debug)]
pub(in crate::torture::fleet) struct Outgoing {
    /// Its place in the history.
    pub(in crate::torture::fleet) sending: usize,
    pub(in crate::torture::fleet) client_msg_id: String,
    pub(in crate::torture::fleet) conversation: Name,
    pub(in crate::torture::fleet) content: String,
    /// It is said twice at once, as a nervous client does.
    pub(in crate::torture::fleet) twice: bool,
}

pub(super) struct Pending {
    message: Outgoing,
    last: Instant,
    attempts: u32,
}

impl Pending {
    /// The next look finds it overdue, after `pause`.
    fn due_in(&mut self, pause: Duration) {
        self.last = Instant::now().checked_sub(ANSWER_WITHIN.saturating_sub(pause)).unwrap_or(self.last);
        self.attempts = 0;
    }
}

impl Device {
    /// A new connection: what was not answered goes out again.
    pub(super) fn all_is_due(&mut self) {
        self.pending.values_mut().for_each(|pending| pending.due_in(Duration::ZERO));
    }

    pub(super) async fn send(&mut self, socket: &mut Socket, message: Outgoing) -> Result<()> {
        let (id, twice) = (message.client_msg_id.clone(), message.twice);
        self.pending.insert(id.clone(), Pending { message, last: Instant::now(), attempts: 0 });
        for _ in 0..=u8::from(twice) {
            self.attempt(socket, &id).await?;
        }
        Ok(())
    }

    async fn attempt(&mut self, socket: &mut Socket, id: &str) -> Result<()> {
        let Some(pending) = self.pending.get_mut(id) else { return Ok(()) };
        (pending.last, pending.attempts) = (Instant::now(), pending.attempts + 1);
        let message = &pending.message;
        self.common.recorder.attempt(message.sending);
        let words = self.dialect.send(id, &message.conversation, &message.content);
        let sending = tokio::time::timeout(SENT_WITHIN, socket.send(Message::text(words)));
        sending.await.context("not sent in time")?.context("not sent")
    }

    /// Attempts whose answer is overdue; an error when this connection has had its chances.
    pub(super) async fn send_again(&mut self, socket: &mut Socket) -> Result<()> {
        let due = self.pending.iter().filter(|(_, pending)| pending.last.elapsed() >= ANSWER_WITHIN);
        let due: Vec<String> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            if self.pending.get(&id).is_some_and(|pending| pending.attempts >= ATTEMPTS) {
                bail!("no answer");
            }
            self.attempt(socket, &id).await?;
        }
        Ok(())
    }

    pub(super) fn stored(&mut self, client_msg_id: &str, conversation: &str, message_id: &str, seq: u64) {
        let Some(pending) = self.pending.get_mut(client_msg_id) else { return };
        self.common.recorder.acknowledged(pending.message.sending, conversation, message_id, seq);
        if pending.message.twice {
            // the second answer is wanted too
            pending.message.twice = false;
        } else {
            self.pending.remove(client_msg_id);
        }
    }

    pub(super) fn refused(&mut self, client_msg_id: &str, code: &str) {
        let Some(pending) = self.pending.get_mut(client_msg_id) else { return };
        if matches!(code, "unavailable" | "rate_limited" | "internal") {
            // soon again, but not at once
            pending.due_in(ANSWER_WITHIN / 10);
        } else {
            self.common.recorder.refused(pending.message.sending, code);
            self.pending.remove(client_msg_id);
        }
    }
}
