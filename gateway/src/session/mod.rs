//! One client connection after its upgrade: socket, queue, identity and its places in conversations. Kept small: there
//! are a million of them, most of them idle.
//!
//! Whoever has something for a client calls [`Session::send`] or, when more may follow, [`Session::enqueue`] and
//! [`Session::flush`]. Neither ever waits: what the socket does not take at once is queued, bounded by bytes, and the
//! session's own task writes it when the socket can take more.

pub(crate) mod commands;
mod connect;
pub(crate) mod connection;
mod deadlines;
mod outbox;
mod places;
mod rate;
mod registry;
pub(crate) mod ticks;
mod wheel;

use std::{
    io::{self, IoSlice},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use chatcluster_contracts::{
    close::CloseReason,
    ids::{ConnectionId, UserId, WorkspaceId},
};
use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use tokio::{net::TcpStream, sync::Notify};

pub(crate) use deadlines::Deadlines;
use deadlines::Times;
pub(crate) use outbox::Priority;
use outbox::{Life, Outbox, Queued};
pub(crate) use places::Places;
pub(crate) use registry::Sessions;
use ticks::Tick;
pub(crate) use wheel::Wheel;

use crate::metrics::SessionMetrics;

/// A session is asked to say its position after so many events.
const POSITION_EVERY: u32 = 100;
/// Enough waiting bytes for a write, even in the middle of a batch.
const FLUSH_BYTES: usize = 64 * 1024;
/// Frames per vectored write.
const WRITE_FRAMES: usize = 64;

/// Who a session belongs to.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) user: UserId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) expires: Tick,
}

pub struct Session {
    pub(crate) id: ConnectionId,
    /// Names the session within this process.
    pub(crate) key: u64,
    pub(crate) opened: Tick,
    /// Milliseconds since the Unix epoch.
    pub(crate) connected_at_ms: i64,
    stream: TcpStream,
    outbox: Mutex<Outbox>,
    /// The session's own task.
    task: AtomicWaker,
    /// The queue has room again.
    pub(crate) room: Notify,
    identity: OnceLock<Identity>,
    pub(crate) places: Mutex<Places>,
    pub(crate) heard: AtomicU32,
    pub(crate) pinged: AtomicU32,
    pub(crate) timer: AtomicU32,
    /// Events since the last POSITION.
    events: AtomicU32,
    /// Sends that core has not answered yet.
    pub(crate) unanswered: AtomicU32,
    /// CONNECTED was sent.
    pub(crate) live: AtomicBool,
    /// No more commands are read: the gateway drains.
    deaf: AtomicBool,
    metrics: Arc<SessionMetrics>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What the session's task is to do.
#[derive(Debug)]
pub(crate) enum Turn {
    /// There may be bytes to read.
    Read,
    /// The client is to be told its position.
    Position,
    Close(CloseReason),
    /// The socket failed.
    Broken,
}

impl Session {
    pub(crate) fn new(
        id: ConnectionId,
        key: u64,
        stream: TcpStream,
        queue_limit: usize,
        metrics: Arc<SessionMetrics>,
    ) -> Self {
        let now = ticks::now();
        Self {
            id,
            key,
            opened: now,
            connected_at_ms: jiff::Timestamp::now().as_millisecond(),
            stream,
            outbox: Mutex::new(Outbox::new(queue_limit)),
            task: AtomicWaker::new(),
            room: Notify::const_new(),
            identity: OnceLock::new(),
            places: Mutex::default(),
            heard: AtomicU32::new(now),
            pinged: AtomicU32::new(0),
            timer: AtomicU32::new(0),
            events: AtomicU32::new(0),
            unanswered: AtomicU32::new(0),
            live: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            metrics,
        }
    }

    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.get()
    }

    /// Set once, by the CONNECT that was accepted.
    pub(crate) fn identify(&self, identity: Identity) -> Result<(), Identity> {
        self.identity.set(identity)
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

    /// Counts an event for the POSITION that follows every so many.
    pub(crate) fn count_event(&self) {
        if self.events.fetch_add(1, Ordering::Relaxed) + 1 == POSITION_EVERY {
            self.task.wake();
        }
    }

    pub(crate) fn ask_for_position(&self) {
        // nothing to say when nothing happened since the last one
        if self.events.load(Ordering::Relaxed) > 0 {
            self.events.fetch_max(POSITION_EVERY, Ordering::Relaxed);
            self.task.wake();
        }
    }

    pub(crate) fn flush(&self) {
        let mut outbox = self.outbox.lock();
        outbox.dirty = false;
        self.flush_locked(&mut outbox);
    }

    fn queue(&self, outbox: &mut Outbox, frame: Bytes, priority: Priority) {
        let before = outbox.bytes();
        match outbox.push(frame, priority) {
            Queued::Yes | Queued::Over => {}
            Queued::Dropped(count) => {
                self.metrics.dropped.inc_by(count as u64);
            }
            Queued::Overflow => {
                outbox.cut();
                outbox.life = Life::Over;
                outbox.closing.get_or_insert(CloseReason::SlowConsumer);
                self.task.wake();
            }
        }
        self.count_bytes(before, outbox.bytes());
    }

    fn count_bytes(&self, before: usize, after: usize) {
        self.metrics.queue_bytes.inc_by(i64::try_from(after).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(0));
    }

    /// Writes as much as the socket takes. Returns true when nothing is left.
    fn flush_locked(&self, outbox: &mut MutexGuard<'_, Outbox>) -> bool {
        let before = outbox.bytes();
        while !outbox.is_empty() && outbox.life != Life::Broken {
            let mut slices = [IoSlice::new(&[]); WRITE_FRAMES];
            let count = outbox.slices(&mut slices);
            let written = match &slices[..count] {
                [one] => self.stream.try_write(one),
                many => self.stream.try_write_vectored(many),
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
        self.count_bytes(before, outbox.bytes());
        outbox.is_empty()
    }

    /// Asks for the end of this session; the first reason counts.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.outbox.lock().closing.get_or_insert(reason);
        self.task.wake();
        self.room.notify_waiters();
    }

    /// Is the session on its way out?
    pub(crate) fn is_over(&self) -> bool {
        let outbox = self.outbox.lock();
        outbox.life != Life::Open || outbox.closing.is_some()
    }

    /// No more commands are read.
    pub(crate) fn stop_reading(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_room(&self) -> bool {
        let outbox = self.outbox.lock();
        outbox.has_room() || outbox.life != Life::Open || outbox.closing.is_some()
    }

    pub(crate) fn times(&self) -> Times {
        Times {
            opened: self.opened,
            connected: self.identity.get().is_some(),
            heard: self.heard.load(Ordering::Relaxed),
            pinged: self.pinged.load(Ordering::Relaxed),
            expires: self.identity.get().map(|identity| identity.expires),
            blocked_since: self.outbox.lock().blocked_since,
        }
    }

    /// Waits, on the session's own task only, for something to do; writes what is queued meanwhile.
    pub(crate) fn poll_turn(&self, context: &mut Context<'_>) -> Poll<Turn> {
        self.task.register(context.waker());
        {
            let mut outbox = self.outbox.lock();
            if let Some(reason) = outbox.closing {
                return Poll::Ready(Turn::Close(reason));
            }
            self.poll_flush_locked(&mut outbox, context);
            if outbox.life == Life::Broken {
                return Poll::Ready(Turn::Broken);
            }
            if outbox.has_room() {
                self.room.notify_waiters();
            }
        }
        if self.events.load(Ordering::Relaxed) >= POSITION_EVERY {
            self.events.store(0, Ordering::Relaxed);
            return Poll::Ready(Turn::Position);
        }
        if self.deaf.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        match self.stream.poll_read_ready(context) {
            Poll::Ready(Ok(())) => Poll::Ready(Turn::Read),
            Poll::Ready(Err(_)) => Poll::Ready(Turn::Broken),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_flush_locked(&self, outbox: &mut MutexGuard<'_, Outbox>, context: &mut Context<'_>) -> bool {
        // a dirty queue is about to be flushed by whoever filled it
        while !outbox.is_empty() && outbox.life != Life::Broken && (!outbox.dirty || outbox.blocked_since.is_some()) {
            match self.stream.poll_write_ready(context) {
                Poll::Ready(Ok(())) => drop(self.flush_locked(outbox)),
                Poll::Ready(Err(_)) => outbox.life = Life::Broken,
                Poll::Pending => return false,
            }
        }
        outbox.is_empty()
    }

    /// Reads what is there, without waiting.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.try_read(buffer)
    }

    /// Takes one last frame and nothing after it.
    pub(crate) fn send_last(&self, frame: Bytes) {
        let mut outbox = self.outbox.lock();
        if outbox.life == Life::Broken {
            return;
        }
        outbox.life = Life::Open;
        let before = outbox.bytes();
        if outbox.push(frame.clone(), Priority::Needed) == Queued::Overflow {
            outbox.cut();
            outbox.push(frame, Priority::Needed);
        }
        self.count_bytes(before, outbox.bytes());
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

    /// Waits until the socket has something to read, or has failed.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        std::future::poll_fn(|context| self.stream.poll_read_ready(context)).await
    }

    /// Ends the sending half: the peer reads what was sent, then the end.
    pub(crate) fn shut_write(&self) {
        // the peer may be gone already, which is what is wanted
        let _ = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Write);
    }

    /// Ends both halves for good: others may hold the session for a while longer.
    pub(crate) fn shut(&self) {
        let mut outbox = self.outbox.lock();
        let before = outbox.bytes();
        outbox.life = Life::Broken;
        outbox.cut();
        self.count_bytes(before, 0);
        drop(outbox);
        self.room.notify_waiters();
        let _ = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both);
    }
}

impl crate::delivery::cursor::Recipient for Arc<Session> {
    fn user_id(&self) -> Option<&UserId> {
        self.identity.get().map(|identity| &identity.user)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }
}
