//! Where the cursor's decisions become frames: each event is encoded once, whoever and however many receive it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use chatcluster_contracts::{frame::ServerFrame, ids::UserId, seq::Seq};

use super::{
    Conversation, Delivery,
    cursor::{Arrived, Sink},
};
use crate::{
    protocol::{native, websocket},
    session::{Priority, Session},
};

/// The sessions with new frames in their queues, to be written once per turn of the delivering loop.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    sessions: Vec<Arc<Session>>,
    /// Traced events of this turn: their hop is logged when the frames are written.
    traced: Vec<(chatcluster_contracts::trace::TraceParent, chatcluster_contracts::ids::ConversationId, Seq)>,
}

impl Touched {
    pub(crate) fn enqueue(&mut self, session: &Arc<Session>, frame: Bytes, priority: Priority) {
        if session.enqueue(frame, priority) {
            self.sessions.push(session.clone());
        }
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
    delivery: &'a Delivery,
    conversation: &'a Arc<Conversation>,
    touched: &'a mut Touched,
    /// The event encoded last.
    encoded: Option<(Seq, Bytes)>,
}

impl<'a> Fanout<'a> {
    pub(super) fn new(delivery: &'a Delivery, conversation: &'a Arc<Conversation>, touched: &'a mut Touched) -> Self {
        Self { delivery, conversation, touched, encoded: None }
    }
}

impl Sink<Arc<Session>> for Fanout<'_> {
    fn deliver(&mut self, event: &Arrived, to: &Arc<Session>) {
        let frame = match &self.encoded {
            Some((seq, frame)) if *seq == event.seq => frame.clone(),
            _ => {
                if let Some(trace) = event.trace.filter(|trace| trace.sampled) {
                    self.touched.traced.push((trace, self.conversation.id.clone(), event.seq));
                }
                let frame = websocket::text(&event.payload);
                self.encoded = Some((event.seq, frame.clone()));
                frame
            }
        };
        self.delivery.metrics.deliveries.inc();
        self.touched.enqueue(to, frame, Priority::Needed);
        to.count_event();
    }

    fn resync(&mut self, to: &Arc<Session>, from: Seq, head: Seq) {
        self.delivery.metrics.resyncs.inc();
        let frame = ServerFrame::Resync { conversation_id: &self.conversation.id, from, head };
        self.touched.enqueue(to, native::write(&frame), Priority::Needed);
    }

    fn joining(&mut self, user: &UserId, seq: Seq) -> Vec<Arc<Session>> {
        let mut ready = self.delivery.sessions.of_user(user.as_str());
        ready.retain(|session| {
            let mut places = session.places.lock();
            if places.closed || places.is_in(&self.conversation.id) {
                return false;
            }
            if places.is_busy_with(&self.conversation.id) {
                places.note(&self.conversation.id, seq);
                return false;
            }
            places.joined.push(self.conversation.clone());
            true
        });
        ready
    }

    fn left(&mut self, who: &Arc<Session>) {
        who.places.lock().joined.retain(|conversation| !Arc::ptr_eq(conversation, self.conversation));
    }
}
