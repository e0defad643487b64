//! The promises, one file each: what was recorded is held against what the platform has on record. Pure.
//!
//! | | promise | file |
//! |---|---|---|
//! | I1 | an acknowledged send is in the database | [`durable`] |
//! | I2 | an entitled session that is online sees it, soon after the fault | [`delivered`] |
//! | I3 | nothing appears that was not committed | [`phantom`] |
//! | I4 | in order, each once, nothing skipped, over reconnects | [`order`] |
//! | I5 | one clientMsgId is one message, and all see the same | [`identity`], [`phantom`] |
//! | I6 | seq 1..n without a gap | [`gapless`] |
//! | I7 | everything committed is on the topic, first occurrences in order; the outbox empties | [`topic`] |
//! | I8 | no offset is committed before its work was acknowledged | [`offsets`] |
//! | I9 | nobody gets what is not theirs | [`entitled`] |
//! | I10 | nothing after the token's end | [`expiry`] |
//! | I11 | slow readers are cut, nobody else is | [`slow`] |
//! | I12 | the goodput comes back | [`goodput`] |
//! | I13 | a drain closes resumably | [`drain`] |
//! | I14 | I2 holds, too, when Redis has lost everything | [`delivered`] |
//! | I20 | a guest of an open room hears its records once, in order, as they are; what is missing is said | [`records`] |
//! | I21 | what is put on `message.ingest` is stored once and in order, or is a dead letter | [`ingest`] |
//! | I22 | listeners to user events hear those of their name, in order, once; what is in the log is not missed | [`user_events`] |
//!
//! Guests of open rooms are held to I2, I3, I4, I9 and I14 like members, from where they asked for or came in.

pub mod delivered;
mod drain;
mod durable;
mod entitled;
mod expiry;
mod gapless;
pub mod goodput;
mod identity;
mod ingest;
mod offsets;
mod order;
mod phantom;
mod records;
mod slow;
mod topic;
mod user_events;

use std::collections::BTreeMap;

use super::history::{History, Ms};
use super::truth::Truth;

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub history: &'a History,
    pub truth: &'a Truth,
    /// How long after its commit, the session's start and the heal of every fault an event may still be on its way.
    pub within: Ms,
    /// How long after the end of its token a session may go on: leeway for clocks, and time to notice.
    pub grace: Ms,
}

/// Which of the figures of the result line a finding counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    Lost,
    Duplicated,
    Reordered,
    Phantom,
    Leaked,
    Unseen,
    /// None of them: still a broken promise.
    Other,
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Finding {
    pub invariant: &'static str,
    pub counter: Counter,
    pub text: String,
}

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, invariant: &'static str, counter: Counter, text: String) {
        self.0.push(Finding { invariant, counter, text });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn all(&self) -> &[Finding] {
        &self.0
    }

    pub fn count(&self, counter: Counter) -> usize {
        self.0.iter().filter(|finding| finding.counter == counter).count()
    }

    /// How many findings each invariant has.
    pub fn by_invariant(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for finding in &self.0 {
            *counts.entry(finding.invariant).or_default() += 1;
        }
        counts
    }
}

/// What clients and the log of each conversation show: for a platform that is seen from outside only.
pub fn of_clients(case: &Case<'_>) -> Findings {
    run(
        case,
        &[
            durable::check,
            delivered::check,
            phantom::check,
            order::check,
            identity::check,
            gapless::check,
            entitled::check,
            slow::check,
        ],
    )
}

/// Every check there is.
pub fn all(case: &Case<'_>) -> Findings {
    let checks: [Check; 16] = [
        durable::check,
        delivered::check,
        phantom::check,
        order::check,
        identity::check,
        gapless::check,
        topic::check,
        offsets::check,
        entitled::check,
        expiry::check,
        slow::check,
        goodput::check,
        drain::check,
        records::check,
        ingest::check,
        user_events::check,
    ];
    run(case, &checks)
}

type Check = fn(&Case<'_>, &mut Findings);

fn run(case: &Case<'_>, checks: &[Check]) -> Findings {
    let mut findings = Findings::default();
    for check in checks {
        check(case, &mut findings);
    }
    findings
}

#[cfg(test)]
mod tests;
