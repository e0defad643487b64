//! I11: a session that does not read is cut, those who read are not, and the gateway's memory stays bounded.

use super::super::history::{Conduct, EndedBy};
use super::{Case, Counter, Findings};

/// The close code of a session whose queue was full.
const SLOW_CONSUMER: u16 = 4429;
/// Far above what a few hundred sessions need, far below what unbounded queues would take.
const MEMORY: u64 = 512 << 20;

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    for session in &case.history.sessions {
        let user = &session.user;
        match (session.conduct, &session.end) {
            (Conduct::Slow, Some(end)) if end.by == EndedBy::Server => {}
            (Conduct::Slow, _) => {
                findings.add("I11", Counter::Other, format!("{user} hardly reads and was not cut"));
            }
            (Conduct::Reading, Some(end)) if end.code == Some(SLOW_CONSUMER) => {
                let at = end.at;
                findings.add("I11", Counter::Other, format!("{user} reads and was cut as slow at {at} ms"));
            }
            (Conduct::Reading, _) => {}
        }
    }
    let memory = case.history.gateway_memory;
    if memory > MEMORY {
        findings.add("I11", Counter::Other, format!("a gateway took {} MiB", memory >> 20));
    }
}
