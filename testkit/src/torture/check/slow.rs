//! I11: a session that does not read is cut, those who read are not, and the gateway's memory stays bounded. What piled up
//! during an outage comes at once, and may be more than a queue holds: who is cut then resumes.

use super::super::history::{Conduct, EndedBy, Ms};
use super::{Case, Counter, Findings, delivered::was_behind};

/// The close code of a session whose queue was full.
const SLOW_CONSUMER: u16 = 4429;
/// Nor is a slow session held up against a gateway that stops.
const WELL: [u16; 2] = [SLOW_CONSUMER, 1012];
/// Far above what a few hundred sessions need, far below what unbounded queues would take.
const MEMORY: u64 = 512 << 20;
/// How long after an outage its backlog may still be coming.
const BACKLOG: Ms = 15_000;
/// What comes so long after its commit is of a backlog, whenever the outage was.
const OLD: Ms = 3_000;

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    for session in &case.history.sessions {
        let user = &session.user;
        match (session.conduct, &session.end) {
            // whoever does not read may never read why
            (Conduct::Slow, Some(end))
                if end.by == EndedBy::Server && end.code.is_none_or(|code| WELL.contains(&code)) => {}
            (Conduct::Slow, _) => {
                findings.add("I11", Counter::Other, format!("{user} hardly reads and was not cut"));
            }
            (Conduct::Reading | Conduct::Waiting, Some(end))
                if end.code == Some(SLOW_CONSUMER)
                    && !is_after_an_outage(case, end.at)
                    && !was_behind(case, session, end.at, OLD) =>
            {
                let at = end.at;
                findings.add("I11", Counter::Other, format!("{user} reads and was cut as slow at {at} ms"));
            }
            (Conduct::Reading | Conduct::Waiting, _) => {}
        }
    }
    let memory = case.history.gateway_memory;
    if memory > MEMORY {
        findings.add("I11", Counter::Other, format!("a gateway took {} MiB", memory >> 20));
    }
}

fn is_after_an_outage(case: &Case<'_>, at: Ms) -> bool {
    case.history.faults.iter().any(|fault| fault.at <= at && at <= fault.healed + BACKLOG)
}
