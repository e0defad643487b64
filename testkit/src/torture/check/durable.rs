//! I1: every acknowledgement names a message that is in the database.

use super::{Case, Counter, Findings};

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    for sending in &case.history.sendings {
        for ack in &sending.acks {
            let conversation = case.truth.conversations.get(&ack.conversation);
            let stored = conversation.and_then(|conversation| conversation.stored(ack.seq));
            let same = stored.is_some_and(|stored| {
                stored.event.message_id == ack.message_id
                    && stored.event.client_msg_id == sending.client_msg_id
                    && stored.event.user == sending.user
            });
            if !same {
                let (id, at) = (&sending.client_msg_id, ack.at);
                let text =
                    format!("{id} was acknowledged at {at} ms as seq {} of {}; not there", ack.seq, ack.conversation);
                findings.add("I1", Counter::Lost, text);
            }
        }
    }
}
