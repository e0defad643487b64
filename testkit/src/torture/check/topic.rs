//! I7: the topic holds every committed event, first occurrences in seq order, and the outbox is empty in the end.
//! Repeats are allowed: whoever reads the topic knows them by their seq.

use std::collections::HashMap;

use super::{Case, Counter, Findings};

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let mut heads: HashMap<&str, u64> = HashMap::new();
    for event in &case.truth.topic {
        let head = heads.entry(&event.conversation).or_default();
        if event.seq == *head + 1 {
            *head = event.seq;
        } else if event.seq > *head {
            let text = format!("on the topic seq {} of {} follows {head}", event.seq, event.conversation);
            findings.add("I7", Counter::Lost, text);
            *head = event.seq;
        }
    }
    for (id, conversation) in &case.truth.conversations {
        let (head, last) = (heads.get(&**id).copied().unwrap_or_default(), conversation.last_seq);
        if head < last {
            findings.add(
                "I7",
                Counter::Lost,
                format!("the topic has {id} up to seq {head}, the database up to {last}"),
            );
        }
    }
    if case.truth.outbox_rows > 0 {
        findings.add("I7", Counter::Other, format!("{} rows are still in the outbox", case.truth.outbox_rows));
    }
}
