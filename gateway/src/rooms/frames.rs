//! What is told to those in a room, as bytes.

use std::sync::Arc;

use bytes::Bytes;
use chatcluster_contracts::{frame::ServerFrame, ids::ConversationId};

use crate::{
    delivery::Touched,
    session::{Form, Priority, Session, stomp::Notice},
};

/// One record as bytes: made once for all who get the same.
pub(super) struct Frames<'a> {
    room: &'a ConversationId,
    json: &'a Bytes,
    made: Vec<(Form, Bytes)>,
    notice: Option<Notice>,
}

impl<'a> Frames<'a> {
    pub(super) const fn new(room: &'a ConversationId, json: &'a Bytes) -> Self {
        Self { room, json, made: Vec::new(), notice: None }
    }

    pub(super) fn hand_to(&mut self, session: &Arc<Session>, touched: &mut Touched) {
        if let Some(stomp) = session.stomp() {
            let notice = self.notice.get_or_insert_with(|| Notice::of_room(self.room, "message", self.json));
            stomp.tell(session, notice, |frame| touched.enqueue(session, frame, Priority::Needed));
            return;
        }
        let form = session.form();
        let made = self.made.iter().find(|(its, _)| *its == form).map(|(_, frame)| frame.clone());
        let frame = made.unwrap_or_else(|| {
            let frame = form.event(self.json);
            self.made.push((form, frame.clone()));
            frame
        });
        touched.enqueue(session, frame, Priority::Needed);
    }
}

/// Says that records may be missing.
pub(super) fn gap(room_id: &ConversationId, since: Option<&str>, session: &Session) {
    session.say(&ServerFrame::Gap { room_id, since });
}
