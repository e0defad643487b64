//! A run of events as bytes: made once per form, shared by all who receive the run.

use bytes::{Bytes, BytesMut};
use chatcluster_contracts::{ids::ConversationId, seq::Seq};

use super::cursor::Arrived;
use crate::session::{Form, Positions, Session, carrier, stomp};

#[derive(Debug, Default)]
pub(super) struct Encodings {
    /// First and last seq of the run encoded last.
    run: Option<(Seq, Seq)>,
    /// Most runs are wanted in one form.
    first: Option<(Form, Bytes)>,
    others: Vec<(Form, Bytes)>,
    stomp: stomp::Frames,
}

impl Encodings {
    /// Has nobody received this run yet?
    pub(super) fn is_new(&self, run: &[Arrived]) -> bool {
        self.run != bounds(run)
    }

    /// Hands the run to one session. `conversation`: whose events they are. `as_guest`: the session visits its room, and is no
    /// member. False: the client does not want it any more.
    pub(super) fn deliver(
        &mut self,
        conversation: &ConversationId,
        run: &[Arrived],
        session: &Session,
        as_guest: bool,
        mut enqueue: impl FnMut(Bytes),
    ) -> bool {
        if self.is_new(run) {
            self.run = bounds(run);
            self.first = None;
            self.others.clear();
            self.stomp.clear();
        }
        if let Some(stomp) = session.stomp() {
            return stomp.deliver(session, conversation, run, as_guest, &mut self.stomp, enqueue);
        }
        let order = session.positions().map(Positions::in_order);
        enqueue(self.of(conversation, run, session));
        drop(order);
        if session.form().dialect.is_the_platforms() {
            session.count_events(u32::try_from(run.len()).unwrap_or(u32::MAX));
        }
        true
    }

    fn of(&mut self, conversation: &ConversationId, run: &[Arrived], session: &Session) -> Bytes {
        if let Some(positions) = session.positions() {
            return self.with_positions(conversation, run, session.form(), positions);
        }
        self.made(session.form()).unwrap_or_else(|| self.keep(session.form(), encode(run, session.form())))
    }

    fn made(&self, form: Form) -> Option<Bytes> {
        match &self.first {
            Some((its, made)) if *its == form => Some(made.clone()),
            _ => self.others.iter().find(|(its, _)| *its == form).map(|(_, made)| made.clone()),
        }
    }

    fn keep(&mut self, form: Form, made: Bytes) -> Bytes {
        match &self.first {
            None => self.first = Some((form, made.clone())),
            Some(_) => self.others.push((form, made.clone())),
        }
        made
    }

    fn with_positions(
        &mut self,
        conversation: &ConversationId,
        run: &[Arrived],
        form: Form,
        positions: &Positions,
    ) -> Bytes {
        let mut is_common = true;
        let mut frames = BytesMut::new();
        for event in run {
            let position = positions.after(conversation, event.seq);
            is_common &= position.is_common;
            if let (true, Some(made)) = (is_common, self.made(form)) {
                // the others of the run only move the position
                positions.set(conversation, run.last().map_or(event.seq, |last| last.seq));
                return made;
            }
            frames.extend_from_slice(&carrier::event(&[&event.payload], Some(&position.text)));
        }
        if is_common { self.keep(form, frames.freeze()) } else { frames.freeze() }
    }
}

fn bounds(run: &[Arrived]) -> Option<(Seq, Seq)> {
    Some((run.first()?.seq, run.last()?.seq))
}

fn encode(run: &[Arrived], form: Form) -> Bytes {
    if let [event] = run {
        return form.event(&event.payload);
    }
    let mut frames = BytesMut::with_capacity(run.iter().map(|event| event.payload.len() + 16).sum());
    for event in run {
        form.append_event(&mut frames, &event.payload);
    }
    frames.freeze()
}
