//! I20: whoever is in an open room hears the records that are put there from then on, and behind the one that it asks for:
//! each once, as it came, in one order for all, which within a key is that of Kafka. What may be missing is said by GAP.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::history::{Ms, Session, Visit, What};
use super::super::truth::Record;
use super::delivered::due;
use super::{Case, Counter, Findings};

/// A record is on the topic a little before whoever put it there hears so; and a clock has milliseconds.
const SLACK: Ms = 100;

/// What one device has heard of one room, over all its stays that go on from each other.
#[derive(Default)]
struct Thread<'a> {
    /// Records that were put there from here on are owed.
    from: Ms,
    heard: HashSet<&'a str>,
    /// Up to here records may be missing, and that was said.
    excused: Ms,
}

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let records: HashMap<&str, &Record> = case.truth.records.iter().map(|record| (&*record.id, record)).collect();
    let mut rooms: HashMap<&str, Vec<&Record>> = HashMap::new();
    for record in &case.truth.records {
        rooms.entry(&record.room).or_default().push(record);
    }
    let mut threads: HashMap<(u32, &str), Thread<'_>> = HashMap::new();
    let mut orders: BTreeMap<&str, Vec<Vec<&str>>> = BTreeMap::new();
    for session in &case.history.sessions {
        let Some(Visit { room, since, live }) = &session.visit else { continue };
        let thread = threads.entry((session.device, room)).or_default();
        if since.is_none() {
            // a stay that never began is owed nothing
            *thread = Thread { from: live.unwrap_or(Ms::MAX), ..Thread::default() };
        }
        let order = follow(session, room, &records, thread, findings);
        orders.entry(room).or_default().push(order);
        for record in rooms.get(&**room).into_iter().flatten() {
            missing(case, session, record, thread, findings);
        }
    }
    for (room, orders) in orders {
        if let Some(id) = contradiction(&orders) {
            let text = format!("of {room} some have heard {id} and what was around it in another order than others");
            findings.add("I20", Counter::Reordered, text);
        }
    }
}

/// One stay. Answers what came, each once.
fn follow<'a>(
    session: &'a Session,
    room: &str,
    records: &HashMap<&str, &'a Record>,
    thread: &mut Thread<'a>,
    findings: &mut Findings,
) -> Vec<&'a str> {
    let who = || format!("device {} of {} (in {room} from {} ms)", session.device, session.user, session.ready);
    let (mut here, mut order, mut of_key) = (HashSet::new(), Vec::new(), HashMap::new());
    for entry in &session.seen {
        let (id, fingerprint) = match &entry.what {
            What::Record { room: of, id, fingerprint } if **of == *room => (id, *fingerprint),
            What::Gap { since, .. } => {
                thread.excused = entry.at;
                if since.is_some() {
                    // everything that there is comes then
                    thread.heard.clear();
                }
                continue;
            }
            // somebody else's, which is another promise
            _ => continue,
        };
        let Some(record) = records.get(&**id).filter(|record| record.fingerprint == fingerprint) else {
            findings.add("I20", Counter::Phantom, format!("{} heard {id}, which nobody put there so", who()));
            continue;
        };
        if !here.insert(&**id) || thread.heard.contains(&**id) {
            findings.add("I20", Counter::Duplicated, format!("{} heard {id} again at {} ms", who(), entry.at));
            continue;
        }
        let before = of_key.insert(&record.key, record);
        if let Some(before) = before.filter(|before| offset(&before.id) > offset(id)) {
            let text = format!("{} heard {id} after {}, both under the key {}", who(), before.id, record.key);
            findings.add("I20", Counter::Reordered, text);
        }
        order.push(&**id);
    }
    thread.heard.extend(&order);
    order
}

/// Within a partition.
fn offset(id: &str) -> Option<u64> {
    id.split_once('-')?.1.parse().ok()
}

fn missing(case: &Case<'_>, session: &Session, record: &Record, thread: &Thread<'_>, findings: &mut Findings) {
    let until = session.end.as_ref().map_or(case.history.end, |end| end.at);
    let is_owed = record.created > thread.from.saturating_add(SLACK) && record.created < until;
    if !is_owed || record.created <= thread.excused || thread.heard.contains(&*record.id) {
        return;
    }
    let due = due(case, session.gateway, record.created.max(session.ready), until);
    // whoever goes before its time may ask for it when it is back
    if session.end.is_none() || until > due + case.within {
        let Session { device, user, gateway, .. } = session;
        let text = format!(
            "the record {} of {} at {} ms never reached device {device} of {user} on gateway {gateway}, due at {due} ms",
            record.id, record.room, record.created
        );
        findings.add("I20", Counter::Unseen, text);
    }
}

/// Is there no order that all of these are parts of? Then one that stands in different places.
fn contradiction<'a>(orders: &[Vec<&'a str>]) -> Option<&'a str> {
    let mut after: HashMap<&str, HashSet<&'a str>> = HashMap::new();
    let mut before: HashMap<&'a str, usize> = HashMap::new();
    for order in orders {
        for id in order {
            before.entry(id).or_default();
        }
        for pair in order.windows(2) {
            if after.entry(pair[0]).or_default().insert(pair[1]) {
                *before.entry(pair[1]).or_default() += 1;
            }
        }
    }
    // whatever has nothing before it is taken away, until nothing is left
    let mut free: Vec<&str> = before.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
    while let Some(id) = free.pop() {
        before.remove(id);
        for next in after.remove(id).into_iter().flatten() {
            if let Some(count) = before.get_mut(next) {
                *count -= 1;
                if *count == 0 {
                    free.push(next);
                }
            }
        }
    }
    before.into_keys().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_one_order_agree_and_two_that_differ_do_not() {
        assert_eq!(contradiction(&[vec!["a", "b", "d"], vec!["b", "c"], vec!["a", "c", "d"]]), None);
        assert!(contradiction(&[vec!["a", "b", "c"], vec!["c", "b"]]).is_some());
        assert!(contradiction(&[vec!["a", "b"], vec!["b", "c"], vec!["c", "a"]]).is_some());
    }
}
