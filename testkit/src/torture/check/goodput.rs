//! I12: under an unchanged load, as many sends a second are acknowledged after the last fault as before the first.

use super::super::history::{History, Ms};
use super::{Case, Counter, Findings};

/// The first sends pay for connections that are still being opened.
const SETTLED: Ms = 2_000;
/// What is looked at before the load ends.
const LAST: Ms = 12_000;
/// Less than this before the first fault says little about a rate.
const MEASURED: Ms = 4_000;
/// How much has to be back.
const ENOUGH: f64 = 0.95;

/// Acknowledged sends a second before the first fault, and at the end of the load. Of the open loop: the same is offered
/// all the time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goodput {
    pub before: f64,
    pub after: f64,
}

pub fn measure(history: &History) -> Goodput {
    let first = history.faults.iter().map(|fault| fault.at).min().unwrap_or(history.load_end);
    let (settled, end) = (history.load_start + SETTLED, history.load_end);
    let last = settled.max(end.saturating_sub(LAST));
    let load = history.sendings.iter().filter(|sending| sending.open_loop);
    let acknowledged: Vec<Ms> = load.filter_map(|sending| sending.acks.first()).map(|ack| ack.at).collect();
    Goodput { before: rate(&acknowledged, settled, first), after: rate(&acknowledged, last, end) }
}

fn rate(times: &[Ms], from: Ms, to: Ms) -> f64 {
    let count = times.iter().filter(|at| (from..to).contains(at)).count();
    count as f64 * 1000.0 / to.saturating_sub(from).max(1) as f64
}

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let Goodput { before, after } = measure(case.history);
    let first = case.history.faults.iter().map(|fault| fault.at).min();
    let measured = first.is_some_and(|first| first >= case.history.load_start + SETTLED + MEASURED);
    if measured && after < before * ENOUGH {
        findings.add("I12", Counter::Other, format!("goodput was {before:.1}/s and is {after:.1}/s after the faults"));
    }
}
