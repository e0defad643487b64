//! Those who listen to user events.

use super::*;
use crate::torture::history::outside::{Listening, Published, Road, Told};

fn event(number: u64, numbered: bool) -> (Ms, Told) {
    let place = numbered.then_some((1_000_000 + number, 0));
    (number * 1000 + 5, Told::Event { place, to: name("ann"), number })
}

fn listener(device: u32, road: Road, ready: Ms, numbers: std::ops::RangeInclusive<u64>) -> Listening {
    let numbered = road != Road::Live;
    let heard = numbers.map(|number| event(number, numbered)).collect();
    Listening { device, name: name("ann"), gateway: 0, road, ready, end: None, heard }
}

/// An event a second. One hears what is published, one reads the log, goes after the sixth and is back behind it after the
/// seventh.
fn found(damage: impl FnOnce(&mut [Listening; 3], &mut Truth)) -> Vec<(&'static str, Counter)> {
    with_faults(&[], damage)
}

fn with_faults(
    faults: &[(&str, Ms)],
    damage: impl FnOnce(&mut [Listening; 3], &mut Truth),
) -> Vec<(&'static str, Counter)> {
    let found = super::found(|history, truth| {
        history.published = (1..=10)
            .map(|number| Published { name: name("ann"), number, at: number * 1000, answered: Some(number * 1000 + 1) })
            .collect();
        truth.logs.insert(name("ann"), (1..=10).map(|number| ((1_000_000 + number, 0), number)).collect());
        let mut first = listener(2, Road::Log { since: None }, 500, 1..=6);
        first.end = Some(6_500);
        let second = listener(2, Road::Log { since: Some((1_000_006, 0)) }, 7_500, 7..=10);
        let mut all = [listener(1, Road::Live, 500, 1..=10), first, second];
        damage(&mut all, truth);
        history.listening.extend(all);
        for (fault, at) in faults {
            history.faults.push(Happened { name: (*fault).into(), gateway: None, at: *at, healed: at + 10 });
        }
    });
    found.into_iter().filter(|(invariant, _)| *invariant == "I22").collect()
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(found(|_, _| ()), []);
}

#[test]
fn i22_an_event_of_another_name_and_one_that_nobody_published() {
    let other = (4_500, Told::Event { place: None, to: name("bob"), number: 4 });
    assert_eq!(found(|all, _| all[0].heard.insert(4, other)), [("I22", Counter::Leaked)]);
    assert_eq!(found(|all, _| all[0].heard.push(event(11, false))), [("I22", Counter::Phantom)]);
    let strange = (11_000, Told::Strange("{}".into()));
    assert_eq!(found(|all, _| all[0].heard.push(strange)), [("I22", Counter::Phantom)]);
}

#[test]
fn i22_an_event_again_or_in_another_order() {
    assert_eq!(found(|all, _| all[0].heard.push(event(7, false))), [("I22", Counter::Duplicated)]);
    assert_eq!(found(|all, _| all[0].heard.swap(4, 5)), [("I22", Counter::Reordered)]);
    let again = found(|all, _| all[2].heard.insert(0, event(6, true)));
    assert_eq!(again, [("I22", Counter::Duplicated)], "what it came back behind");
    let twice = found(|_, truth| truth.logs.get_mut("ann").unwrap().insert(3, ((1_000_003, 1), 3)));
    assert!(twice.contains(&("I22", Counter::Duplicated)), "{twice:?}");
}

#[test]
fn i22_an_event_that_is_never_heard_unless_it_could_not_be() {
    assert_eq!(found(|all, _| drop(all[0].heard.pop())), [("I22", Counter::Unseen)]);
    assert_eq!(found(|all, _| drop(all[2].heard.pop())), [("I22", Counter::Unseen)], "the last one leaves no trace");
    let away = with_faults(&[("cut-gateway-redis", 9_995)], |all, _| drop(all[0].heard.pop()));
    assert_eq!(away, [], "Pub/Sub keeps nothing");
    let logged = with_faults(&[("cut-gateway-redis", 9_995)], |all, _| drop(all[2].heard.pop()));
    assert_eq!(logged, [("I22", Counter::Unseen)], "a log does");
    let unlogged = with_faults(&[("kill-worker", 9_995)], |all, truth| {
        all[2].heard.pop();
        truth.logs.get_mut("ann").unwrap().pop();
    });
    assert_eq!(unlogged, [], "while nobody writes it");
}

#[test]
fn i22_what_stood_in_the_log_is_not_skipped_without_a_word() {
    let faults = [("flush-redis", 7_100)];
    let skipped = with_faults(&faults, |all, _| drop(all[2].heard.remove(0)));
    assert_eq!(skipped, [("I22", Counter::Lost)]);
    let told = with_faults(&faults, |all, _| all[2].heard[0] = (7_600, Told::Gap { since: (1_000_006, 0) }));
    assert_eq!(told, []);
}

#[test]
fn i22_a_gap_where_nothing_is_lost() {
    let gap = (7_600, Told::Gap { since: (1_000_006, 0) });
    assert_eq!(found(|all, _| all[2].heard.insert(0, gap)), [("I22", Counter::Other)]);
}
