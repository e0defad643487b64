//! I10: nothing arrives once the token has ended, give or take the leeway for clocks and a frozen gateway; nor once the
//! login has that the token came of, give or take the time in which that can be heard: a gateway that nobody reaches cannot
//! know.

use super::super::history::{Ms, Session};
use super::delivered::due;
use super::{Case, Counter, Findings};

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    for session in &case.history.sessions {
        let user = &session.user;
        let Some(ended) = session.expires.into_iter().chain(session.signed_out).min() else { continue };
        let late = session.seen.iter().filter(|entry| is_over(case, session, entry.at)).count();
        if late > 0 {
            let text = format!("{user} got {late} frames after the token had ended at {ended} ms");
            findings.add("I10", Counter::Leaked, text);
            continue;
        }
        let until = session.end.as_ref().map_or(case.history.end, |end| end.at);
        if is_over(case, session, until) {
            let text = format!("the session of {user} outlived its token, which ended at {ended} ms, until {until} ms");
            findings.add("I10", Counter::Other, text);
        }
    }
}

/// Must the session have ended by then?
fn is_over(case: &Case<'_>, session: &Session, at: Ms) -> bool {
    let known = session.signed_out.map(|ended| due(case, session.gateway, ended, at));
    session.expires.into_iter().chain(known).any(|ended| at > ended + case.grace)
}
