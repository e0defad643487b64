//! From a frame to the socket: at once when it takes it, else by way of the queue and the session's own task.

use std::{
    io::{self, IoSlice},
    task::{Context, Poll},
};

use bytes::Bytes;
use chatcluster_contracts::{close::CloseReason, frame::ServerFrame, ids::ConversationId, seq::Seq};
use parking_lot::MutexGuard;

use super::{
    Session,
    outbox::{Life, Outbox, Priority, Queued},
    stomp::Stomp,
    ticks::{self, Tick},
};
use crate::protocol::stomp::HEART_BEAT;

/// Enough waiting bytes for a write, even in the middle of a batch.
const FLUSH_BYTES: usize = 64 * 1024;
/// Frames per vectored write.
const WRITE_FRAMES: usize = 64;

impl Session {
    /// Says something of the platform's own in the client's language.
    pub(crate) fn say(&self, frame: &ServerFrame<'_>) {
        if let Some(stomp) = self.stomp() {
            stomp.say(self, frame);
        } else if let Some(frame) = self.form().frame(frame) {
            self.send(frame);
        }
    }

    /// Says that the events `from..=head` of a conversation will not come. Nobody is told a position beyond them before
    /// that.
    pub(crate) fn resync(&self, conversation_id: &ConversationId, from: Seq, head: Seq) {
        self.say(&ServerFrame::Resync { conversation_id, from, head });
        if let (None, Some(positions)) = (self.stomp(), self.positions()) {
            positions.set(conversation_id, head);
        }
    }

    /// Gives a sign of life that was agreed on.
    pub(crate) fn beat(&self, now: Tick) {
        if let Some(stomp) = self.stomp() {
            stomp.beat(now);
            self.enqueue(self.form().carrier.text(HEART_BEAT), Priority::Ephemeral);
            self.flush();
        }
    }

    /// Sends a frame now, or as soon as the socket takes it.
    pub(crate) fn send(&self, frame: Bytes) {
        let mut outbox = self.outbox.lock();
        self.queue(&mut outbox, frame, Priority::Needed);
        self.flush_locked(&mut outbox);
    }

    /// Queues a frame for a flush that the caller promises. True when nobody else has promised it yet.
    pub(crate) fn enqueue(&self, frame: Bytes, priority: Priority) -> bool {
        let mut outbox = self.outbox.lock();
        self.queue(&mut outbox, frame, priority);
        if outbox.bytes() >= FLUSH_BYTES && outbox.blocked_since.is_none() {
            self.flush_locked(&mut outbox);
        }
        !outbox.is_empty() && !std::mem::replace(&mut outbox.dirty, true)
    }

    pub(crate) fn flush(&self) {
        let mut outbox = self.outbox.lock();
        outbox.dirty = false;
        self.flush_locked(&mut outbox);
    }

    fn queue(&self, outbox: &mut Outbox, frame: Bytes, priority: Priority) {
        let limit = self.common.queue_limit;
        #[cfg(feature = "plants")]
        let limit = if chatcluster_service::plants::planted("no-queue-limit") { usize::MAX } else { limit };
        match outbox.push(frame, priority, limit) {
            Queued::Yes | Queued::Over => {}
            Queued::Dropped(count) => {
                self.common.metrics.dropped.inc_by(count as u64);
            }
            Queued::Overflow => {
                outbox.cut();
                outbox.life = Life::Over;
                outbox.closing.get_or_insert(CloseReason::SlowConsumer);
                outbox.wake_those_waiting();
                self.task.wake();
            }
        }
    }

    /// Keeps the gateway's sum of waiting bytes right. A queue that empties at once is never counted.
    pub(super) fn count_bytes(&self, outbox: &mut Outbox) {
        let (before, after) = (outbox.counted, outbox.bytes());
        if before != after {
            let change = i64::try_from(after).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(0);
            self.common.metrics.queue_bytes.inc_by(change);
            outbox.counted = after;
        }
    }

    /// Writes as much as the socket takes.
    fn flush_locked(&self, outbox: &mut MutexGuard<'_, Outbox>) {
        while !outbox.is_empty() && outbox.life != Life::Broken {
            let written = if let Some(frame) = outbox.only() {
                self.outlet.try_write(frame)
            } else {
                let mut slices = [IoSlice::new(&[]); WRITE_FRAMES];
                let count = outbox.slices(&mut slices);
                self.outlet.try_write_vectored(&slices[..count])
            };
            match written {
                Ok(0) => outbox.life = Life::Broken,
                Ok(count) => {
                    outbox.written(count);
                    outbox.blocked_since = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if outbox.blocked_since.is_none() {
                        outbox.blocked_since = Some(ticks::now());
                        // from here on the session's own task waits for the socket
                        self.task.wake();
                    }
                    break;
                }
                Err(_) => outbox.life = Life::Broken,
            }
        }
        if outbox.life == Life::Broken {
            self.task.wake();
        }
        self.count_bytes(outbox);
    }

    /// True when nothing is left.
    pub(super) fn poll_flush_locked(&self, outbox: &mut MutexGuard<'_, Outbox>, context: &mut Context<'_>) -> bool {
        // a dirty queue is about to be flushed by whoever filled it
        while !outbox.is_empty() && outbox.life != Life::Broken && (!outbox.dirty || outbox.blocked_since.is_some()) {
            match self.outlet.poll_write_ready(context) {
                Poll::Ready(Ok(())) => self.flush_locked(outbox),
                Poll::Ready(Err(_)) => outbox.life = Life::Broken,
                Poll::Pending => return false,
            }
        }
        outbox.is_empty()
    }

    /// Waits until the queue has room, or the session is over.
    pub(crate) async fn room(&self) {
        std::future::poll_fn(|context| {
            self.outbox.lock().wait_for_room(context.waker());
            // looked at after that, so that no wake is missed
            if self.has_room() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// May more be queued now? It may when the session is over, too: then it is for nobody.
    pub(crate) fn has_room(&self) -> bool {
        let has_room = self.stomp().is_none_or(Stomp::has_room);
        let outbox = self.outbox.lock();
        (has_room && outbox.has_room(self.common.queue_limit)) || outbox.life != Life::Open || outbox.closing.is_some()
    }

    /// There may be room again.
    pub(crate) fn wake_those_waiting(&self) {
        self.outbox.lock().wake_those_waiting();
    }

    /// Takes one last frame and nothing after it.
    pub(crate) fn send_last(&self, frame: Option<Bytes>) {
        let mut outbox = self.outbox.lock();
        if outbox.life == Life::Broken {
            return;
        }
        let Some(frame) = frame else {
            outbox.life = Life::Over;
            return self.flush_locked(&mut outbox);
        };
        outbox.life = Life::Open;
        if outbox.push(frame.clone(), Priority::Needed, self.common.queue_limit) == Queued::Overflow {
            outbox.cut();
            outbox.push(frame, Priority::Needed, self.common.queue_limit);
        }
        outbox.life = Life::Over;
        self.flush_locked(&mut outbox);
    }

    /// Waits until everything queued is written, or the socket failed.
    pub(crate) async fn written(&self) {
        std::future::poll_fn(|context| {
            self.task.register(context.waker());
            let mut outbox = self.outbox.lock();
            outbox.dirty = false;
            let done = self.poll_flush_locked(&mut outbox, context) || outbox.life == Life::Broken;
            if done { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Ends the sending half: the peer reads what was sent, then the end.
    pub(crate) fn shut_write(&self) {
        self.outlet.shut_write();
    }

    /// Ends both halves for good: others may hold the session for a while longer.
    pub(crate) fn shut(&self) {
        let mut outbox = self.outbox.lock();
        outbox.life = Life::Broken;
        outbox.forget();
        self.count_bytes(&mut outbox);
        outbox.wake_those_waiting();
        drop(outbox);
        self.outlet.shut();
    }
}
