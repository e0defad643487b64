//! I9: no frame about a conversation reaches somebody who is not entitled to it: every session is a canary.

use super::super::history::What;
use super::{Case, Counter, Findings};

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    for session in &case.history.sessions {
        for entry in &session.seen {
            let (id, event) = match &entry.what {
                What::Event(event) => (&event.conversation, Some(event)),
                What::Resync { conversation, .. } | What::Other { conversation } => (conversation, None),
            };
            let Some(conversation) = case.truth.conversations.get(id) else { continue };
            let fine = match event {
                Some(event) => conversation.is_entitled(&session.user, event.seq),
                None => conversation.members.contains_key(&session.user),
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
