//! Where one session stands in its conversations.

use std::sync::Arc;

use chatcluster_contracts::{ids::ConversationId, seq::Seq};

use crate::{
    delivery::{Conversation, Visit, VisitNumber},
    rooms::Seat,
};

/// Conversations remembered that a session is not in any more.
const MAX_LEFT: usize = 64;

/// Guarded by the session; taken after a conversation's lock, never before it.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// The session is over and joins nothing any more.
    pub(crate) closed: bool,
    /// The list of its conversations has not been worked through yet.
    pub(crate) attaching: bool,
    /// The list has been read: a position would be complete.
    pub(crate) listed: bool,
    /// Live: the conversation's cursor serves the session.
    pub(crate) joined: Vec<Arc<Conversation>>,
    /// On their way in: served so far up to this seq.
    pub(crate) pending: Vec<(Arc<Conversation>, Seq)>,
    /// Heard of while attaching: to be looked at again.
    noted: Vec<Noted>,
    /// Conversations that the session is not in, or was not when it came, and of which it has everything up to this seq.
    #[expect(clippy::box_collection, reason = "eight bytes for those who never left anything")]
    left: Option<Box<Vec<(ConversationId, Seq)>>>,
    /// Rooms that the session visits, or is about to.
    #[expect(clippy::box_collection, reason = "eight bytes for those who visit none")]
    visits: Option<Box<Vec<Visit>>>,
}

/// Events of a conversation that somebody is to have, and perhaps others between them. Both zero: nothing is known of an
/// event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) lowest: Seq,
    pub(crate) highest: Seq,
}

impl From<Seq> for Span {
    fn from(seq: Seq) -> Self {
        Self { lowest: seq, highest: seq }
    }
}

impl Span {
    pub(crate) fn with(self, other: Self) -> Self {
        // zero is no event
        let lowest = match self.lowest {
            Seq::ZERO => other.lowest,
            lowest => other.lowest.max(Seq::ZERO.next()).min(lowest),
        };
        Self { lowest, highest: self.highest.max(other.highest) }
    }

    /// The lowest seq of what is not served yet. `None`: all of it is.
    pub(crate) fn behind(self, served: Seq) -> Option<Seq> {
        let Self { lowest, highest } = self;
        (highest == Seq::ZERO || highest > served).then(|| lowest.max(served.next()).min(highest))
    }
}

/// Events of a conversation that a session was busy with.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) id: ConversationId,
    pub(crate) span: Span,
}

impl Places {
    /// Is somebody bringing the session into this conversation right now, or about to?
    pub(crate) fn is_busy_with(&self, id: &ConversationId) -> bool {
        self.is_attaching_to(id) || self.visit(id).is_some_and(|visit| !visit.is_settled)
    }

    /// The same, as a member's.
    pub(crate) fn is_attaching_to(&self, id: &ConversationId) -> bool {
        self.attaching || self.is_pending(id)
    }

    pub(crate) fn visits(&self) -> impl Iterator<Item = &Visit> {
        self.visits.iter().flat_map(|visits| visits.iter())
    }

    pub(crate) fn visit(&self, id: &ConversationId) -> Option<&Visit> {
        self.visits().find(|visit| visit.id == *id)
    }

    /// Does this visit still last? Another one of the same room may have begun.
    pub(crate) fn is_on(&self, id: &ConversationId, visit: VisitNumber) -> bool {
        self.visit(id).is_some_and(|own| own.number == visit)
    }

    fn visit_mut(&mut self, id: &ConversationId, visit: VisitNumber) -> Option<&mut Visit> {
        let mut visits = self.visits.iter_mut().flat_map(|visits| visits.iter_mut());
        visits.find(|own| own.id == *id && own.number == visit)
    }

    /// False: there are `most` already.
    pub(crate) fn add_visit(&mut self, visit: Visit, most: usize) -> bool {
        let visits = self.visits.get_or_insert_default();
        let has_room = visits.len() < most;
        if has_room {
            visits.push(visit);
        }
        has_room
    }

    /// A visit has what it needs. False: it is over.
    pub(crate) fn keep_visit(
        &mut self,
        id: &ConversationId,
        visit: VisitNumber,
        seat: Seat,
        room: Option<Arc<Conversation>>,
    ) -> bool {
        self.visit_mut(id, visit).map(|visit| visit.keep(seat, room)).is_some()
    }

    /// A visit is where it wanted to be. False: it is over.
    pub(crate) fn settle_visit(&mut self, id: &ConversationId, visit: VisitNumber) -> bool {
        self.visit_mut(id, visit).map(|visit| visit.is_settled = true).is_some()
    }

    pub(crate) fn end_visit(&mut self, id: &ConversationId) -> Option<Visit> {
        let visits = self.visits.as_mut()?;
        let at = visits.iter().position(|visit| visit.id == *id)?;
        let visit = visits.swap_remove(at);
        if visits.is_empty() {
            self.visits = None;
        }
        Some(visit)
    }

    pub(crate) fn take_visits(&mut self) -> Vec<Visit> {
        self.visits.take().map(|visits| *visits).unwrap_or_default()
    }

    /// Is the session live in the conversation?
    pub(crate) fn is_in(&self, id: &ConversationId) -> bool {
        self.joined.iter().any(|conversation| conversation.id == *id)
    }

    /// Is somebody bringing the session into this conversation?
    pub(crate) fn is_pending(&self, id: &ConversationId) -> bool {
        self.pending.iter().any(|(conversation, _)| conversation.id == *id)
    }

    /// Remembers to look at a conversation again once it is not busy any more.
    pub(crate) fn note(&mut self, id: &ConversationId, span: Span) {
        match self.noted.iter_mut().find(|noted| noted.id == *id) {
            Some(noted) => noted.span = noted.span.with(span),
            None => self.noted.push(Noted { id: id.clone(), span }),
        }
    }

    /// What was noted of conversations that nobody is busy with.
    pub(crate) fn take_noted(&mut self) -> Vec<Noted> {
        if self.noted.is_empty() {
            return Vec::new();
        }
        let (busy, free) = std::mem::take(&mut self.noted).into_iter().partition(|noted| self.is_busy_with(&noted.id));
        self.noted = busy;
        free
    }

    /// The session is out of a conversation, and has everything up to `seq`: what comes of it later and is older was seen.
    pub(crate) fn leave(&mut self, id: &ConversationId, seq: Seq) {
        let left = self.left.get_or_insert_default();
        if let Some((_, served)) = left.iter_mut().find(|(known, _)| known == id) {
            *served = seq.max(*served);
            return;
        }
        if left.len() >= MAX_LEFT {
            left.remove(0);
        }
        left.push((id.clone(), seq));
    }

    /// What [`served`](Self::served) knows.
    pub(crate) fn left(&self) -> impl Iterator<Item = &(ConversationId, Seq)> {
        self.left.iter().flat_map(|left| left.iter())
    }

    /// Up to where the session has everything of a conversation that it is not in; zero: nothing is known of that.
    pub(crate) fn served(&self, id: &ConversationId) -> Seq {
        self.left().find(|(known, _)| known == id).map_or(Seq::ZERO, |(_, served)| *served)
    }

    /// The session is served up to `seq` of a conversation that is on its way in.
    pub(crate) fn advance(&mut self, conversation: &Arc<Conversation>, seq: Seq) {
        if let Some((_, got)) = self.pending.iter_mut().find(|(pending, _)| Arc::ptr_eq(pending, conversation)) {
            *got = seq;
        }
    }

    pub(crate) fn end_pending(&mut self, conversation: &Arc<Conversation>) {
        self.pending.retain(|(pending, _)| !Arc::ptr_eq(pending, conversation));
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(lowest: u64, highest: u64) -> Span {
        Span { lowest: Seq::new(lowest), highest: Seq::new(highest) }
    }

    #[test]
    fn what_begins_below_what_was_served_goes_on_above_it() {
        let behind = |of: Span, served: u64| of.behind(Seq::new(served)).map(Seq::get);
        assert_eq!(behind(span(12, 30), 12), Some(13));
        assert_eq!(behind(span(20, 30), 12), Some(20));
        assert_eq!((behind(span(12, 12), 12), behind(span(7, 9), 12)), (None, None));
        assert_eq!(behind(span(0, 0), 12), Some(0), "somebody is a member, whatever happened");
    }

    #[test]
    fn spans_grow_and_an_event_that_nothing_is_known_of_asks_for_all() {
        assert_eq!(span(12, 12).with(span(20, 30)).with(span(9, 9)), span(9, 30));
        assert_eq!((span(0, 0).with(span(5, 5)), span(5, 5).with(span(0, 0))), (span(5, 5), span(1, 5)));
    }
}
