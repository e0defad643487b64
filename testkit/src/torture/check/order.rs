//! I4: in each session, and from one session of a device to the next, every event of a conversation comes once and in
//! order, and none is left out without a RESYNC.

use std::collections::{HashMap, HashSet};

use super::super::history::{Session, What};
use super::{Case, Counter, Findings};

/// Where a session stands in one conversation.
#[derive(Default)]
struct Place {
    last: u64,
    seen: HashSet<u64>,
    /// Nothing has come yet that the position could have been behind.
    fresh: bool,
}

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    for session in &case.history.sessions {
        follow(case, session, findings);
    }
}

fn follow(case: &Case<'_>, session: &Session, findings: &mut Findings) {
    let mut places: HashMap<&str, Place> = HashMap::new();
    let who = format!("device {} of {} (ready at {} ms)", session.device, session.user, session.ready);
    for entry in &session.seen {
        let (id, from, to) = match &entry.what {
            What::Event(event) => (&event.conversation, event.seq, event.seq),
            What::Resync { conversation, from, head } => (conversation, *from, *head),
            _ => continue,
        };
        let Some(conversation) = case.truth.conversations.get(id) else { continue };
        let place = places.entry(id).or_insert_with(|| Place {
            last: session.claims.get(id).copied().unwrap_or_default(),
            seen: HashSet::new(),
            fresh: !session.exact,
        });
        let is_event = matches!(entry.what, What::Event(_));
        if is_event && !conversation.is_for(session, id, from) {
            continue; // that is another promise
        }
        if is_event && from <= place.last && !place.fresh {
            let counter = if place.seen.contains(&from) || session.claims.get(id).is_some_and(|claim| from <= *claim) {
                Counter::Duplicated
            } else {
                Counter::Reordered
            };
            findings.add("I4", counter, format!("{who} got seq {from} of {id} after {}", place.last));
            place.seen.insert(from);
            continue;
        }
        let skipped: Vec<u64> =
            conversation.owed(session, id, place.last, from).map(|stored| stored.event.seq).collect();
        if let (Some(first), Some(last)) = (skipped.first(), skipped.last()) {
            let text = format!("{who} got seq {from} of {id} after {} without {first}..={last}", place.last);
            findings.add("I4", Counter::Lost, text);
        }
        place.fresh = false;
        place.last = if is_event { to } else { to.max(place.last) };
        place.seen.insert(to);
    }
}
