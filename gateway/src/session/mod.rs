//! One client connection after its upgrade: socket, queue, identity and its places in conversations. Kept small: there
//! are a million of them, most of them idle.
//!
//! Whoever has something for a client calls [`Session::say`] or [`Session::send`] or, when more may follow,
//! [`Session::enqueue`] and [`Session::flush`]. None of them ever waits: what the socket does not take at once is queued,
//! bounded by bytes, and the session's own task writes it when the socket can take more.

pub(crate) mod carrier;
pub(crate) mod commands;
mod connect;
pub(crate) mod connection;
mod deadlines;
mod fetching;
mod form;
mod goodbye;
mod outbox;
pub(crate) mod outlet;
mod places;
mod positions;
mod quota;
pub(crate) mod rate;
mod registry;
pub(crate) mod speech;
pub(crate) mod stomp;
pub(crate) mod ticks;
mod wheel;
mod workspaces;
mod writing;

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use chatcluster_contracts::{
    close::CloseReason,
    ids::{ConversationId, UserId, WorkspaceId},
    revocation::LoginId,
};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

pub(crate) use carrier::Carrier;
pub(crate) use deadlines::Deadlines;
use deadlines::Times;
pub(crate) use fetching::Took;
pub(crate) use form::{Dialect, Form, MessageLimits};
pub(crate) use outbox::Priority;
use outbox::{Life, Outbox};
pub(crate) use outlet::Outlet;
pub(crate) use places::{Noted, Places, Span};
pub(crate) use positions::Positions;
pub(crate) use quota::{Exceeded, Quota};
pub(crate) use registry::Sessions;
use stomp::Stomp;
use ticks::Tick;
pub(crate) use wheel::Wheel;
pub(crate) use workspaces::Workspaces;

use crate::{listen::Place, metrics::SessionMetrics};

/// A session is asked to say its position after so many events.
const POSITION_EVERY: u32 = 100;

/// Who a session belongs to.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) user: UserId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) expires: Tick,
    /// With which it ends too.
    pub(crate) login: Option<LoginId>,
}

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Common {
    /// Bytes that may wait for one session.
    pub(crate) queue_limit: usize,
    pub(crate) metrics: SessionMetrics,
}

pub struct Session {
    /// Names the session within this process.
    pub(crate) key: u64,
    pub(crate) outlet: Outlet,
    /// As agreed with the upgrade; [`Session::form`] says what it came to.
    agreed: Form,
    /// CONNECTED was sent.
    pub(crate) live: AtomicBool,
    /// No more commands are read: the gateway drains.
    deaf: AtomicBool,
    pub(crate) opened: Tick,
    pub(crate) heard: AtomicU32,
    pub(crate) pinged: AtomicU32,
    pub(crate) timer: AtomicU32,
    /// Since when a message has been arriving; 0: none is.
    pub(crate) partial_since: AtomicU32,
    /// Events since the last POSITION.
    events: AtomicU32,
    /// Sends that core has not answered yet.
    pub(crate) unanswered: AtomicU32,
    outbox: Mutex<Outbox>,
    /// The session's own task.
    task: AtomicWaker,
    identity: OnceLock<Identity>,
    pub(crate) places: Mutex<Places>,
    /// Kept for clients whose every message names the position after it.
    positions: OnceLock<Box<Positions>>,
    /// What a session that speaks STOMP is besides.
    stomp: OnceLock<Box<Stomp>>,
    /// Kept where addresses are limited.
    place: Option<Box<Place>>,
    common: Arc<Common>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("key", &self.key).finish_non_exhaustive()
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
    pub(crate) fn new(key: u64, outlet: Outlet, form: Form, place: Option<Place>, common: Arc<Common>) -> Self {
        let now = ticks::now();
        let session = Self {
            key,
            outlet,
            agreed: form,
            live: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            opened: now,
            heard: AtomicU32::new(now),
            pinged: AtomicU32::new(0),
            timer: AtomicU32::new(0),
            partial_since: AtomicU32::new(0),
            events: AtomicU32::new(0),
            unanswered: AtomicU32::new(0),
            outbox: Mutex::new(Outbox::new()),
            task: AtomicWaker::new(),
            identity: OnceLock::new(),
            places: Mutex::default(),
            positions: OnceLock::new(),
            stomp: OnceLock::new(),
            place: place.map(Box::new),
            common,
        };
        if form.names_positions() {
            session.positions.get_or_init(Box::default);
        }
        if form.dialect.is_stomp() {
            session.stomp.get_or_init(|| Box::new(Stomp::new()));
        }
        session
    }

    pub(crate) fn form(&self) -> Form {
        match (self.agreed.dialect, self.stomp.get()) {
            (Dialect::Native, Some(_)) => Form { dialect: Dialect::Stomp, ..self.agreed },
            _ => self.agreed,
        }
    }

    /// Its first words are STOMP, though nobody spoke of it at the upgrade: as Spring's client does, and others.
    fn turn_to_stomp(&self) {
        self.positions.get_or_init(Box::default);
        self.stomp.get_or_init(|| Box::new(Stomp::new()));
    }

    /// Kept for clients whose every message names the position after it.
    pub(crate) fn positions(&self) -> Option<&Positions> {
        self.positions.get().map(|positions| &**positions)
    }

    pub(crate) fn stomp(&self) -> Option<&Stomp> {
        self.stomp.get().map(|stomp| &**stomp)
    }

    /// Where the client is, if that matters here.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.place.as_ref().map(|place| place.address)
    }

    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.get()
    }

    /// Set once, by the CONNECT that was accepted.
    pub(crate) fn identify(&self, identity: Identity) -> Result<(), Identity> {
        self.identity.set(identity)
    }

    /// Counts events for the POSITION that follows every so many.
    pub(crate) fn count_events(&self, count: u32) {
        let before = self.events.fetch_add(count, Ordering::Relaxed);
        if before < POSITION_EVERY && before + count >= POSITION_EVERY {
            self.task.wake();
        }
    }

    /// Says the position although nothing has happened: what a new session is up to date with.
    pub(crate) fn ask_for_first_position(&self) {
        self.events.fetch_max(POSITION_EVERY, Ordering::Relaxed);
        self.task.wake();
    }

    pub(crate) fn ask_for_position(&self) {
        // nothing to say when nothing happened since the last one
        if self.events.load(Ordering::Relaxed) > 0 {
            self.events.fetch_max(POSITION_EVERY, Ordering::Relaxed);
            self.task.wake();
        }
    }

    /// Asks for the end of this session; the first reason counts.
    pub(crate) fn close(&self, reason: CloseReason) {
        let mut outbox = self.outbox.lock();
        outbox.closing.get_or_insert(reason);
        outbox.wake_those_waiting();
        drop(outbox);
        self.task.wake();
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

    pub(crate) fn times(&self) -> Times {
        let partial_since = self.partial_since.load(Ordering::Relaxed);
        Times {
            opened: self.opened,
            connected: self.identity.get().is_some(),
            heard: self.heard.load(Ordering::Relaxed),
            answers: self.form().carrier.answers_pings(),
            pinged: self.pinged.load(Ordering::Relaxed),
            expires: self.identity.get().map(|identity| identity.expires),
            partial_since: (partial_since != 0).then_some(partial_since),
            blocked_since: self.outbox.lock().blocked_since,
            beats: self.stomp().map(Stomp::beats).unwrap_or_default(),
        }
    }

    /// Does the client want what happens in the conversation? Who speaks STOMP says so by its subscriptions.
    pub(crate) fn covers(&self, conversation: &ConversationId) -> bool {
        self.stomp().is_none_or(|stomp| stomp.covers(conversation))
    }

    /// Does the client want to see what happens in a room that it visits?
    pub(crate) fn shows_room(&self, room: &ConversationId) -> bool {
        self.stomp().is_none_or(|stomp| stomp.shows_room(room))
    }

    /// Something that the client asked for may be complete.
    pub(crate) fn settle(&self) {
        if let Some(stomp) = self.stomp() {
            stomp.settle(self);
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
            if outbox.has_room(self.common.queue_limit) {
                outbox.wake_those_waiting();
            }
        }
        if self.events.load(Ordering::Relaxed) >= POSITION_EVERY {
            self.events.store(0, Ordering::Relaxed);
            return Poll::Ready(Turn::Position);
        }
        if self.deaf.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        match self.outlet.poll_read_ready(context) {
            Poll::Ready(Ok(())) => Poll::Ready(Turn::Read),
            Poll::Ready(Err(_)) => Poll::Ready(Turn::Broken),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Reads what is there, without waiting.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.outlet.try_read(buffer)
    }

    /// Waits until the socket has something to read, or has failed.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        std::future::poll_fn(|context| self.outlet.poll_read_ready(context)).await
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
