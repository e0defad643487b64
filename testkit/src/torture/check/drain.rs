//! I13: a gateway that is stopped in an orderly way tells its clients to come back.

use super::super::history::{EndedBy, Ms};
use super::{Case, Counter, Findings};

const SERVICE_RESTART: u16 = 1012;
/// A client that is told to go may find the connection gone before it has read why, when it was slow to read.
const SLACK: Ms = 100;

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    for fault in case.history.faults.iter().filter(|fault| fault.name == "drain-gateway") {
        let elsewhere = |at: Ms| {
            let mut others = case.history.faults.iter().filter(|other| other.name != fault.name);
            others.any(|other| other.at <= at + SLACK && at <= other.healed + SLACK)
        };
        for session in case.history.sessions.iter().filter(|session| Some(session.gateway) == fault.gateway) {
            let Some(end) = &session.end else { continue };
            let drained = end.by == EndedBy::Server && (fault.at..=fault.healed).contains(&end.at);
            if drained && end.code.is_none() && !elsewhere(end.at) {
                let (device, at) = (session.device, end.at);
                let text = format!(
                    "device {device} lost its connection at {at} ms in a drain, without code {SERVICE_RESTART}"
                );
                findings.add("I13", Counter::Other, text);
            }
        }
    }
}
