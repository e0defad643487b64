//! Those who hear a room's records.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use chatcluster_contracts::{
    ids::ConversationId,
    log_id::LogId,
    problem::{Code, Problem},
};
use chatcluster_transport::{channels::Page, gateway_streams::StreamError};

use super::{
    PAGE, Room, Rooms, Seat,
    frames::{Frames, gap},
    records::Out,
};
use crate::{delivery::Touched, session::Session, upstream::Backoff};

/// Attempts to read the log for a session that comes.
const ATTEMPTS: usize = 5;

struct Listener {
    session: Arc<Session>,
    /// It knows everything up to here.
    after: LogId,
}

/// By the keys of their sessions.
#[derive(Default)]
pub(super) struct Listeners(HashMap<u64, Listener>);

/// What a visitor wants of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Past {
    Nothing,
    /// So many of the last records.
    Last(usize),
    /// Those behind the one of this id.
    Since(String),
}

impl Listeners {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, session: &Arc<Session>, after: LogId) {
        self.0.insert(session.key, Listener { session: session.clone(), after });
    }

    pub(super) fn remove(&mut self, session: &Session) -> bool {
        self.0.remove(&session.key).is_some()
    }

    /// Hands out what is due. Answers how many frames that were.
    pub(super) fn tell(&self, room: &ConversationId, out: &[Out], touched: &mut Touched) -> u64 {
        let mut deliveries = 0;
        for out in out {
            match out {
                Out::Record(record) => {
                    let mut frames = Frames::new(room, &record.frame);
                    let listening = self.0.values().filter(|listener| listener.after < record.id);
                    for listener in listening {
                        frames.hand_to(&listener.session, touched);
                        #[cfg(feature = "plants")]
                        if chatcluster_service::plants::planted_once_in("record-twice", 50) {
                            frames.hand_to(&listener.session, touched);
                        }
                        deliveries += 1;
                    }
                }
                Out::Gap(after) => {
                    for listener in self.0.values().filter(|listener| listener.after <= *after) {
                        gap(room, None, &listener.session);
                    }
                }
            }
        }
        deliveries
    }

    /// What was published by hand has no place in any order.
    pub(super) fn tell_foreign(&self, room: &ConversationId, frame: &Bytes, touched: &mut Touched) -> u64 {
        let mut frames = Frames::new(room, frame);
        for listener in self.0.values() {
            frames.hand_to(&listener.session, touched);
        }
        self.0.len() as u64
    }
}

impl Rooms {
    /// The session does not hear the room's records any more.
    pub(crate) fn unhear(&self, id: &ConversationId, session: &Session) {
        let Some(room) = self.find(id.as_str()) else { return };
        let mut state = room.state.lock();
        if state.listeners.remove(session) {
            self.metrics.room_listeners.dec();
        }
        state.rest_if_unheard();
    }

    /// From here on nothing that comes into the room is lost on the session, which may be told that it is in. The room is
    /// listened to.
    pub(crate) async fn expect<'a>(&self, seat: &'a Seat) -> Result<Expected<'a>, Problem> {
        let room = &seat.room;
        room.state.lock().expecting += 1;
        let mut expected = Expected { room, from: LogId::default() };
        if room.state.lock().records.at().is_none() {
            let log = self.keys.room_log(&room.id);
            let end = self.read(&log, Piece::Last(0)).await.map_err(|error| unreachable(&error))?.reached;
            self.update(room, &mut Touched::default(), |records, out| records.begin(end, out));
        }
        expected.from = room.state.lock().records.at().unwrap_or_default();
        Ok(expected)
    }

    /// The session hears the room's records from there on, after those of the past that it asked for, as long as it is
    /// `wanted`. False: it was not to the end.
    pub(crate) async fn hear(
        &self,
        expected: Expected<'_>,
        session: &Arc<Session>,
        past: &Past,
        wanted: impl Fn() -> bool,
    ) -> Result<bool, Problem> {
        let room = expected.room;
        let log = self.keys.room_log(&room.id);
        let unreachable = |error: StreamError| unreachable(&error);
        let mut page = match past {
            // whoever asks for nothing of the past begins where the others were then
            Past::Nothing => Page { reached: expected.from, ..Page::default() },
            Past::Last(count) => self.read(&log, Piece::Last(*count)).await.map_err(unreachable)?,
            Past::Since(id) => self.since(&room.id, &log, id, session).await.map_err(unreachable)?,
        };
        loop {
            for entry in &page.entries {
                if !wanted() {
                    return Ok(false);
                }
                let mut touched = Touched::default();
                Frames::new(&room.id, &entry.payload).hand_to(session, &mut touched);
                drop(touched);
                if !session.has_room() {
                    session.room().await;
                }
            }
            self.metrics.room_replayed.inc_by(page.entries.len() as u64);
            if session.is_over() || !wanted() {
                return Ok(false);
            }
            let reached = page.reached;
            let others = {
                let mut state = room.state.lock();
                let at = state.records.at().unwrap_or_default();
                if !page.more && reached >= at {
                    state.listeners.add(session, reached);
                    self.metrics.room_listeners.inc();
                    return Ok(true);
                }
                at
            };
            page = self.read(&log, Piece::After(reached)).await.map_err(unreachable)?;
            if !page.more && page.reached < others {
                // what the others have heard is in no log any more
                gap(&room.id, None, session);
                page.reached = others;
            }
        }
    }

    /// What came behind the record of this id; everything there is, and a word, when that one is not there any more.
    async fn since(&self, room: &ConversationId, log: &str, id: &str, session: &Session) -> Result<Page, StreamError> {
        let (mut behind, mut is_found) = (Page::default(), false);
        loop {
            let page = self.read(log, Piece::After(behind.reached)).await?;
            behind.reached = page.reached;
            for entry in page.entries {
                if entry.token == id {
                    is_found = true;
                    behind.entries.clear();
                } else {
                    behind.entries.push(entry);
                }
            }
            if !page.more {
                break;
            }
        }
        if !is_found {
            gap(room, Some(id), session);
        }
        Ok(behind)
    }

    async fn read(&self, log: &str, piece: Piece) -> Result<Page, StreamError> {
        let mut backoff = Backoff::short();
        let mut attempts = 0;
        loop {
            let page = match piece {
                Piece::Last(count) => self.logs.last(log, count).await,
                Piece::After(after) => self.logs.after(log, after, PAGE).await,
            };
            attempts += 1;
            if page.is_ok() || attempts == ATTEMPTS {
                return page;
            }
            backoff.pause().await;
        }
    }
}

/// Somebody is about to listen: what comes is to be kept.
pub(crate) struct Expected<'a> {
    room: &'a Room,
    /// Everything behind this is for it.
    from: LogId,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        let mut state = self.room.state.lock();
        state.expecting -= 1;
        state.rest_if_unheard();
    }
}

fn unreachable(error: &StreamError) -> Problem {
    tracing::warn!(%error, "the log of a room is not reached");
    Problem::new(Code::Unavailable, "the records of the room cannot be read now; try again")
}

/// A piece of a log.
#[derive(Debug, Clone, Copy)]
enum Piece {
    Last(usize),
    After(LogId),
}
