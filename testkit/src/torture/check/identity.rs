//! I5: one clientMsgId is one message, however often it was sent and over whichever gateway.

use std::collections::HashMap;

use super::{Case, Counter, Findings};

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let mut places: HashMap<(&str, &str), Vec<(&str, u64)>> = HashMap::new();
    for (id, conversation) in &case.truth.conversations {
        for stored in conversation.events.iter().filter(|stored| &*stored.event.kind == "MESSAGE") {
            let name = (&*stored.event.user, &*stored.event.client_msg_id);
            places.entry(name).or_default().push((id, stored.event.seq));
        }
    }
    for ((user, id), places) in places {
        if places.len() > 1 {
            findings.add("I5", Counter::Duplicated, format!("{id} of {user} was stored more than once: {places:?}"));
        }
    }
    for sending in &case.history.sendings {
        let Some(first) = sending.acks.first() else { continue };
        if let Some(other) =
            sending.acks.iter().find(|ack| (&ack.message_id, ack.seq) != (&first.message_id, first.seq))
        {
            let id = &sending.client_msg_id;
            let text = format!("{id} was acknowledged as seq {} and as seq {}", first.seq, other.seq);
            findings.add("I5", Counter::Duplicated, text);
        }
    }
}
