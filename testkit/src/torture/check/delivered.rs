//! I2, and I14 where Redis has lost its data: every event reaches every session that is online and entitled to it, in time. Time counts from the latest
//! of: the commit, the start of the session, and the heal of every fault that was on in between.

use std::collections::HashMap;

use super::super::history::{Conduct, Ms, Session, What};
use super::{Case, Counter, Findings};

/// What Redis forgets with everything else in it.
const LOSSES: [&str; 3] = ["flush-redis", "kill-redis", "trim-stream"];
/// How long after a loss its mark is on what is committed.
const MARKED: Ms = 10_000;

/// One event on its way to one session.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    /// Committed, and the session is there.
    pub from: Ms,
    /// `None`: never seen.
    pub seen: Option<Ms>,
    /// When nothing stood in the way any more.
    pub due: Ms,
    /// When the session ended, or the recording.
    pub until: Ms,
    /// The session was there before the event.
    pub live: bool,
}

impl Passage {
    /// How long after `due`, in ms, if it was seen.
    pub fn lateness(&self) -> Option<Ms> {
        self.seen.map(|seen| seen.saturating_sub(self.due))
    }
}

/// All events that were owed to sessions that read.
pub fn passages(case: &Case<'_>) -> Vec<Passage> {
    let mut all = Vec::new();
    visit(case, |_, _, _, passage| all.push(passage));
    all
}

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    visit(case, |session, conversation, seq, passage| {
        let late = match passage.seen {
            Some(_) => passage.lateness() > Some(case.within),
            // a session that goes before its time is owed what follows by the next one
            None => session.end.is_none() || passage.until > passage.due + case.within,
        };
        if late {
            let seen = passage.seen.map_or("never".to_owned(), |at| format!("at {at} ms"));
            let text = format!(
                "seq {seq} of {conversation} reached device {} of {} on gateway {} {seen}, due at {} ms",
                session.device, session.user, session.gateway, passage.due
            );
            // the promise has a name of its own where Redis has just lost everything
            let invariant = if is_after_a_loss(case, passage.from) { "I14" } else { "I2" };
            findings.add(invariant, Counter::Unseen, text);
        }
    });
}

/// Was the session still being sent what had been committed `long` before, shortly before it ended?
pub(super) fn was_behind(case: &Case<'_>, session: &Session, at: Ms, long: Ms) -> bool {
    let mut behind = false;
    visit(case, |of, _, _, passage| {
        let seen = passage.seen.unwrap_or(passage.until);
        behind |= std::ptr::eq(of, session) && seen + long >= at && seen >= passage.from + long;
    });
    behind
}

fn visit(case: &Case<'_>, mut each: impl FnMut(&Session, &str, u64, Passage)) {
    for session in case.history.sessions.iter().filter(|session| session.conduct == Conduct::Reading) {
        let mut seen: HashMap<(&str, u64), Ms> = HashMap::new();
        let mut skipped: Vec<(&str, u64, u64)> = Vec::new();
        for entry in &session.seen {
            match &entry.what {
                What::Event(event) => {
                    seen.entry((&event.conversation, event.seq)).or_insert(entry.at);
                }
                What::Resync { conversation, from, head } => skipped.push((conversation, *from, *head)),
                _ => {}
            }
        }
        let until = session.end.as_ref().map_or(case.history.end, |end| end.at);
        for (id, conversation) in &case.truth.conversations {
            let claim = session.claims.get(id).copied().unwrap_or_default();
            for stored in conversation.owed(session, id, claim, u64::MAX) {
                let seq = stored.event.seq;
                if stored.created >= until {
                    break;
                }
                if skipped.iter().any(|(of, from, head)| **of == **id && (*from..=*head).contains(&seq)) {
                    continue;
                }
                let from = stored.created.max(session.ready);
                let seen = seen.get(&(&**id, seq)).copied();
                let due = due(case, session.gateway, from, seen.unwrap_or(until));
                let live = stored.created > session.ready;
                each(session, id, seq, Passage { from, seen, due, until, live });
            }
        }
    }
}

/// `from`, put off by the faults that were on before `to` and had to do with the gateway.
pub(super) fn due(case: &Case<'_>, gateway: usize, from: Ms, to: Ms) -> Ms {
    let faults = case.history.faults.iter().filter(|fault| fault.gateway.is_none_or(|hurt| hurt == gateway));
    let on = faults.filter(|fault| fault.at < to && fault.healed > from);
    on.map(|fault| fault.healed).max().unwrap_or(from)
}

fn is_after_a_loss(case: &Case<'_>, at: Ms) -> bool {
    let mut losses = case.history.faults.iter().filter(|fault| LOSSES.contains(&&*fault.name));
    losses.any(|fault| fault.at <= at + 1000 && at <= fault.healed + MARKED)
}
