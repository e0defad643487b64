//! Everything that was seen, line by line.

use std::fmt::Write;

use super::super::history::{History, Seen, Session, What};

/// Everything that was seen, for whoever looks for the cause of a finding.
pub fn sessions(history: &History) -> String {
    let mut text = String::new();
    for session in &history.sessions {
        let end = session.end.as_ref().map(|end| format!("{} {:?} {:?}", end.at, end.by, end.code));
        let Session { device, user, gateway, conduct, visit, ready, exact, claims, seen, .. } = session;
        let _ = write!(
            text,
            "session of device {device}, user {user}, gateway {gateway}, {conduct:?}, {visit:?}, ready {ready}, frames {}, end {end:?}\n\
             \tclaims (exact: {exact}): {claims:?}\n",
            seen.len()
        );
        for Seen { at, what } in seen {
            let _ = match what {
                What::Event(event) => writeln!(text, "\t{at}\t{}\t{}\t{}", event.conversation, event.seq, event.kind),
                other => writeln!(text, "\t{at}\t{other:?}"),
            };
        }
    }
    text
}
