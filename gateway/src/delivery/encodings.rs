//! A run of events as bytes: made once per form, shared by all who receive the run.

use bytes::{Bytes, BytesMut};
use chatcluster_contracts::seq::Seq;

use super::cursor::Arrived;
use crate::session::Form;

#[derive(Debug, Default)]
pub(super) struct Encodings {
    /// First and last seq of the run encoded last.
    run: Option<(Seq, Seq)>,
    made: Vec<(Form, Bytes)>,
}

impl Encodings {
    /// Has nobody received this run yet?
    pub(super) fn is_new(&self, run: &[Arrived]) -> bool {
        self.run != bounds(run)
    }

    pub(super) fn of(&mut self, run: &[Arrived], form: Form) -> Bytes {
        if self.is_new(run) {
            self.run = bounds(run);
            self.made.clear();
        }
        if let Some((_, made)) = self.made.iter().find(|(its, _)| *its == form) {
            return made.clone();
        }
        let made = encode(run, form);
        self.made.push((form, made.clone()));
        made
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
