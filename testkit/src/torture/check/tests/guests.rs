//! Guests of an open room, and the records that they hear.

use super::*;
use crate::torture::history::Visit;
use crate::torture::truth::Record;

fn record(number: u64) -> Record {
    let id = name(&format!("0-{number}"));
    Record { id, key: name("k"), room: name("c"), fingerprint: number, created: number * 1000 }
}

fn hears(number: u64) -> Seen {
    let Record { room, id, fingerprint, created, .. } = record(number);
    Seen { at: created + 5, what: What::Record { room, id, fingerprint } }
}

fn gap(at: Ms, since: Option<&str>) -> Seen {
    Seen { at, what: What::Gap { room: name("c"), since: since.map(name) } }
}

/// In the room from `ready` on, behind what there was until then.
fn stay(ready: Ms, since: Option<&str>) -> Session {
    let visit = Some(Visit { room: name("c"), since: since.map(name), live: Some(ready) });
    let claims = BTreeMap::from([(name("c"), ready / 1000)]);
    Session { device: 9, visit, claims, ..Session::reading("eve", ready) }
}

/// Eve is a guest from 2.5 s on, and hears the messages and the records that come from then on, one a second.
fn found(damage: impl FnOnce(&mut Session, &mut Truth)) -> Vec<(&'static str, Counter)> {
    with_two(|eve, _, truth| damage(eve, truth))
}

/// At 6.5 s she leaves, and is back at 7.5 s behind what she has heard.
fn with_two(damage: impl FnOnce(&mut Session, &mut Session, &mut Truth)) -> Vec<(&'static str, Counter)> {
    super::found(|history, truth| {
        truth.records = (1..=10).map(record).collect();
        let (mut first, mut second) = (stay(2_500, None), stay(7_500, Some("0-6")));
        second.claims.insert(name("c"), 6);
        first.end = Some(End { at: 6_500, code: None, by: EndedBy::Client });
        for number in 3..=10 {
            let stay = if number <= 6 { &mut first } else { &mut second };
            stay.seen.extend([seen(number * 1000 + 5, number), hears(number)]);
        }
        damage(&mut first, &mut second, truth);
        history.sessions.extend([first, second]);
    })
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(found(|_, _| ()), []);
}

#[test]
fn a_guest_is_owed_the_events_of_its_room_like_a_member() {
    assert_eq!(with_two(|_, eve, _| drop(eve.seen.remove(6))), [("I2", Counter::Unseen)]);
    assert_eq!(found(|eve, _| eve.seen.push(seen(6_400, 5))), [("I4", Counter::Duplicated)]);
    let hole = found(|eve, _| drop(eve.seen.remove(2)));
    assert_eq!(hole, [("I4", Counter::Lost)], "the stay was short, and still nothing may be skipped");
}

#[test]
fn i9_events_and_records_of_another_room() {
    let other = |eve: &mut Session, _: &mut Truth| eve.visit = None;
    let leaked = found(other);
    assert_eq!(leaked.iter().filter(|found| **found == ("I9", Counter::Leaked)).count(), 8, "{leaked:?}");
    let record = found(|eve, _| {
        let what = What::Record { room: name("d"), id: name("0-3"), fingerprint: 3 };
        eve.seen.push(Seen { at: 6_000, what });
    });
    assert_eq!(record, [("I9", Counter::Leaked)]);
}

#[test]
fn i20_a_record_twice_in_a_stay_or_in_two_that_go_on_from_each_other() {
    assert_eq!(found(|eve, _| eve.seen.push(hears(4))), [("I20", Counter::Duplicated)]);
    assert_eq!(with_two(|_, eve, _| eve.seen.insert(0, hears(5))), [("I20", Counter::Duplicated)]);
    let told = with_two(|_, eve, _| drop(eve.seen.splice(0..0, [gap(7_600, Some("0-6")), hears(5)])));
    assert_eq!(told, [], "all there is comes behind a gap");
}

#[test]
fn i20_a_record_that_never_comes_unless_that_is_said() {
    let never = |said: bool| {
        with_two(move |_, eve, _| {
            eve.seen.pop();
            if said {
                eve.seen.push(gap(11_000, None));
            }
        })
    };
    assert_eq!(never(false), [("I20", Counter::Unseen)]);
    assert_eq!(never(true), []);
    let unanswered = found(|eve, _| {
        eve.visit.as_mut().unwrap().live = None;
        eve.seen.remove(1);
    });
    assert_eq!(unanswered, [], "nobody said that it was there");
    let between = with_two(|_, eve, _| drop(eve.seen.remove(1)));
    assert_eq!(between, [("I20", Counter::Unseen)], "what came while it was away");
    let anew = with_two(|_, eve, _| {
        eve.visit.as_mut().unwrap().since = None;
        eve.seen.remove(1);
    });
    assert_eq!(anew, [], "who begins anew is not owed it");
    let early = with_two(|_, eve, _| eve.seen.insert(0, gap(7_600, None)));
    assert_eq!(early, [], "a gap excuses nothing that came");
    let later = with_two(|_, eve, _| {
        eve.seen.insert(0, gap(7_600, None));
        eve.seen.pop();
    });
    assert_eq!(later, [("I20", Counter::Unseen)], "nor what was put there after it");
}

#[test]
fn i20_records_in_another_order_than_that_of_their_key_or_of_others() {
    assert_eq!(found(|eve, _| eve.seen.swap(1, 3)), [("I20", Counter::Reordered)]);
    let others = super::found(|history, truth| {
        truth.records = (1..=10).map(|number| Record { key: name(&format!("k{number}")), ..record(number) }).collect();
        for (device, order) in [(20, [3, 4]), (21, [4, 3])] {
            let mut eve = Session { device, ..stay(2_500, None) };
            eve.end = Some(End { at: 4_500, code: None, by: EndedBy::Client });
            eve.seen = order.into_iter().map(hears).chain([seen(4_400, 3), seen(4_400, 4)]).collect();
            history.sessions.push(eve);
        }
    });
    assert_eq!(others, [("I20", Counter::Reordered)]);
}

#[test]
fn i20_a_record_that_nobody_put_there_so() {
    let changed = found(|eve, _| {
        if let What::Record { fingerprint, .. } = &mut eve.seen[1].what {
            *fingerprint += 1;
        }
    });
    assert!(changed.contains(&("I20", Counter::Phantom)), "{changed:?}");
}
