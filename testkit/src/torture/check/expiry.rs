//! I10: nothing arrives once the token has ended, give or take the leeway for clocks and a frozen gateway.

use super::super::history::Ms;
use super::{Case, Counter, Findings};

/// Five seconds of leeway as the gateway has it by default, and the longest freeze.
const GRACE: Ms = 15_000;

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    for session in &case.history.sessions {
        let Some(expires) = session.expires else { continue };
        let late = session.seen.iter().filter(|entry| entry.at > expires + GRACE).count();
        if late > 0 {
            let user = &session.user;
            findings.add(
                "I10",
                Counter::Leaked,
                format!("{user} got {late} frames after the token had ended at {expires} ms"),
            );
        }
        let until = session.end.as_ref().map_or(case.history.end, |end| end.at);
        if late == 0 && until > expires + GRACE {
            let user = &session.user;
            findings.add(
                "I10",
                Counter::Other,
                format!("the session of {user} outlived its token, which ended at {expires} ms"),
            );
        }
    }
}
