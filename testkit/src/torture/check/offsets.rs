//! I8: while Redis answers nobody, no fan-out can be acknowledged, so no offset may move.

use super::{Case, Counter, Findings};

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    for stillness in &case.history.stillness {
        for (partition, last) in &stillness.last {
            let first = stillness.first.get(partition).copied().unwrap_or(*last);
            if *last > first {
                let at = stillness.at;
                let text = format!(
                    "Redis froze at {at} ms; the group went on from {first} to {last} on partition {partition}"
                );
                findings.add("I8", Counter::Other, text);
            }
        }
    }
}
