//! A history in which everything is as promised, and one way to break each promise.
//!
//! Rooms: `guests` of open rooms and the records they hear, `ingest`, `user_events`.

mod guests;
mod ingest;
mod user_events;

use std::sync::Arc;

use super::super::history::{
    Ack, Conduct, End, EndedBy, Event, Happened, History, Ms, Name, Seen, Sending, Session, Stillness, What,
};
use super::super::truth::{Conversation, Interval, Stored, Truth};
use super::*;

const WITHIN: Ms = 10_000;

fn name(text: &str) -> Name {
    Arc::from(text)
}

fn event(seq: u64, user: &str) -> Event {
    Event {
        conversation: name("c"),
        seq,
        kind: name("MESSAGE"),
        message_id: name(&format!("m{seq}")),
        client_msg_id: name(&format!("x{seq}")),
        user: name(user),
        fingerprint: seq * 1000,
    }
}

fn seen(at: Ms, seq: u64) -> Seen {
    Seen { at, what: What::Event(event(seq, "ann")) }
}

/// Ann sends ten messages, one a second; bob reads them and joined with the third.
fn fine() -> (History, Truth) {
    let (mut history, mut truth) = (History { load_end: 20_000, end: 60_000, ..History::default() }, Truth::default());
    let mut conversation = Conversation { last_seq: 10, ..Conversation::default() };
    let (mut ann, mut bob) = (Session::reading("ann", 100), Session::reading("bob", 200));
    for seq in 1..=10 {
        let at = seq * 1000;
        conversation.events.push(Stored { event: event(seq, "ann"), created: at });
        truth.topic.push(event(seq, "ann"));
        ann.seen.push(seen(at + 5, seq));
        if seq >= 3 {
            bob.seen.push(seen(at + 5, seq));
        }
        let ack = Ack { at: at + 3, conversation: name("c"), message_id: name(&format!("m{seq}")), seq };
        history.sendings.push(Sending {
            client_msg_id: name(&format!("x{seq}")),
            user: name("ann"),
            conversation: name("c"),
            open_loop: true,
            first_at: at,
            attempts: 1,
            acks: vec![ack],
            refused: None,
        });
    }
    conversation.members.insert(name("ann"), vec![Interval { joined: 0, left: None }]);
    conversation.members.insert(name("bob"), vec![Interval { joined: 3, left: None }]);
    truth.rest.insert(name("c"), truth.topic.clone());
    truth.conversations.insert(name("c"), conversation);
    history.sessions = vec![ann, bob];
    (history, truth)
}

/// What is found after `damage`.
fn found(damage: impl FnOnce(&mut History, &mut Truth)) -> Vec<(&'static str, Counter)> {
    let (mut history, mut truth) = fine();
    damage(&mut history, &mut truth);
    let findings = all(&Case { history: &history, truth: &truth, within: WITHIN, grace: 15_000 });
    findings.all().iter().map(|finding| (finding.invariant, finding.counter)).collect()
}

fn conversation(truth: &mut Truth) -> &mut Conversation {
    truth.conversations.get_mut("c").unwrap()
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(found(|_, _| ()), []);
}

#[test]
fn i1_an_acknowledged_message_that_is_not_in_the_database() {
    let found = found(|history, _| history.sendings[4].acks[0].message_id = name("another"));
    assert_eq!(found, [("I1", Counter::Lost)]);
}

#[test]
fn i2_an_event_that_never_arrives() {
    // the last one: nothing after it shows that it is missing
    assert_eq!(found(|history, _| drop(history.sessions[1].seen.pop())), [("I2", Counter::Unseen)]);
}

#[test]
fn i2_an_event_that_arrives_too_late_unless_a_fault_was_on() {
    let late = |history: &mut History| history.sessions[1].seen.last_mut().unwrap().at = 30_000;
    assert_eq!(found(|history, _| late(history)), [("I2", Counter::Unseen)]);
    let excused = found(|history, _| {
        late(history);
        history.faults.push(Happened { name: "freeze-redis".into(), gateway: None, at: 9_500, healed: 25_000 });
    });
    assert!(!excused.iter().any(|(invariant, _)| *invariant == "I2"), "{excused:?}");
}

#[test]
fn i2_what_befell_one_gateway_excuses_nobody_on_another() {
    let late = |gateway: usize| {
        found(move |history, _| {
            history.sessions[1].seen.last_mut().unwrap().at = 30_000;
            history.load_end = 10_500;
            let name = "isolate-gateway".into();
            history.faults.push(Happened { name, gateway: Some(gateway), at: 9_500, healed: 25_000 });
        })
    };
    assert_eq!(late(0), []);
    assert_eq!(late(1), [("I2", Counter::Unseen)]);
}

#[test]
fn i14_an_event_that_is_lost_with_redis() {
    let lost = found(|history, _| {
        history.sessions[1].seen.pop();
        history.load_end = 10_500;
        history.faults.push(Happened { name: "flush-redis".into(), gateway: None, at: 9_500, healed: 9_510 });
    });
    assert_eq!(lost, [("I14", Counter::Unseen)]);
}

#[test]
fn i2_a_session_that_ends_early_is_owed_nothing_more() {
    let ended = found(|history, _| {
        history.sessions[1].seen.pop();
        history.sessions[1].end = Some(End { at: 12_000, code: None, by: EndedBy::Client });
    });
    assert_eq!(ended, []);
}

#[test]
fn i3_a_message_from_nowhere_and_a_refused_one() {
    assert_eq!(found(|history, _| drop(history.sendings.remove(3))), [("I3", Counter::Phantom)]);
    let refused = found(|history, _| {
        history.sendings[3].acks.clear();
        history.sendings[3].refused = Some("not_a_member".into());
    });
    assert_eq!(refused, [("I3", Counter::Phantom)]);
    let frame = found(|history, _| history.sessions[0].seen.push(seen(11_000, 11)));
    assert!(frame.contains(&("I3", Counter::Phantom)), "{frame:?}");
}

#[test]
fn i4_repeats_swaps_and_holes() {
    assert_eq!(found(|history, _| history.sessions[0].seen.push(seen(20_000, 7))), [("I4", Counter::Duplicated)]);
    let swapped = found(|history, _| history.sessions[0].seen.swap(4, 5));
    assert_eq!(swapped, [("I4", Counter::Lost), ("I4", Counter::Reordered)]);
    let hole = found(|history, _| drop(history.sessions[0].seen.remove(4)));
    assert_eq!(hole, [("I2", Counter::Unseen), ("I4", Counter::Lost)]);
}

#[test]
fn i4_a_resync_says_what_is_left_out() {
    let told = found(|history, _| {
        let resync = What::Resync { conversation: name("c"), from: 5, head: 6 };
        history.sessions[0].seen.splice(4..6, [Seen { at: 5000, what: resync }]);
    });
    assert_eq!(told, []);
}

#[test]
fn i4_a_device_goes_on_exactly_where_it_left_off() {
    let resumed = |claim: u64, exact: bool| {
        found(move |history, _| {
            let ann = &mut history.sessions[0];
            ann.end = Some(End { at: 5_500, code: None, by: EndedBy::Client });
            let rest = ann.seen.split_off(5);
            let claims = BTreeMap::from([(name("c"), claim)]);
            history.sessions.push(Session { claims, exact, seen: rest, ..Session::reading("ann", 5_600) });
        })
    };
    assert_eq!(resumed(5, true), []);
    assert_eq!(resumed(7, true), [("I4", Counter::Duplicated), ("I4", Counter::Duplicated)]);
    assert_eq!(resumed(7, false), [], "a position may stand before what was seen");
    assert!(resumed(3, true).contains(&("I4", Counter::Lost)));
}

#[test]
fn i5_one_client_msg_id_stored_twice_and_two_views_of_one_seq() {
    let twice = found(|history, truth| {
        let stored = &mut conversation(truth).events[4];
        stored.event.client_msg_id = name("x4");
        history.sendings.remove(4);
    });
    assert!(twice.contains(&("I5", Counter::Duplicated)), "{twice:?}");
    let acks = found(|history, _| {
        let mut other = history.sendings[4].acks[0].clone();
        (other.seq, other.message_id) = (6, name("m6"));
        history.sendings[4].acks.push(other);
    });
    assert!(acks.contains(&("I5", Counter::Duplicated)), "{acks:?}");
    let views = found(|history, _| {
        let What::Event(event) = &mut history.sessions[1].seen[2].what else { panic!("no event") };
        event.fingerprint += 1;
    });
    assert_eq!(views, [("I5", Counter::Phantom)]);
}

#[test]
fn i6_a_hole_in_the_log_and_a_head_that_is_wrong() {
    assert!(found(|_, truth| drop(conversation(truth).events.remove(6))).contains(&("I6", Counter::Lost)));
    assert!(found(|_, truth| conversation(truth).last_seq = 11).contains(&("I6", Counter::Lost)));
    assert_eq!(found(|_, truth| drop(truth.rest.get_mut("c").unwrap().pop())), [("I6", Counter::Lost)]);
}

#[test]
fn i7_events_that_miss_the_topic_or_come_out_of_order_and_an_outbox_that_stays_full() {
    assert_eq!(found(|_, truth| drop(truth.topic.pop())), [("I7", Counter::Lost)]);
    assert_eq!(found(|_, truth| truth.topic.swap(3, 4)), [("I7", Counter::Lost)]);
    assert_eq!(found(|_, truth| truth.topic.insert(6, event(4, "ann"))), [], "a repeat is allowed");
    assert_eq!(found(|_, truth| truth.outbox_rows = 1), [("I7", Counter::Other)]);
}

#[test]
fn i8_an_offset_that_moves_while_redis_is_frozen() {
    let moved = |to| {
        found(move |history, _| {
            let (first, last) = (BTreeMap::from([(3, 17)]), BTreeMap::from([(3, to)]));
            history.stillness.push(Stillness { at: 5_000, first, last });
        })
    };
    assert_eq!(moved(17), []);
    assert_eq!(moved(18), [("I8", Counter::Other)]);
}

#[test]
fn i9_frames_to_somebody_who_left_or_was_never_there() {
    let left = found(|_, truth| {
        truth.conversations.get_mut("c").unwrap().members.get_mut("bob").unwrap()[0].left = Some(8);
    });
    assert_eq!(left, [("I9", Counter::Leaked), ("I9", Counter::Leaked)]);
    let stranger = found(|history, _| {
        let other = What::Other { conversation: name("c") };
        let seen = vec![Seen { at: 4000, what: other }];
        history.sessions.push(Session { seen, ..Session::reading("eve", 50) });
    });
    assert_eq!(stranger, [("I9", Counter::Leaked)]);
}

#[test]
fn i10_frames_after_the_token_has_ended() {
    assert_eq!(found(|history, _| history.sessions[0].expires = Some(50_000)), []);
    let late = found(|history, _| {
        history.sessions[0].expires = Some(1_000);
        history.sessions[0].seen.last_mut().unwrap().at = 17_000;
    });
    assert_eq!(late, [("I10", Counter::Leaked)]);
    let open = found(|history, _| history.sessions[0].expires = Some(12_000));
    assert_eq!(open, [("I10", Counter::Other)]);
}

#[test]
fn i10_sessions_after_a_sign_out() {
    let ended = |session: &mut Session, at: Ms| {
        session.signed_out = Some(at);
        session.end = Some(End { at: at + 100, code: Some(4411), by: EndedBy::Server });
    };
    assert_eq!(found(|history, _| ended(&mut history.sessions[0], 50_000)), []);
    let open = found(|history, _| history.sessions[0].signed_out = Some(12_000));
    assert_eq!(open, [("I10", Counter::Other)]);
    let taken_again = found(|history, _| {
        history.sessions.push(Session { signed_out: Some(1_000), ..Session::reading("eve", 30_000) });
    });
    assert_eq!(taken_again, [("I10", Counter::Other)], "the token of the login that ended");
    let unreachable = found(|history, _| {
        history.sessions[0].signed_out = Some(40_000);
        let name = "isolate-gateway".into();
        history.faults.push(Happened { name, gateway: Some(0), at: 39_000, healed: 58_000 });
    });
    assert_eq!(unreachable, [], "a gateway that nobody reaches cannot know");
}

#[test]
fn i11_slow_readers_that_stay_and_fast_ones_that_are_cut() {
    let slow = |end: Option<End>| {
        found(move |history, _| {
            history.sessions.push(Session { conduct: Conduct::Slow, end, ..Session::reading("ann", 100) });
        })
    };
    assert_eq!(slow(None), [("I11", Counter::Other)]);
    assert_eq!(slow(Some(End { at: 9_000, code: Some(4429), by: EndedBy::Server })), []);
    let cut = found(|history, _| {
        history.sessions[0].end = Some(End { at: 10_500, code: Some(4429), by: EndedBy::Server });
    });
    assert_eq!(cut, [("I11", Counter::Other)]);
    let backlog = found(|history, _| {
        history.sessions[0].end = Some(End { at: 10_500, code: Some(4429), by: EndedBy::Server });
        history.faults.push(Happened { name: "freeze-kafka".into(), gateway: None, at: 2_000, healed: 9_000 });
    });
    assert_eq!(backlog, [], "what piled up in an outage");
    let late = found(|history, _| {
        history.sessions[0].end = Some(End { at: 14_000, code: Some(4429), by: EndedBy::Server });
        history.sessions[0].seen[9].at = 13_500;
    });
    assert_eq!(late, [], "what comes long after its commit piled up somewhere");
    assert_eq!(found(|history, _| history.gateway_memory = 1 << 30), [("I11", Counter::Other)]);
}

#[test]
fn i12_a_goodput_that_does_not_come_back() {
    let gone = found(|history, _| {
        history.faults.push(Happened { name: "kill-core".into(), gateway: None, at: 6_500, healed: 7_000 });
        history.load_end = 10_500;
        history.sendings[7..].iter_mut().for_each(|sending| sending.acks.clear());
    });
    assert_eq!(gone, [("I12", Counter::Other)]);
    let back = found(|history, _| {
        history.faults.push(Happened { name: "kill-core".into(), gateway: None, at: 6_500, healed: 7_000 });
        history.load_end = 10_500;
    });
    assert_eq!(back, []);
    let answers_only = found(|history, _| {
        history.faults.push(Happened { name: "kill-core".into(), gateway: None, at: 6_500, healed: 7_000 });
        history.load_end = 10_500;
        history.sendings[7..].iter_mut().for_each(|sending| sending.acks.clear());
        for seq in 0..40 {
            let sending = Sending { open_loop: false, first_at: 8_000 + seq * 50, ..history.sendings[0].clone() };
            history.sendings.push(sending);
        }
    });
    assert!(answers_only.contains(&("I12", Counter::Other)), "{answers_only:?}");
}

#[test]
fn i13_a_drain_that_cuts_without_a_word() {
    let drained = |code| {
        found(move |history, _| {
            history.load_end = 11_000;
            history.faults.push(Happened {
                name: "drain-gateway".into(),
                gateway: Some(0),
                at: 10_900,
                healed: 10_990,
            });
            history.sessions[0].end = Some(End { at: 10_950, code, by: EndedBy::Server });
        })
    };
    assert_eq!(drained(Some(1012)), []);
    assert_eq!(drained(None), [("I13", Counter::Other)]);
}
