//! What comes by Kafka.

use super::*;
use crate::torture::truth::{DeadLetter, Wanted};

/// Two of the ten messages came by Kafka, one of them twice, and a stranger's record was refused.
fn found(damage: impl FnOnce(&mut Truth)) -> Vec<(&'static str, Counter)> {
    super::found(|history, truth| {
        history.sendings.retain(|sending| !matches!(&*sending.client_msg_id, "x4" | "x7"));
        let wanted = |id: &str, sender: &str| Wanted { id: name(id), conversation: name("c"), sender: name(sender) };
        truth.ingest = vec![wanted("i4", "ann"), wanted("i4", "ann"), wanted("i5", "eve"), wanted("i7", "bob")];
        truth.dead.push(DeadLetter { id: name("i5"), reason: "not_a_member: eve".into() });
        for (id, seq) in [("i4", 4), ("i7", 7)] {
            truth.ingested.insert(name(id), vec![(name("c"), seq)]);
        }
        damage(truth);
    })
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(found(|_| ()), []);
}

#[test]
fn i21_a_record_that_is_lost_or_stored_twice_or_elsewhere() {
    let lost = found(|truth| drop(truth.ingested.insert(name("i4"), Vec::new())));
    assert!(lost.contains(&("I21", Counter::Lost)), "{lost:?}");
    let twice = found(|truth| truth.ingested.get_mut("i4").unwrap().push((name("c"), 8)));
    assert_eq!(twice, [("I21", Counter::Duplicated)]);
    let elsewhere = found(|truth| truth.ingested.get_mut("i4").unwrap()[0].0 = name("d"));
    assert!(elsewhere.contains(&("I21", Counter::Leaked)), "{elsewhere:?}");
}

#[test]
fn i21_records_that_are_stored_in_another_order() {
    let swapped = found(|truth| {
        truth.ingested.get_mut("i4").unwrap()[0].1 = 7;
        truth.ingested.get_mut("i7").unwrap()[0].1 = 4;
    });
    assert_eq!(swapped, [("I21", Counter::Reordered)]);
}

#[test]
fn i21_a_refusal_without_a_dead_letter_or_without_a_reason() {
    assert_eq!(found(|truth| truth.dead.clear()), [("I21", Counter::Lost)]);
    let strange = found(|truth| truth.dead[0].reason = "internal: the database is away".into());
    assert_eq!(strange, [("I21", Counter::Lost)]);
    let reason = "internal: the database is away".to_owned();
    let fine = found(|truth| truth.dead.push(DeadLetter { id: name("i7"), reason }));
    assert_eq!(fine, [("I21", Counter::Other)]);
}

#[test]
fn i21_a_record_that_had_to_be_refused_and_was_stored() {
    let stored = found(|truth| truth.ingest[3].sender = name("eve"));
    assert_eq!(stored, [("I21", Counter::Phantom), ("I21", Counter::Lost)]);
    let nobody_put_it_there = found(|truth| drop(truth.ingest.pop()));
    assert_eq!(nobody_put_it_there, [("I3", Counter::Phantom)]);
}
