//! Brings sessions into conversations: read the heads, send what was missed, join the cursor. The session was registered
//! before, so whatever is committed after the read finds its way here.

use std::{sync::Arc, time::Duration};

use chatcluster_contracts::{frame::ServerFrame, ids::ConversationId, position::Resume, seq::Seq};

use super::{
    Conversation, Delivery, Entitlement, Touched,
    cursor::{Join, Recipient},
    encodings::Encodings,
    fanout::Fanout,
};
use crate::{
    session::{Priority, Session},
    upstream::{Backoff, CoreError},
};

/// Between two looks whether a cursor has come as far as a session that is not to join it.
const CATCH_UP: Duration = Duration::from_millis(10);

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

    /// Reads the list of the session's conversations. Each is held from here on, so that no event is lost on the way.
    pub(crate) async fn list(&self, session: &Arc<Session>, resume: &Resume) -> Result<(), CoreError> {
        let Some(identity) = session.identity() else { return Ok(()) };
        let listed = self.core.conversations(&identity.user, &identity.workspace).await?;
        for place in listed {
            // a resume position is the client's word: it may be older than the joining or newer than the head
            let claimed = resume.get(&place.id).copied().unwrap_or(place.delivered);
            let from = claimed.max(place.joined.previous()).min(place.head);
            let conversation = self.find_or_create(&place.id);
            conversation.state.lock().cursor.raise_head(place.head);
            let mut places = session.places.lock();
            if places.closed {
                drop(places);
                self.forget_if_unused(conversation);
                return Ok(());
            }
            if let Some(positions) = &session.positions {
                positions.set(&place.id, from);
            }
            places.pending.push((conversation, from));
        }
        session.places.lock().listed = true;
        Ok(())
    }

    /// Works through the list: backfill and join, one conversation after the other. CONNECTED was said, so what is new
    /// meanwhile need not wait for it.
    pub(crate) async fn attach(self: &Arc<Self>, session: &Arc<Session>) {
        let pending = {
            let mut places = session.places.lock();
            places.attaching = false;
            places.pending.clone()
        };
        self.look_again(session);
        for (conversation, from) in pending {
            // the cursor knows at least the head that was read
            let head = conversation.state.lock().cursor.known_head();
            self.bring_in(session, Place { conversation, from, head }).await;
            self.look_again(session);
        }
    }

    /// A recipient of `seq` is here but not in the conversation.
    pub(crate) fn discover(self: &Arc<Self>, user: &str, id: &ConversationId, seq: Seq) {
        for session in self.sessions.of_user(user) {
            let conversation = self.find_or_create(id);
            let mut places = session.places.lock();
            if places.closed || places.is_in(id) {
                continue;
            }
            if places.is_busy_with(id) {
                places.note(id, seq);
                continue;
            }
            places.pending.push((conversation.clone(), Seq::ZERO));
            drop(places);
            let delivery = self.clone();
            tokio::spawn(async move {
                delivery.attach_one(&session, conversation).await;
                delivery.look_again(&session);
            });
        }
    }

    /// The session may belong into a conversation it was not listed in: ask, and bring it in.
    async fn attach_one(self: &Arc<Self>, session: &Arc<Session>, conversation: Arc<Conversation>) {
        let Some(user) = session.user_id().cloned() else { return };
        let mut backoff = Backoff::short();
        let (joined, head) = loop {
            match self.core.memberships(&conversation.id, std::slice::from_ref(&user)).await {
                Ok((memberships, head)) => break (memberships.get(&user).copied(), head),
                Err(_) if session.is_over() => break (None, Seq::ZERO),
                Err(error) => {
                    tracing::warn!(%error, conversation_id = %conversation.id, "membership not read yet");
                    backoff.pause().await;
                }
            }
        };
        if let Some(joined) = joined {
            let from = joined.previous().min(head);
            session.places.lock().advance(&conversation, from);
            self.bring_in(session, Place { conversation, from, head }).await;
        } else {
            session.places.lock().end_pending(&conversation);
            self.forget_if_unused(conversation);
        }
    }

    /// What was noted while the session was busy.
    fn look_again(self: &Arc<Self>, session: &Arc<Session>) {
        let noted = session.places.lock().take_noted();
        let Some(user) = session.user_id() else { return };
        for (id, seq) in noted {
            self.raise_head(&id, seq);
            self.discover(user.as_str(), &id, seq);
        }
    }

    /// Backfill up to the head, then join; more backfill while the cursor is further. Ends the pending entry.
    async fn bring_in(self: &Arc<Self>, session: &Arc<Session>, place: Place) {
        let Place { conversation, from, head } = place;
        let (mut got, mut until) = (from, head);
        let mut entitlement = Entitlement::Member;
        loop {
            if got < until {
                got = match self.backfill(session, &conversation, got, until, &mut entitlement).await {
                    Some(got) => got,
                    None => break,
                };
            }
            let joined = match entitlement {
                Entitlement::Member => self.join(session, &conversation, got),
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
        session.places.lock().end_pending(&conversation);
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
                Some(Join::Joined)
            }
        }
    }

    /// Puts a session into a conversation as if it had everything up to `head`. False: the session is over.
    pub(crate) fn join_at(&self, session: &Arc<Session>, id: &ConversationId, head: Seq) -> bool {
        let conversation = self.find_or_create(id);
        matches!(self.join(session, &conversation, head), Some(Join::Joined))
    }

    /// None: the session is over.
    fn join(&self, session: &Arc<Session>, conversation: &Arc<Conversation>, got: Seq) -> Option<Join> {
        let mut touched = Touched::default();
        let since = std::time::Instant::now();
        let mut state = conversation.state.lock();
        if session.places.lock().closed {
            return None;
        }
        let joined = state.cursor.join(session.clone(), got, &mut Fanout::new(self, conversation, &mut touched));
        if joined == Join::Joined {
            let mut places = session.places.lock();
            places.end_pending(conversation);
            if places.closed {
                // it ended just now and did not see this place: take it out again
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

    /// Sends the events with `got < seq <= until` to the one session, at its pace. Returns how far it came; `None`: the
    /// session is over.
    async fn backfill(
        &self,
        session: &Arc<Session>,
        conversation: &Arc<Conversation>,
        mut got: Seq,
        until: Seq,
        entitlement: &mut Entitlement,
    ) -> Option<Seq> {
        let user = session.user_id()?.clone();
        let mut backoff = Backoff::short();
        if until.distance_from(got) > self.resume_limit {
            self.give_up_range(session, conversation, got.next(), until);
            return Some(until);
        }
        while got < until {
            if session.is_over() {
                return None;
            }
            let page = match self.core.events(&conversation.id, got, until).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, conversation_id = %conversation.id, "backfill waits for core");
                    backoff.pause().await;
                    continue;
                }
            };
            if page.oldest > got.next() && page.oldest.previous() <= page.head {
                let end = page.oldest.previous().min(until);
                self.give_up_range(session, conversation, got.next(), end);
                got = end;
            }
            let before = got;
            for event in page.events {
                if event.seq != got.next() || event.seq > until {
                    break;
                }
                got = event.seq;
                if entitlement.admits(&event, &user) {
                    self.metrics.backfilled.inc();
                    let event = std::slice::from_ref(&event);
                    let frame = Encodings::default().of(&conversation.id, event, session);
                    session.enqueue(frame, Priority::Needed);
                    session.count_events(1);
                }
                if !session.has_room() {
                    session.flush();
                    session.places.lock().advance(conversation, got);
                    session.room().await;
                }
            }
            session.flush();
            session.places.lock().advance(conversation, got);
            if page.head < until && got >= page.head {
                // the head named before was not core's: go on from what there is
                if got == before {
                    backoff.pause().await;
                }
                return Some(got);
            }
            if got == before && page.oldest <= got.next() {
                backoff.pause().await;
            } else {
                backoff.reset();
            }
        }
        Some(got)
    }

    fn give_up_range(&self, session: &Session, conversation: &Arc<Conversation>, from: Seq, head: Seq) {
        self.metrics.resyncs.inc();
        if let Some(positions) = &session.positions {
            positions.set(&conversation.id, head);
        }
        session.say(&ServerFrame::Resync { conversation_id: &conversation.id, from, head });
        session.places.lock().advance(conversation, head);
    }
}
