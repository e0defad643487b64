//! I9: no frame about a conversation reaches somebody who is not entitled to it: every session is a canary. Records and
//! events of an open room reach those who are in that room, and nobody else.

use super::super::history::{Session, What};
use super::{Case, Counter, Findings};

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    for session in &case.history.sessions {
        for entry in &session.seen {
            let (id, event) = match &entry.what {
                What::Event(event) => (&event.conversation, Some(event)),
                What::Resync { conversation, .. } | What::Other { conversation } => (conversation, None),
                What::Record { room, .. } | What::Gap { room, .. } => {
                    if !is_in(session, room) {
                        let (user, at) = (&session.user, entry.at);
                        let text = format!("{user} got a record of the room {room} at {at} ms without being there");
                        findings.add("I9", Counter::Leaked, text);
                    }
                    continue;
                }
            };
            let Some(conversation) = case.truth.conversations.get(id) else { continue };
            let fine = match event {
                Some(event) => conversation.is_for(session, id, event.seq),
                None => is_in(session, id) || conversation.members.contains_key(&session.user),
            };
            if !fine {
                let (user, at) = (&session.user, entry.at);
                let what = event.map_or("a frame".to_owned(), |event| format!("seq {} ({})", event.seq, event.kind));
                findings.add(
                    "I9",
                    Counter::Leaked,
                    format!("{user} got {what} of {id} at {at} ms without being a member"),
                );
            }
        }
    }
}

fn is_in(session: &Session, room: &str) -> bool {
    session.visit.as_ref().is_some_and(|visit| &*visit.room == room)
}
