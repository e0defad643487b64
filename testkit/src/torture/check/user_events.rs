//! I22: whoever listens to a name hears the events of that name and of no other, as they were published, in order and each
//! once. What stands in a name's log is heard by all who are fed from it, also when they come back behind what they know, or
//! they are told of a gap. What is published while nothing is in the way is heard, and is in the log.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::history::outside::{Listening, Place, Published, Road, Told};
use super::super::history::{Happened, Ms};
use super::delivered::due;
use super::{Case, Counter, Findings};

/// During these a gateway may have no connection to Redis.
const DEAF: [&str; 6] =
    ["kill-redis", "freeze-redis", "cut-gateway-redis", "deaf-gateway-redis", "isolate-gateway", "freeze-gateway"];
/// During these no worker may hold the right to write the logs, or what it writes is lost.
const UNLOGGED: [&str; 7] =
    ["kill-redis", "freeze-redis", "flush-redis", "kill-worker", "freeze-worker", "scale-workers", "deaf-worker-redis"];
/// Redis forgets what was in it.
const LOSSES: [&str; 2] = ["kill-redis", "flush-redis"];
/// How long after them: a lease of 5 s runs out, and connections are made.
const RECOVERS: Ms = 12_000;
/// An event is on its way to Redis before its publisher hears so.
const SLACK: Ms = 100;

/// All that is known to stand, or to have stood, in the log of one name.
type Log = BTreeMap<Place, u64>;

/// What one device has heard, over all connections that go on from each other.
#[derive(Default)]
struct Thread {
    /// Events that are published from here on are owed.
    from: Ms,
    heard: HashSet<u64>,
    last: u64,
    /// Up to here events may be missing, and that was said.
    excused: Ms,
}

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let mut published: HashMap<&str, Vec<&Published>> = HashMap::new();
    for event in &case.history.published {
        published.entry(&event.name).or_default().push(event);
    }
    let logs = logs(case, findings);
    let mut threads: HashMap<u32, Thread> = HashMap::new();
    for listening in &case.history.listening {
        let thread = threads.entry(listening.device).or_default();
        let since = if let Road::Log { since } = listening.road { since } else { None };
        if since.is_none() {
            *thread = Thread { from: listening.ready, ..Thread::default() };
        }
        let events = published.get(&*listening.name).map(Vec::as_slice).unwrap_or_default();
        follow(case, listening, events, thread, findings);
        if let (Road::Log { .. }, Some(log)) = (&listening.road, logs.get(&*listening.name)) {
            skips(listening, since, log, findings);
        }
        for event in events {
            missing(case, listening, event, thread, findings);
        }
    }
}

/// What stood in the logs, from those who read them, and from what is left at the end.
fn logs<'a>(case: &Case<'a>, findings: &mut Findings) -> HashMap<&'a str, Log> {
    let mut logs: HashMap<&str, Log> = HashMap::new();
    for (name, entries) in &case.truth.logs {
        for two in entries.windows(2).filter(|two| two[1].1 <= two[0].1) {
            let text = format!("in the log of {name} event {} stands behind event {}", two[1].1, two[0].1);
            findings.add("I22", if two[1].1 == two[0].1 { Counter::Duplicated } else { Counter::Reordered }, text);
        }
        logs.entry(name).or_default().extend(entries.iter().copied());
    }
    for listening in &case.history.listening {
        let log = logs.entry(&listening.name).or_default();
        for (_, told) in &listening.heard {
            if let Told::Event { place: Some(place), to, number } = told
                && *to == listening.name
                && log.insert(*place, *number).is_some_and(|other| other != *number)
            {
                let text = format!("at {place:?} of the log of {to} stands event {number} and another one");
                findings.add("I22", Counter::Phantom, text);
            }
        }
    }
    logs
}

fn who(listening: &Listening) -> String {
    let Listening { device, name, gateway, ready, .. } = listening;
    format!("listener {device} of {name} (gateway {gateway}, from {ready} ms)")
}

/// What one connection heard, one after the other.
fn follow(case: &Case<'_>, listening: &Listening, events: &[&Published], thread: &mut Thread, findings: &mut Findings) {
    let mut last_place = None;
    for (at, told) in &listening.heard {
        let at = *at;
        match told {
            Told::Strange(text) => {
                findings.add("I22", Counter::Phantom, format!("{} was told at {at} ms: {text}", who(listening)));
            }
            Told::Gap { since } => {
                thread.excused = at;
                if !case.history.faults.iter().any(|fault| LOSSES.contains(&&*fault.name) && fault.at <= at) {
                    let text = format!("{} was told of a gap behind {since:?} where nothing is lost", who(listening));
                    findings.add("I22", Counter::Other, text);
                }
            }
            Told::Event { to, number, .. } if *to != listening.name => {
                let text = format!("{} heard event {number} of {to} at {at} ms", who(listening));
                findings.add("I22", Counter::Leaked, text);
            }
            Told::Event { number, place, .. } => {
                if !events.iter().any(|event| event.number == *number) {
                    let text = format!("{} heard event {number}, which nobody published", who(listening));
                    findings.add("I22", Counter::Phantom, text);
                }
                if *number <= thread.last || place.is_some_and(|place| last_place >= Some(place)) {
                    let known = thread.heard.contains(number);
                    let text = format!("{} heard event {number} at {at} ms after {}", who(listening), thread.last);
                    findings.add("I22", if known { Counter::Duplicated } else { Counter::Reordered }, text);
                }
                last_place = place.or(last_place);
                thread.last = (*number).max(thread.last);
                thread.heard.insert(*number);
            }
        }
    }
}

/// Between two entries that were heard one after the other, no third may have stood, unless a gap was told.
fn skips(listening: &Listening, since: Option<Place>, log: &Log, findings: &mut Findings) {
    let (mut before, mut told_gap) = (since, false);
    for (at, told) in &listening.heard {
        match told {
            Told::Gap { .. } => told_gap = true,
            Told::Event { place: Some(place), to, .. } if *to == listening.name => {
                let skipped = before.filter(|before| *before < *place && !told_gap);
                let skipped = skipped.and_then(|before| log.range(before..*place).find(|(other, _)| **other != before));
                if let Some((other, number)) = skipped {
                    let text = format!("{} did not hear event {number} at {other:?} before {at} ms", who(listening));
                    findings.add("I22", Counter::Lost, text);
                }
                (before, told_gap) = (Some(*place), false);
            }
            _ => {}
        }
    }
}

fn missing(case: &Case<'_>, listening: &Listening, event: &Published, thread: &Thread, findings: &mut Findings) {
    let Some(answered) = event.answered else { return };
    let until = listening.end.unwrap_or(case.history.end);
    let is_owed = event.at > thread.from + SLACK && event.at < until && event.at > thread.excused;
    if !is_owed || thread.heard.contains(&event.number) {
        return;
    }
    let is_in_the_way = |fault: &&Happened| {
        let listed = match listening.road {
            Road::Live => DEAF.contains(&&*fault.name) && fault.gateway.is_none_or(|hurt| hurt == listening.gateway),
            Road::Log { .. } => UNLOGGED.contains(&&*fault.name),
        };
        listed && fault.at <= answered + 1000 && event.at <= fault.healed + RECOVERS
    };
    if case.history.faults.iter().any(|fault| is_in_the_way(&fault)) {
        return;
    }
    let due = due(case, listening.gateway, event.at.max(listening.ready), until);
    // whoever listens to what is published hears it at once; whoever reads the log may read on when it is back
    let patience = if listening.road == Road::Live { RECOVERS.min(case.within) } else { case.within };
    if listening.end.is_none() || until > due + patience {
        let text = format!("{} never heard event {} of {} ms", who(listening), event.number, event.at);
        findings.add("I22", Counter::Unseen, text);
    }
}
