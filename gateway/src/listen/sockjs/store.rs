//! The sessions without a socket, by id: who receives from each, and how long each is remembered.

use std::{
    collections::{HashMap, hash_map},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use chatcluster_contracts::problem::{Code, Problem};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::timeout};

use super::sessions::{Departure, Opening, Service, Session};
use crate::protocol::sockjs::frames::Close;

/// A client that breaks off a request and sends the next may be faster than the news of its connection's end. The next
/// waits so long before it is told that another is still there.
const NEWS: Duration = Duration::from_millis(100);

type Entries<S> = HashMap<Box<str>, Arc<Entry<S>>>;

pub(super) struct Store<S: Service> {
    service: S,
    entries: Mutex<Entries<S::Session>>,
    max_sessions: usize,
    disconnect: Duration,
}

pub(super) struct Entry<S> {
    pub(super) session: S,
    state: Mutex<State>,
    /// The receiver came or went.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    has_receiver: bool,
    /// The open frame was sent.
    greeted: bool,
    /// The close frame, once the session is over.
    closed: Option<Bytes>,
    /// No longer in the store.
    forgotten: bool,
}

/// What a request that wants to receive gets.
pub(super) enum Attach<S: Session> {
    Receiver(Receiver<S>),
    /// Only this close frame.
    Refused(Bytes),
    NotOpened(Problem),
}

impl<S: Service> Store<S> {
    pub(super) fn new(service: S, max_sessions: usize, disconnect: Duration) -> Arc<Self> {
        Arc::new(Self { service, entries: Mutex::default(), max_sessions, disconnect })
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Entry<S::Session>>> {
        self.entries.lock().get(id).cloned()
    }

    /// Makes the request the receiver of the session, which is opened if there is none of this id.
    pub(super) async fn attach(self: &Arc<Self>, id: &str, opening: &Opening<'_>) -> Attach<S::Session> {
        let mut patient = true;
        loop {
            let entry = match self.find_or_open(id, opening).await {
                Ok(entry) => entry,
                Err(problem) => return Attach::NotOpened(problem),
            };
            let changed = entry.changed.notified();
            {
                let mut state = entry.state.lock();
                if state.forgotten {
                    continue;
                }
                // the session's end is said even while another is still being told
                if let Some(frame) = &state.closed {
                    return Attach::Refused(frame.clone());
                }
                if !state.has_receiver {
                    state.has_receiver = true;
                    entry.changed.notify_waiters();
                    drop(state);
                    return Attach::Receiver(Receiver { entry: entry.clone(), finished: false });
                }
            }
            if !patient || timeout(NEWS, changed).await.is_err() {
                return Attach::Refused(Close::ANOTHER_CONNECTION.frame());
            }
            patient = false;
        }
    }

    async fn find_or_open(
        self: &Arc<Self>,
        id: &str,
        opening: &Opening<'_>,
    ) -> Result<Arc<Entry<S::Session>>, Problem> {
        {
            let entries = self.entries.lock();
            if let Some(entry) = entries.get(id) {
                return Ok(entry.clone());
            }
            if entries.len() >= self.max_sessions {
                return Err(Problem::new(Code::Unavailable, "too many sessions; try again"));
            }
        }
        let session = self.service.open(opening).await?;
        let mut entries = self.entries.lock();
        match entries.entry(id.into()) {
            hash_map::Entry::Occupied(found) => {
                session.gone(Departure::Silent);
                Ok(found.get().clone())
            }
            hash_map::Entry::Vacant(place) => {
                let entry = Arc::new(Entry { session, state: Mutex::default(), changed: Notify::const_new() });
                place.insert(entry.clone());
                tokio::spawn(self.clone().keep(id.into(), entry.clone()));
                Ok(entry)
            }
        }
    }

    /// Forgets the session when nobody has received from it for the disconnect delay.
    async fn keep(self: Arc<Self>, id: Box<str>, entry: Arc<Entry<S::Session>>) {
        loop {
            let changed = entry.changed.notified();
            let has_receiver = entry.state.lock().has_receiver;
            if has_receiver {
                changed.await;
            } else if timeout(self.disconnect, changed).await.is_err() && entry.forget() {
                break;
            }
        }
        self.entries.lock().remove(&id);
        if entry.state.lock().closed.is_none() {
            entry.session.gone(Departure::Silent);
        }
    }
}

impl<S> Entry<S> {
    /// False: somebody receives after all.
    fn forget(&self) -> bool {
        let mut state = self.state.lock();
        state.forgotten = !state.has_receiver;
        state.forgotten
    }
}

/// The one who receives from a session. Dropped before it is [finished](Self::finish), its connection broke.
pub(super) struct Receiver<S: Session> {
    entry: Arc<Entry<S>>,
    finished: bool,
}

impl<S: Session> Receiver<S> {
    pub(super) fn session(&self) -> &S {
        &self.entry.session
    }

    /// True once in a session's life: the open frame is to be sent.
    pub(super) fn greets(&self) -> bool {
        !std::mem::replace(&mut self.entry.state.lock().greeted, true)
    }

    /// The session said that it is over; whoever receives from now on gets this frame.
    pub(super) fn close(&self, frame: Bytes) {
        self.entry.state.lock().closed = Some(frame);
    }

    /// Its response is complete; the client comes again.
    pub(super) fn finish(mut self) {
        self.finished = true;
    }
}

impl<S: Session> Drop for Receiver<S> {
    fn drop(&mut self) {
        let broken = {
            let mut state = self.entry.state.lock();
            state.has_receiver = false;
            let broken = !self.finished && state.closed.is_none();
            if broken {
                state.closed = Some(Close::INTERRUPTED.frame());
            }
            broken
        };
        self.entry.changed.notify_waiters();
        if broken {
            self.entry.session.gone(Departure::Interrupted);
        }
    }
}
