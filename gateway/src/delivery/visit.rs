//! Sessions that visit a room for as long as they last: they hear what happens in the conversation from then on, member or
//! not, and what others put on `message.created`.
//!
//! The order is that of [`attach`](super::attach): the room is listened to, the head is read, what the session asked for of
//! the past is sent, and then it joins the cursor.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chatcluster_contracts::{
    frame::{Join as Frame, ServerFrame},
    ids::ConversationId,
    problem::{Code, Problem},
    seq::Seq,
};

use super::{
    Conversation, Delivery, Entitlement, Touched,
    attach::Reader,
    cursor::{Join, Recipient},
    fanout::Fanout,
};
use crate::{
    rooms::{Past, Seat},
    session::{Identity, Session},
    upstream::{Backoff, Over},
};

/// Rooms that one session visits.
const MAX_VISITS: usize = 64;
/// Between two looks whether a session is brought into the conversation as a member's right now.
const BUSY: Duration = Duration::from_millis(10);

/// Which visit it is, of all that ever were: what is still on its way for one that is over is not for the next one.
pub(crate) type VisitNumber = u64;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// One visit, kept among the session's places.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) id: ConversationId,
    pub(crate) number: VisitNumber,
    /// The session is a guest of the cursor, or there is none.
    pub(crate) is_settled: bool,
    /// `None`: not yet, or no conversation has this room.
    conversation: Option<Arc<Conversation>>,
    seat: Option<Seat>,
}

impl Visit {
    pub(crate) fn keep(&mut self, seat: Seat, conversation: Option<Arc<Conversation>>) {
        (self.seat, self.conversation) = (Some(seat), conversation);
    }
}

/// What a session asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) id: ConversationId,
    after: Option<Seq>,
    past: Past,
}

impl From<Frame> for Asked {
    fn from(frame: Frame) -> Self {
        let past = match (frame.since, frame.history) {
            (Some(id), _) => Past::Since(id),
            (None, Some(count)) => Past::Last(count),
            (None, None) => Past::Nothing,
        };
        Self { id: frame.room_id, after: frame.after, past }
    }
}

/// Where a visit leads to.
struct Found {
    /// `None`: a room that no conversation has.
    head: Option<Seq>,
    /// The lowest seq that may be asked for, less one.
    readable_after: Seq,
    /// The visit ends with the membership.
    bound: bool,
}

impl Delivery {
    /// Notes a visit, and answers which one it is. What it is refused for otherwise comes with [`visit`](Self::visit).
    pub(crate) fn begin_visit(session: &Session, id: &ConversationId) -> Result<VisitNumber, Problem> {
        let mut places = session.places.lock();
        if places.visit(id).is_some() {
            return Err(Problem::new(Code::Conflict, "this session has joined the room already"));
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let visit = Visit { id: id.clone(), number, is_settled: false, conversation: None, seat: None };
        if places.closed || !places.add_visit(visit, MAX_VISITS) {
            return Err(Problem::new(Code::RateLimited, format!("a session joins at most {MAX_VISITS} rooms")));
        }
        Ok(number)
    }

    /// Brings a session into the room, whose visit was noted.
    pub(crate) async fn visit(
        self: &Arc<Self>,
        session: &Arc<Session>,
        visit: VisitNumber,
        asked: Asked,
    ) -> Result<(), Problem> {
        let mut visited = self.enter(session, visit, &asked).await;
        // nobody waits for the answer to a visit that was given up
        if visited.is_err() && !self.end_this_visit(session, &asked.id, visit) {
            visited = Ok(());
        }
        // what came up meanwhile of the user's own membership
        self.look_again(session);
        visited
    }

    async fn enter(self: &Arc<Self>, session: &Arc<Session>, visit: VisitNumber, asked: &Asked) -> Result<(), Problem> {
        let Some(identity) = session.identity() else {
            return Err(Problem::new(Code::NotConnected, "this session is not connected"));
        };
        let id = &asked.id;
        // a stranger's wish alone makes nobody listen
        self.find_room(identity, id).await?;
        let seat = self.rooms.enter(id);
        if tokio::time::timeout(self.rooms.patience(), self.rooms.listening(id)).await.is_err() {
            return Err(Problem::new(Code::Unavailable, "rooms cannot be listened to now; try again"));
        }
        let found = self.find_room(identity, id).await?;
        let expected = self.rooms.expect(&seat).await?;
        let conversation = found.head.map(|_| self.find_or_create(id));
        while session.places.lock().is_attaching_to(id) && !session.is_over() {
            tokio::time::sleep(BUSY).await;
        }
        let head = found.head.unwrap_or_default();
        let mut from = asked.after.map_or(head, |after| after.max(found.readable_after).min(head));
        if let Some(conversation) = &conversation {
            let mut state = conversation.state.lock();
            state.cursor.raise_head(head);
            // who is here as a member has everything already
            from = state.cursor.position(session).unwrap_or(from);
            drop(state);
            self.listen(conversation);
        }
        let is_on = || session.places.lock().is_on(id, visit);
        if !is_on() {
            return Ok(());
        }
        session.say(&ServerFrame::Joined { room_id: id, seq: from });
        if !self.rooms.hear(expected, session, &asked.past, is_on).await? {
            return Ok(());
        }
        let is_kept = session.places.lock().keep_visit(id, visit, seat, conversation.clone());
        if !is_kept {
            // it was given up just now, or the session is over
            self.rooms.unhear(id, session);
            return Ok(());
        }
        let Some(conversation) = conversation else {
            session.places.lock().settle_visit(id, visit);
            return Ok(());
        };
        let reader = Reader::Guest { visit, bound: found.bound };
        self.follow_as_guest(session, &conversation, from, head, reader).await;
        self.forget_if_unused(conversation);
        Ok(())
    }

    /// What and whose the room is, and whether this user may listen.
    async fn find_room(&self, identity: &Identity, id: &ConversationId) -> Result<Found, Problem> {
        let unknown = || Problem::new(Code::UnknownConversation, "there is no such room");
        let room = self.core.room(id, &identity.user).await.map_err(|error| {
            tracing::warn!(%error, "a room is not looked up");
            Problem::new(Code::Unavailable, "rooms cannot be looked up now; try again")
        })?;
        let Some(room) = room else {
            let found = Found { head: None, readable_after: Seq::ZERO, bound: false };
            return if self.rooms.is_open_by_name(id) { Ok(found) } else { Err(unknown()) };
        };
        if room.workspace != identity.workspace.as_str() {
            return Err(unknown());
        }
        match room.joined {
            _ if room.facts.open => Ok(Found { head: Some(room.head), readable_after: Seq::ZERO, bound: false }),
            Some(joined) => Ok(Found { head: Some(room.head), readable_after: joined.previous(), bound: true }),
            None => Err(Problem::new(Code::Forbidden, "the room is not open, and you are no member of it")),
        }
    }

    /// Backfill up to the head, then the cursor; more backfill while the cursor is further.
    async fn follow_as_guest(
        self: &Arc<Self>,
        session: &Arc<Session>,
        conversation: &Arc<Conversation>,
        from: Seq,
        head: Seq,
        reader: Reader,
    ) {
        let (mut got, mut until) = (from, head);
        let Reader::Guest { visit, bound } = reader else { return };
        let mut entitlement = if bound { Entitlement::Member } else { Entitlement::Anyone };
        let mut backoff = Backoff::short();
        loop {
            if got < until {
                let reached = self.backfill(session, conversation, got, until, &mut entitlement, reader).await;
                let Some(reached) = reached else {
                    self.end_this_visit(session, &conversation.id, visit);
                    return;
                };
                got = reached;
            }
            if entitlement == Entitlement::Left {
                return self.show_out(session, &conversation.id, visit);
            }
            match self.join_as_guest(session, conversation, got, visit, bound) {
                Some(Join::Behind(further)) if further > got => until = further,
                Some(Join::Behind(_)) => {
                    self.fetch_if_wanted(conversation);
                    backoff.pause().await;
                }
                Some(Join::Joined) => return self.fetch_if_wanted(conversation),
                None => return,
            }
        }
    }

    /// None: the visit is over.
    fn join_as_guest(
        self: &Arc<Self>,
        session: &Arc<Session>,
        conversation: &Arc<Conversation>,
        got: Seq,
        visit: VisitNumber,
        bound: bool,
    ) -> Option<Join> {
        let mut touched = Touched::default();
        let mut state = conversation.state.lock();
        if !session.places.lock().is_on(&conversation.id, visit) {
            return None;
        }
        conversation.will_follow(&state.cursor);
        let mut sink = Fanout::new(self, conversation, &mut touched);
        let joined = state.cursor.visit(session.clone(), got, bound, &mut sink);
        drop(sink);
        if joined == Join::Joined && !session.places.lock().settle_visit(&conversation.id, visit) {
            // it was given up just now, and whoever did so did not find it in here
            state.cursor.end_visit(session);
            return None;
        }
        drop(state);
        touched.flush(std::time::Instant::now());
        Some(joined)
    }

    /// Ends a visit, at whatever stage it is. A session whose user is a member by now goes on as such.
    pub(crate) fn leave_room(self: &Arc<Self>, session: &Arc<Session>, id: &ConversationId) -> bool {
        let was_there = self.end_visit(session, id);
        if let (true, Some(user)) = (was_there, session.user_id()) {
            self.discover(user.as_str(), id, Seq::ZERO.into());
        }
        was_there
    }

    /// Ends the visits of rooms that no subscription of the client is for any more.
    pub(crate) fn leave_rooms_not_shown(self: &Arc<Self>, session: &Arc<Session>) {
        let gone: Vec<ConversationId> = {
            let places = session.places.lock();
            places.visits().filter(|visit| !session.shows_room(&visit.id)).map(|visit| visit.id.clone()).collect()
        };
        for id in gone {
            self.leave_room(session, &id);
        }
    }

    /// Its membership is over, and the room is not open.
    fn show_out(self: &Arc<Self>, session: &Arc<Session>, id: &ConversationId, visit: VisitNumber) {
        if self.end_this_visit(session, id, visit) {
            session.say(&ServerFrame::Left { room_id: id });
        }
    }

    /// False: it was over before.
    fn end_this_visit(self: &Arc<Self>, session: &Arc<Session>, id: &ConversationId, visit: VisitNumber) -> bool {
        let is_on = session.places.lock().is_on(id, visit);
        is_on && self.end_visit(session, id)
    }

    fn end_visit(self: &Arc<Self>, session: &Arc<Session>, id: &ConversationId) -> bool {
        let visit = session.places.lock().end_visit(id);
        let was_there = visit.is_some();
        if let Some(visit) = visit
            && let Some(served) = self.clear_visit(session, visit)
        {
            // who becomes a member later is not told again
            session.places.lock().leave(id, served);
        }
        was_there
    }

    /// A visit that is not among the session's places any more. Answers up to where it was served, if it was.
    pub(super) fn clear_visit(self: &Arc<Self>, session: &Arc<Session>, visit: Visit) -> Option<Seq> {
        let Visit { id, conversation, seat, .. } = visit;
        self.rooms.unhear(&id, session);
        drop(seat);
        let conversation = conversation?;
        let served = conversation.state.lock().cursor.end_visit(session);
        self.look_at_held(conversation);
        served
    }

    /// The same, from within the cursor, which has let the session go.
    pub(super) fn visit_is_over(&self, session: &Arc<Session>, id: &ConversationId) {
        if session.places.lock().end_visit(id).is_some() {
            self.rooms.unhear(id, session);
            session.say(&ServerFrame::Left { room_id: id });
        }
    }

    /// The user of a guest may have become a member: it goes on as one from where it is. False: it is no guest any more.
    pub(super) async fn promote(self: &Arc<Self>, session: &Arc<Session>, conversation: &Arc<Conversation>) -> bool {
        let Some(user) = session.user_id().cloned() else { return false };
        let mut backoff = Backoff::short();
        loop {
            if session.is_over() {
                return false;
            }
            let (joined, head, _) = match self.core.stay(&conversation.id, &user, Over::default(), Seq::ZERO).await {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::warn!(%error, conversation_id = %conversation.id, "membership not read yet");
                    backoff.pause().await;
                    continue;
                }
            };
            if joined.is_none() {
                return true;
            }
            if let Some(promoted) = Self::promote_at(session, conversation, head) {
                return promoted;
            }
            backoff.pause().await;
        }
    }

    /// The user was a member when the head was `head`. `None`: the cursor is further, and it may have left by now.
    fn promote_at(session: &Arc<Session>, conversation: &Arc<Conversation>, head: Seq) -> Option<bool> {
        let mut state = conversation.state.lock();
        let mut places = session.places.lock();
        if places.closed || places.is_in(&conversation.id) {
            return Some(true);
        }
        if state.cursor.served().is_some_and(|served| head < served) {
            return None;
        }
        let promoted = state.cursor.promote(session);
        if promoted {
            places.joined.push(conversation.clone());
        }
        Some(promoted)
    }
}
