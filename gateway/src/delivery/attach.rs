//! Brings sessions into conversations: read the heads, send what was missed, join the cursor. The session was registered
//! before, so whatever is committed after the read finds its way here.

use std::{sync::Arc, time::Duration};

use chatcluster_contracts::{ids::ConversationId, position::Resume, road::RoomFacts, seq::Seq};

use super::{
    Conversation, Delivery, Entitlement, Touched, VisitNumber,
    cursor::{Arrived, Join, Recipient},
    encodings::Encodings,
    fanout::Fanout,
};
use crate::{
    session::{Noted, Priority, Session, Span, ticks},
    upstream::{Backoff, CoreError, Over},
};

/// Between two looks whether a cursor has come as far as a session that is not to join it.
const CATCH_UP: Duration = Duration::from_millis(10);

/// Conversations that a session is held in, each with what it has already, and is yet to be brought into.
pub(crate) type Placed = Vec<(Arc<Conversation>, Seq)>;

/// As whom a session is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Member,
    /// As a guest, for as long as this visit lasts; `bound`: of a room that is not open, and not beyond its membership.
    Guest {
        visit: VisitNumber,
        bound: bool,
    },
}

impl Reader {
    /// Does the session's client still want what happens in the conversation?
    fn wants(self, session: &Session, conversation: &ConversationId) -> bool {
        match self {
            Self::Member => session.covers(conversation),
            Self::Guest { .. } => session.shows_room(conversation),
        }
    }

    /// Is what is on its way for somebody else by now?
    fn is_gone(self, session: &Session, conversation: &ConversationId) -> bool {
        let Self::Guest { visit, .. } = self else { return false };
        !session.places.lock().is_on(conversation, visit)
    }
}

/// One conversation that a session is to be brought into.
#[derive(Debug)]
struct Place {
    conversation: Arc<Conversation>,
    /// The session has everything up to here…
    from: Seq,
    /// …and the conversation reached up to here when it was read.
    head: Seq,
}

impl Delivery {
    /// From now on the session counts as attaching: events of conversations it is not in are noted for it.
    pub(crate) fn begin_attach(session: &Session) {
        session.places.lock().attaching = true;
    }

    /// Reads the list of the session's conversations. Each that is `wanted` is held from here on, so that no event is lost
    /// on the way; those that the session is in already stay as they are.
    pub(crate) async fn list(
        self: &Arc<Self>,
        session: &Arc<Session>,
        resume: &Resume,
        wanted: impl Fn(&ConversationId) -> bool,
    ) -> Result<Placed, Arc<CoreError>> {
        let mut held = Vec::new();
        let Some(identity) = session.identity() else { return Ok(held) };
        let listed = self.lists.of(&identity.user, &identity.workspace).await?;
        {
            let is_listed = |id: &ConversationId| listed.iter().any(|place| place.id == *id);
            let mut places = session.places.lock();
            // where the user was a member in an earlier session: what comes late of that is not told again
            for (id, claimed) in resume.iter().filter(|(id, _)| !is_listed(id)) {
                places.leave(id, *claimed);
            }
            if let Some(positions) = session.positions() {
                positions.retain(|id| {
                    is_listed(id) || places.is_in(id) || places.is_pending(id) || places.served(id) > Seq::ZERO
                });
            }
        }
        for place in listed.into_iter().filter(|place| wanted(&place.id)) {
            // a resume position is the client's word: it may be older than the joining or newer than the head
            let claimed = resume.get(&place.id).copied().unwrap_or(place.delivered);
            #[cfg(feature = "plants")]
            let claimed = if chatcluster_service::plants::planted("resume-forgotten") { Seq::ZERO } else { claimed };
            let from = claimed.max(place.joined.previous()).min(place.head);
            let conversation = self.find_or_create(&place.id);
            conversation.state.lock().cursor.raise_head(place.head);
            if place.facts.is_broadcast(self.rooms.broadcast_above()) {
                self.listen(&conversation);
            }
            let mut places = session.places.lock();
            if places.closed || places.is_in(&place.id) || places.is_pending(&place.id) {
                drop(places);
                self.forget_if_unused(conversation);
                continue;
            }
            if let Some(positions) = session.positions() {
                positions.put(&place.id, from);
            }
            places.pending.push((conversation.clone(), from));
            held.push((conversation, from));
        }
        session.places.lock().listed = true;
        Ok(held)
    }

    /// The list was read: what was noted meanwhile is looked at, and what is new does not wait any more.
    pub(crate) fn end_attach(self: &Arc<Self>, session: &Arc<Session>) {
        session.places.lock().attaching = false;
        self.look_again(session);
    }

    /// Works through a list: backfill and join, one conversation after the other.
    pub(crate) async fn attach(self: &Arc<Self>, session: &Arc<Session>, placed: Placed) {
        for (conversation, from) in placed {
            // the cursor knows at least the head that was read
            let head = conversation.state.lock().cursor.known_head();
            self.bring_in(session, Place { conversation, from, head }).await;
            self.look_again(session);
        }
    }

    /// A recipient of some events is here but not in the conversation.
    pub(crate) fn discover(self: &Arc<Self>, user: &str, id: &ConversationId, span: Span) {
        for session in self.sessions.of_user(user).into_iter().filter(|session| session.covers(id)) {
            let conversation = self.find_or_create(id);
            let mut places = session.places.lock();
            if places.closed || places.is_in(id) {
                continue;
            }
            if places.is_busy_with(id) {
                places.note(id, span);
                continue;
            }
            let served = places.served(id);
            let Some(seq) = span.behind(served) else {
                // a repeat of what it was told before it left
                drop(places);
                self.forget_if_unused(conversation);
                continue;
            };
            places.pending.push((conversation.clone(), served));
            drop(places);
            let delivery = self.clone();
            tokio::spawn(async move {
                let visits = session.places.lock().visit(&conversation.id).is_some();
                if visits && delivery.promote(&session, &conversation).await {
                    session.places.lock().end_pending(&conversation);
                    session.settle();
                } else {
                    delivery.attach_one(&session, conversation, seq, served).await;
                }
                delivery.look_again(&session);
            });
        }
    }

    /// The session may belong into a conversation it was not listed in: ask, and bring it in. It is owed the stay that
    /// `seq` is of and all since it came, even if they are over by now; `served`: it has everything up to here.
    async fn attach_one(
        self: &Arc<Self>,
        session: &Arc<Session>,
        conversation: Arc<Conversation>,
        seq: Seq,
        served: Seq,
    ) {
        let Some(user) = session.user_id().cloned() else { return };
        let mut backoff = Backoff::short();
        let over = Over { ended_from: seq, begun_since_ms: ticks::unix_ms(session.opened) };
        let (joined, head, facts) = loop {
            match self.core.stay(&conversation.id, &user, over, served).await {
                Ok(answer) => break answer,
                Err(_) if session.is_over() => break (None, Seq::ZERO, RoomFacts::default()),
                Err(error) => {
                    tracing::warn!(%error, conversation_id = %conversation.id, "membership not read yet");
                    backoff.pause().await;
                }
            }
        };
        if joined.is_some() && facts.is_broadcast(self.rooms.broadcast_above()) {
            self.listen(&conversation);
        }
        if let Some(joined) = joined {
            // the head was read first: who joined after that is owed nothing of what lies between
            let from = joined.previous().max(served.min(head));
            let head = head.max(from);
            conversation.state.lock().cursor.raise_head(head);
            session.places.lock().advance(&conversation, from);
            self.bring_in(session, Place { conversation, from, head }).await;
        } else {
            session.places.lock().end_pending(&conversation);
            session.settle();
            self.forget_if_unused(conversation);
        }
    }

    /// What was noted while the session was busy.
    pub(crate) fn look_again(self: &Arc<Self>, session: &Arc<Session>) {
        let noted = session.places.lock().take_noted();
        let Some(user) = session.user_id() else { return };
        for Noted { id, span } in noted {
            self.raise_head(&id, span.highest);
            self.discover(user.as_str(), &id, span);
        }
    }

    /// Backfill up to the head, then join; more backfill while the cursor is further. Ends the pending entry.
    async fn bring_in(self: &Arc<Self>, session: &Arc<Session>, place: Place) {
        self.follow(session, place).await;
        session.settle();
    }

    async fn follow(self: &Arc<Self>, session: &Arc<Session>, place: Place) {
        let Place { conversation, from, head } = place;
        let (mut got, mut until) = (from, head);
        let mut entitlement = Entitlement::Member;
        loop {
            if got < until {
                let reader = Reader::Member;
                got = match self.backfill(session, &conversation, got, until, &mut entitlement, reader).await {
                    Some(got) => got,
                    None => break,
                };
            }
            let joined = match entitlement {
                Entitlement::Member | Entitlement::Anyone => self.join(session, &conversation, got),
                Entitlement::Left => Self::stay_out(session, &conversation, got),
            };
            match joined {
                Some(Join::Behind(further)) if further > got => until = further,
                Some(Join::Behind(_)) => {
                    self.fetch_if_wanted(&conversation);
                    tokio::time::sleep(CATCH_UP).await;
                }
                Some(Join::Joined) => {
                    self.fetch_if_wanted(&conversation);
                    return self.forget_if_unused(conversation);
                }
                None => break,
            }
        }
        self.forget_if_unused(conversation);
    }

    /// A session whose user left on the way ends where the cursor is, so that a later joining finds it and none that it
    /// was served already does.
    fn stay_out(session: &Arc<Session>, conversation: &Arc<Conversation>, got: Seq) -> Option<Join> {
        let mut state = conversation.state.lock();
        let mut places = session.places.lock();
        if places.closed {
            return None;
        }
        match state.cursor.served() {
            Some(served) if served != got => {
                state.cursor.raise_head(got);
                Some(Join::Behind(served))
            }
            _ => {
                places.end_pending(conversation);
                places.leave(&conversation.id, got);
                Some(Join::Joined)
            }
        }
    }

    /// Puts a session into a conversation as if it had everything up to `head`. False: the session is over.
    pub(crate) fn join_at(self: &Arc<Self>, session: &Arc<Session>, id: &ConversationId, head: Seq) -> bool {
        let conversation = self.find_or_create(id);
        matches!(self.join(session, &conversation, head), Some(Join::Joined))
    }

    /// None: the session is over, or its client does not want the conversation any more.
    fn join(self: &Arc<Self>, session: &Arc<Session>, conversation: &Arc<Conversation>, got: Seq) -> Option<Join> {
        let mut touched = Touched::default();
        let since = std::time::Instant::now();
        let mut state = conversation.state.lock();
        if session.places.lock().closed {
            return None;
        }
        conversation.will_follow(&state.cursor);
        let joined = state.cursor.join(session.clone(), got, &mut Fanout::new(self, conversation, &mut touched));
        if joined == Join::Joined {
            let mut places = session.places.lock();
            places.end_pending(conversation);
            if places.closed || !session.covers(&conversation.id) {
                // it ended just now, or wants it no more, and did not see this place: take it out again
                drop(places);
                state.cursor.leave(session);
                return None;
            }
            if state.cursor.position(session).is_some() {
                places.joined.push(conversation.clone());
            }
        }
        drop(state);
        touched.flush(since);
        Some(joined)
    }

    /// Sends the events with `got < seq <= until` to the one session, at its pace, and those that came meanwhile. Returns
    /// how far it came; `None`: the session is over, or its client does not want the conversation any more.
    pub(super) async fn backfill(
        &self,
        session: &Arc<Session>,
        conversation: &Arc<Conversation>,
        mut got: Seq,
        until: Seq,
        entitlement: &mut Entitlement,
        reader: Reader,
    ) -> Option<Seq> {
        let user = session.user_id()?.clone();
        let mut backoff = Backoff::short();
        let mut asked_again = false;
        if reader.is_gone(session, &conversation.id) {
            return None;
        }
        if until.distance_from(got) > self.resume_limit {
            self.give_up_range(session, conversation, got.next(), until);
            return Some(until);
        }
        while got < until {
            if session.is_over() {
                return None;
            }
            let page = match self.page_for_arrivals(conversation, got, until).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, conversation_id = %conversation.id, "backfill waits for core");
                    backoff.pause().await;
                    continue;
                }
            };
            if reader.is_gone(session, &conversation.id) {
                return None;
            }
            if page.oldest > got.next() && page.oldest.previous() <= page.head {
                let end = page.oldest.previous().min(until);
                self.give_up_range(session, conversation, got.next(), end);
                got = end;
            }
            let before = got;
            for event in &page.events {
                if event.seq != got.next() || event.seq > page.until {
                    break;
                }
                if reader.is_gone(session, &conversation.id) {
                    return None;
                }
                if entitlement.admits(event, &user) {
                    while !send_one(session, &conversation.id, event, reader) {
                        let mut places = session.places.lock();
                        // the client may have changed its mind again, and then nothing may be left out
                        if !reader.wants(session, &conversation.id) {
                            places.end_pending(conversation);
                            return None;
                        }
                    }
                    self.metrics.backfilled.inc();
                }
                got = event.seq;
                if !session.has_room() {
                    session.flush();
                    session.places.lock().advance(conversation, got);
                    session.room().await;
                }
            }
            session.flush();
            session.places.lock().advance(conversation, got);
            let ends_early = page.head < until && got >= page.head;
            if got == before && (ends_early || page.oldest <= got.next()) {
                backoff.pause().await;
            } else {
                backoff.reset();
            }
            // once, the page may have been asked for by somebody else before the head was there
            if ends_early && std::mem::replace(&mut asked_again, true) {
                // the head named before was not core's: go on from what there is
                return Some(got);
            }
        }
        Some(got)
    }

    fn give_up_range(&self, session: &Session, conversation: &Arc<Conversation>, from: Seq, head: Seq) {
        self.metrics.resyncs.inc();
        session.resync(&conversation.id, from, head);
        session.places.lock().advance(conversation, head);
    }
}

/// Queues one event for one session. False: it is not wanted there any more.
fn send_one(session: &Arc<Session>, conversation: &ConversationId, event: &Arrived, reader: Reader) -> bool {
    let event = std::slice::from_ref(event);
    Encodings::default().deliver(conversation, event, session, reader != Reader::Member, |frame| {
        session.enqueue(frame, Priority::Needed);
    })
}
