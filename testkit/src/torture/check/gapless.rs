//! I6: the log of a conversation is 1..n, n is its head, and REST hands out the same.

use super::{Case, Counter, Findings};

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    for (id, conversation) in &case.truth.conversations {
        let mut expected = 1;
        for stored in &conversation.events {
            if stored.event.seq != expected {
                let text = format!("{id} has seq {} where {expected} belongs", stored.event.seq);
                findings.add("I6", Counter::Lost, text);
            }
            expected = stored.event.seq + 1;
        }
        if conversation.last_seq + 1 != expected {
            let text = format!("{id} ends with seq {} and says {}", expected - 1, conversation.last_seq);
            findings.add("I6", Counter::Lost, text);
        }
    }
    for (id, events) in &case.truth.rest {
        let stored = case.truth.conversations.get(id).map_or(0, |conversation| conversation.events.len());
        let in_order = (1..).zip(events).all(|(seq, event)| event.seq == seq);
        if events.len() != stored || !in_order {
            let text = format!("REST answered {} events of {id}, the database has {stored}", events.len());
            findings.add("I6", Counter::Lost, text);
        }
    }
}
