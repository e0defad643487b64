//! The other side of a session without a socket: its client's requests post messages, and take what waits.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::Bytes;
use chatcluster_contracts::close::CloseReason;

use super::{Session, outbox::Life, ticks};

/// What became of a take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Took {
    Frames,
    /// Everything was taken, and the session is over.
    End(CloseReason),
}

impl Session {
    /// Gives a client's messages to the session's task. Waits while that has enough to do; after the end they are dropped.
    pub(crate) async fn post(&self, mut texts: Vec<String>) {
        let Some(fetched) = self.outlet.fetched() else { return };
        poll_fn(|context| if self.is_over() { Poll::Ready(()) } else { fetched.poll_post(&mut texts, context) }).await;
        self.task.wake();
    }

    /// Takes whole frames, at least one, of about `max_bytes` together. One takes at a time, and is woken by the next
    /// frame or the end.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>, max_bytes: usize, into: impl FnMut(Bytes)) -> Poll<Took> {
        if let Some(fetched) = self.outlet.fetched() {
            fetched.wait_for_more(context);
        }
        let mut outbox = self.outbox.lock();
        if outbox.is_empty() {
            return match outbox.life {
                Life::Open => Poll::Pending,
                Life::Over | Life::Broken => Poll::Ready(Took::End(outbox.closing.unwrap_or(CloseReason::Normal))),
            };
        }
        outbox.take(max_bytes, into);
        outbox.blocked_since = (!outbox.is_empty()).then(ticks::now);
        if outbox.has_room(self.common.queue_limit) {
            outbox.wake_those_waiting();
        }
        self.count_bytes(&mut outbox);
        if outbox.is_empty() && outbox.life != Life::Open {
            // its task waits for this to end
            self.task.wake();
        }
        Poll::Ready(Took::Frames)
    }

    /// The client is gone: nobody will take anything any more.
    pub(crate) fn leave(&self) {
        if let Some(fetched) = self.outlet.fetched() {
            fetched.leave();
            self.task.wake();
        }
    }
}
