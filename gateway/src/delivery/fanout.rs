//! Where the cursor's decisions become frames: what arrived together is encoded once per form, whoever and however many
//! receive it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use chatcluster_contracts::{
    ids::{ConversationId, UserId},
    seq::Seq,
    stream_entry::Recipients,
    trace::TraceParent,
};

use super::{
    Conversation, Delivery,
    cursor::{Arrived, Sink},
    encodings::Encodings,
};
use crate::session::{Priority, Session, Span};

/// Events that arrived and are held by their conversation's cursor.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) conversation: Arc<Conversation>,
    pub(super) span: Span,
    pub(super) recipients: Recipients,
}

/// What one turn of a delivering loop has touched: conversations whose events are to be delivered, and sessions whose
/// queues are to be written, each once.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(super) arrivals: Vec<Arrival>,
    sessions: Vec<Arc<Session>>,
    /// Traced events of this turn: their hop is logged when the frames are written.
    traced: Vec<(TraceParent, ConversationId, Seq)>,
}

impl Touched {
    /// Events of one conversation that come one after the other, to the same users, are one arrival.
    pub(super) fn arrived(&mut self, conversation: Arc<Conversation>, seq: Seq, recipients: &Recipients) {
        match self.arrivals.last_mut() {
            Some(last) if Arc::ptr_eq(&last.conversation, &conversation) && last.recipients == *recipients => {
                last.span = last.span.with(seq.into());
            }
            _ => self.arrivals.push(Arrival { conversation, span: seq.into(), recipients: recipients.clone() }),
        }
    }

    pub(crate) fn enqueue(&mut self, session: &Arc<Session>, frame: Bytes, priority: Priority) {
        if session.enqueue(frame, priority) {
            self.sessions.push(session.clone());
        }
    }

    /// Writes everything; returns the sessions that take it too slowly.
    pub(crate) fn flush_to_the_slow(&mut self) -> Vec<Arc<Session>> {
        let mut slow = std::mem::take(&mut self.sessions);
        slow.retain(|session| {
            session.flush();
            !session.has_room()
        });
        slow
    }

    /// Writes everything; one write a session, however many frames it has. `since`: when the turn's input was read.
    pub(crate) fn flush(&mut self, since: Instant) {
        for session in self.sessions.drain(..) {
            session.flush();
        }
        for (trace, conversation_id, seq) in self.traced.drain(..) {
            let _span = chatcluster_service::trace::hop("gateway.deliver", &trace).entered();
            tracing::info!(
                trace_id = %trace.trace_id_hex(), hop = "gateway.deliver", %conversation_id, %seq,
                took_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX), "message"
            );
        }
    }
}

impl Drop for Touched {
    /// Whoever leaves a turn early has still promised these writes, and nobody else would make them.
    fn drop(&mut self) {
        for session in self.sessions.drain(..) {
            session.flush();
        }
    }
}

/// The sink of one conversation's cursor, for one turn.
pub(super) struct Fanout<'a> {
    delivery: &'a Arc<Delivery>,
    conversation: &'a Arc<Conversation>,
    touched: &'a mut Touched,
    encodings: Encodings,
    deliveries: u64,
}

impl<'a> Fanout<'a> {
    pub(super) fn new(
        delivery: &'a Arc<Delivery>,
        conversation: &'a Arc<Conversation>,
        touched: &'a mut Touched,
    ) -> Self {
        Self { delivery, conversation, touched, encodings: Encodings::default(), deliveries: 0 }
    }
}

impl Drop for Fanout<'_> {
    fn drop(&mut self) {
        self.delivery.metrics.deliveries.inc_by(self.deliveries);
    }
}

impl Fanout<'_> {
    fn hand(&mut self, run: &[Arrived], to: &Arc<Session>, as_guest: bool) {
        if self.encodings.is_new(run) {
            for event in run {
                if let Some(trace) = event.trace.filter(|trace| trace.sampled) {
                    self.touched.traced.push((trace, self.conversation.id.clone(), event.seq));
                }
            }
        }
        let Self { conversation, touched, encodings, deliveries, .. } = self;
        let enqueue = |frames| touched.enqueue(to, frames, Priority::Needed);
        if encodings.deliver(&conversation.id, run, to, as_guest, enqueue) {
            *deliveries += run.len() as u64;
        }
    }
}

impl Sink<Arc<Session>> for Fanout<'_> {
    fn deliver(&mut self, run: &[Arrived], to: &Arc<Session>) {
        self.hand(run, to, false);
    }

    fn deliver_to_guest(&mut self, run: &[Arrived], to: &Arc<Session>) {
        self.hand(run, to, true);
    }

    fn visit_over(&mut self, who: &Arc<Session>) {
        self.delivery.visit_is_over(who, &self.conversation.id);
    }

    fn resync(&mut self, to: &Arc<Session>, from: Seq, head: Seq) {
        self.delivery.metrics.resyncs.inc();
        to.resync(&self.conversation.id, from, head);
    }

    fn joining(&mut self, user: &UserId, seq: Seq) -> Vec<Arc<Session>> {
        let mut ready = self.delivery.sessions.of_user(user.as_str());
        let mut must_ask = false;
        ready.retain(|session| {
            let mut places = session.places.lock();
            if places.closed || places.is_in(&self.conversation.id) || !session.covers(&self.conversation.id) {
                return false;
            }
            if places.is_busy_with(&self.conversation.id) {
                places.note(&self.conversation.id, seq.into());
                return false;
            }
            if !self.conversation.is_followed_since(session) && places.visit(&self.conversation.id).is_none() {
                must_ask = true;
                return false;
            }
            places.joined.push(self.conversation.clone());
            true
        });
        if must_ask {
            let (delivery, id, user) = (self.delivery.clone(), self.conversation.id.clone(), user.clone());
            // once the conversation is not locked any more
            tokio::spawn(async move { delivery.discover(user.as_str(), &id, seq.into()) });
        }
        ready
    }

    fn left(&mut self, who: &Arc<Session>, seq: Seq) {
        let mut places = who.places.lock();
        places.joined.retain(|conversation| !Arc::ptr_eq(conversation, self.conversation));
        places.leave(&self.conversation.id, seq);
    }
}
