//! Whatever the roads lose, repeat or reorder: each session sees each event it is entitled to once, in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use bytes::Bytes;
use chatcluster_contracts::{event::EventType, ids::UserId, seq::Seq};
use chatcluster_gateway::delivery::{
    Entitlement,
    cursor::{Arrived, Cursor, HOLD_LIMIT, Join, Recipient, Sink, Wanted},
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Session {
    user: UserId,
    key: usize,
}

impl Recipient for Session {
    fn user_id(&self) -> Option<&UserId> {
        Some(&self.user)
    }
    fn is(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

#[derive(Debug, Default)]
struct Seen {
    events: BTreeMap<usize, Vec<u64>>,
    resyncs: Vec<(usize, u64, u64)>,
    left: Vec<usize>,
    /// Visits that ended with a membership.
    over: Vec<usize>,
    /// Sessions that a joining finds.
    ready: Vec<Session>,
}

impl Sink<Session> for Seen {
    fn deliver(&mut self, run: &[Arrived], to: &Session) {
        assert!(!run.is_empty() && run.windows(2).all(|pair| pair[1].seq == pair[0].seq.next()), "{run:?}");
        self.events.entry(to.key).or_default().extend(run.iter().map(|event| event.seq.get()));
    }
    fn resync(&mut self, to: &Session, from: Seq, head: Seq) {
        self.resyncs.push((to.key, from.get(), head.get()));
    }
    fn joining(&mut self, user: &UserId, _seq: Seq) -> Vec<Session> {
        self.ready.iter().filter(|session| session.user == *user).cloned().collect()
    }
    fn left(&mut self, who: &Session, _: Seq) {
        self.left.push(who.key);
    }
    fn visit_over(&mut self, who: &Session) {
        self.over.push(who.key);
    }
}

fn user(name: usize) -> UserId {
    UserId::parse(&format!("u{name}")).unwrap()
}

fn session(name: usize, key: usize) -> Session {
    Session { user: user(name), key }
}

fn event(seq: u64) -> Arrived {
    Arrived { seq: Seq::new(seq), event_type: EventType::Message, subject: None, payload: Bytes::new(), trace: None }
}

fn membership(seq: u64, event_type: EventType, name: usize) -> Arrived {
    Arrived { event_type, subject: Some(user(name)), ..event(seq) }
}

#[test]
fn early_events_wait_for_those_before_them_and_old_ones_are_dropped() {
    let (mut cursor, mut seen) = (Cursor::default(), Seen::default());
    cursor.join(session(0, 0), Seq::new(4), &mut seen);
    for seq in [7, 5, 5, 3] {
        cursor.arrive(event(seq), &mut seen);
    }
    assert_eq!(seen.events[&0], [5]);
    assert_eq!(cursor.wanted(100), Some(Wanted::Events { after: Seq::new(5), until: Seq::new(6) }));
    cursor.arrive(event(6), &mut seen);
    assert_eq!(seen.events[&0], [5, 6, 7]);
    assert_eq!(cursor.wanted(100), None);
}

#[test]
fn a_head_alone_tells_of_a_lost_last_event() {
    let (mut cursor, mut seen) = (Cursor::default(), Seen::default());
    cursor.join(session(0, 0), Seq::new(4), &mut seen);
    cursor.raise_head(Seq::new(5));
    assert_eq!(cursor.wanted(100), Some(Wanted::Events { after: Seq::new(4), until: Seq::new(5) }));
    cursor.fetched(vec![event(5)], Seq::new(5), Seq::new(1), &mut seen);
    assert_eq!((seen.events[&0].as_slice(), cursor.wanted(100)), (&[5][..], None));
    // a wrong head is put right by core
    cursor.raise_head(Seq::new(9));
    cursor.fetched(vec![], Seq::new(5), Seq::new(1), &mut seen);
    assert_eq!(cursor.wanted(100), None);
}

#[test]
fn events_that_come_before_the_first_member_are_kept_for_it() {
    let (mut cursor, mut seen) = (Cursor::default(), Seen::default());
    cursor.arrive(event(5), &mut seen);
    cursor.arrive(event(6), &mut seen);
    cursor.join(session(0, 0), Seq::new(5), &mut seen);
    assert_eq!(seen.events[&0], [6]);
}

#[test]
fn whoever_joins_later_starts_where_it_stands() {
    let (mut cursor, mut seen) = (Cursor::default(), Seen::default());
    cursor.join(session(0, 0), Seq::new(4), &mut seen);
    assert_eq!(cursor.join(session(1, 1), Seq::new(2), &mut seen), Join::Behind(Seq::new(4)));
    assert_eq!(cursor.join(session(1, 1), Seq::new(6), &mut seen), Join::Joined, "ahead of the cursor");
    assert_eq!(cursor.join(session(1, 1), Seq::new(6), &mut seen), Join::Joined, "again: no second membership");
    for seq in 5..=7 {
        cursor.arrive(event(seq), &mut seen);
    }
    assert_eq!((&seen.events[&0][..], &seen.events[&1][..]), (&[5, 6, 7][..], &[7][..]));
    assert_eq!(cursor.position(&session(1, 1)), Some(Seq::new(7)));
    assert_eq!(cursor.leave(&session(1, 1)), Some(Seq::new(7)));
    assert_eq!(cursor.leave(&session(1, 1)), None);
}

#[test]
fn leaving_takes_effect_after_its_own_event_and_joining_with_it() {
    let (mut cursor, mut seen) = (Cursor::default(), Seen::default());
    seen.ready.push(session(1, 1));
    cursor.join(session(0, 0), Seq::ZERO, &mut seen);
    cursor.arrive(event(3), &mut seen);
    cursor.arrive(membership(2, EventType::UserJoined, 1), &mut seen);
    cursor.arrive(event(1), &mut seen);
    cursor.arrive(membership(4, EventType::UserLeft, 1), &mut seen);
    cursor.arrive(event(5), &mut seen);
    assert_eq!(seen.events[&0], [1, 2, 3, 4, 5]);
    assert_eq!(seen.events[&1], [2, 3, 4]);
    assert_eq!(seen.left, [1]);
}

#[test]
fn too_long_a_gap_is_said_and_memberships_are_asked_again() {
    let (mut cursor, mut seen) = (Cursor::default(), Seen::default());
    cursor.join(session(0, 0), Seq::ZERO, &mut seen);
    cursor.join(session(1, 1), Seq::ZERO, &mut seen);
    cursor.raise_head(Seq::new(2000));
    assert_eq!(cursor.wanted(1000), Some(Wanted::Memberships));
    // user 1 left somewhere in the part nobody will read
    let members = HashMap::from([(user(0), Seq::ZERO)]);
    cursor.resynced(&[user(0), user(1)], &members, Seq::new(2001), &mut seen);
    assert_eq!(seen.resyncs.iter().find(|(key, ..)| *key == 0), Some(&(0, 1, 2001)));
    assert_eq!(seen.left, [1]);
    cursor.arrive(event(2002), &mut seen);
    assert_eq!((seen.events.get(&0), seen.events.get(&1)), (Some(&vec![2002]), None));
}

#[test]
fn who_joined_after_the_head_was_read_gets_nothing_of_what_lies_between() {
    let (mut cursor, mut seen) = (Cursor::default(), Seen::default());
    cursor.join(session(0, 0), Seq::ZERO, &mut seen);
    cursor.join(session(1, 1), Seq::ZERO, &mut seen);
    cursor.raise_head(Seq::new(2000));
    assert_eq!(cursor.wanted(1000), Some(Wanted::Memberships));
    // user 1 left somewhere in the part nobody will read, and came back with event 2003
    let members = HashMap::from([(user(0), Seq::ZERO), (user(1), Seq::new(2003))]);
    cursor.resynced(&[user(0), user(1)], &members, Seq::new(2001), &mut seen);
    cursor.arrive(event(2002), &mut seen);
    cursor.arrive(membership(2003, EventType::UserJoined, 1), &mut seen);
    cursor.arrive(event(2004), &mut seen);
    assert_eq!((&seen.events[&0][..], &seen.events[&1][..]), (&[2002, 2003, 2004][..], &[2003, 2004][..]));
}

#[test]
fn pruned_history_is_said() {
    let (mut cursor, mut seen) = (Cursor::default(), Seen::default());
    cursor.join(session(0, 0), Seq::new(1), &mut seen);
    cursor.raise_head(Seq::new(9));
    cursor.fetched(vec![event(8), event(9)], Seq::new(9), Seq::new(8), &mut seen);
    assert_eq!(cursor.wanted(1000), Some(Wanted::Memberships));
    cursor.resynced(&[user(0)], &HashMap::from([(user(0), Seq::ZERO)]), Seq::new(9), &mut seen);
    assert_eq!(seen.resyncs, [(0, 2, 9)]);
    assert_eq!(cursor.wanted(1000), None);
}

#[test]
fn the_hold_is_bounded_and_keeps_what_comes_first() {
    let (mut cursor, mut seen) = (Cursor::default(), Seen::default());
    cursor.join(session(0, 0), Seq::ZERO, &mut seen);
    let end = 3 * HOLD_LIMIT as u64;
    for seq in (2..=end).rev() {
        cursor.arrive(event(seq), &mut seen);
    }
    cursor.arrive(event(1), &mut seen);
    let reached = seen.events[&0].len() as u64;
    assert_eq!(seen.events[&0], (1..=reached).collect::<Vec<_>>());
    assert_eq!(reached, HOLD_LIMIT as u64);
    assert_eq!(
        cursor.wanted(10_000),
        Some(Wanted::Events { after: Seq::new(reached), until: Seq::new(end) }),
        "the rest is fetched"
    );
}

/// One step of a history, chosen at random.
#[derive(Debug, Clone)]
enum Step {
    Commit,
    Toggle {
        user: usize,
    },
    /// The road brings an event, any that exists: early, late or again.
    Arrive {
        pick: prop::sample::Index,
    },
    /// Read the head and what was missed up to it; time passes before the session joins.
    Attach {
        user: usize,
    },
    /// The sessions that read before join now.
    Join,
    Detach {
        pick: prop::sample::Index,
    },
    Head,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Commit),
        2 => (0usize..3).prop_map(|user| Step::Toggle { user }),
        8 => any::<prop::sample::Index>().prop_map(|pick| Step::Arrive { pick }),
        2 => (0usize..3).prop_map(|user| Step::Attach { user }),
        2 => Just(Step::Join),
        1 => any::<prop::sample::Index>().prop_map(|pick| Step::Detach { pick }),
        1 => Just(Step::Head),
    ];
    prop::collection::vec(step, 1..120)
}

/// The conversation as core has it, and one gateway's cursor over it.
#[derive(Default)]
struct World {
    log: Vec<Arrived>,
    members: HashMap<usize, bool>,
    cursor: RefCell<Cursor<Session>>,
    seen: Seen,
    /// Per session: its user and the head when it attached.
    sessions: Vec<(Session, u64)>,
    detached: HashMap<usize, u64>,
    /// Sessions that have read and not joined, with the head they read.
    attaching: Vec<(Session, u64)>,
}

impl World {
    fn head(&self) -> u64 {
        self.log.len() as u64
    }

    fn is_member(&self, name: usize) -> bool {
        self.members.get(&name).copied().unwrap_or(true)
    }

    /// As the gateway does it: read the head, and join later.
    fn attach(&mut self, name: usize) {
        if self.is_member(name) {
            let session = session(name, self.sessions.len());
            self.sessions.push((session.clone(), self.head()));
            self.attaching.push((session, self.head()));
        }
    }

    /// Fetch what the cursor is ahead by, then join; who has left by then ends where the cursor is.
    fn join_all(&mut self) {
        while let Some((session, mut got)) = self.attaching.first().cloned() {
            let mut entitlement = Entitlement::Member;
            loop {
                self.seen.ready = self.ready();
                let until = if entitlement == Entitlement::Member {
                    match self.cursor.get_mut().join(session.clone(), Seq::new(got), &mut self.seen) {
                        Join::Joined => break,
                        Join::Behind(until) => until.get(),
                    }
                } else {
                    match self.cursor.get_mut().served() {
                        Some(served) if served.get() > got => served.get(),
                        Some(served) if served.get() < got => {
                            self.settle();
                            continue;
                        }
                        _ => break,
                    }
                };
                for event in &self.log[usize::try_from(got).unwrap()..usize::try_from(until).unwrap()] {
                    if entitlement.admits(event, &session.user) {
                        self.seen.events.entry(session.key).or_default().push(event.seq.get());
                    }
                }
                got = until;
            }
            self.attaching.remove(0);
        }
    }

    fn ready(&self) -> Vec<Session> {
        let attaching = |key| self.attaching.iter().any(|(session, _)| session.key == key);
        let alive = self
            .sessions
            .iter()
            .filter(|(session, _)| !self.detached.contains_key(&session.key) && !attaching(session.key));
        alive.map(|(session, _)| session.clone()).collect()
    }

    /// Core answers until nothing is wanted.
    fn settle(&mut self) {
        let head = self.head();
        self.cursor.get_mut().raise_head(Seq::new(head));
        while let Some(Wanted::Events { after, until }) = self.cursor.get_mut().wanted(1000) {
            let (from, to) = (usize::try_from(after.get()).unwrap(), usize::try_from(until.get()).unwrap());
            let events = self.log[from..to].to_vec();
            self.seen.ready = self.ready();
            self.cursor.get_mut().fetched(events, Seq::new(head), Seq::new(1), &mut self.seen);
        }
    }

    /// What a session that attached at `since` may see: every event while its user was a member.
    fn entitled(&self, name: usize, since: u64, until: u64) -> Vec<u64> {
        let mut entitlement = Entitlement::Member;
        let range = &self.log[usize::try_from(since).unwrap()..usize::try_from(until).unwrap()];
        range.iter().filter(|event| entitlement.admits(event, &user(name))).map(|event| event.seq.get()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn each_session_sees_what_it_is_entitled_to_once_and_in_order(steps in steps()) {
        let mut world = World::default();
        // somebody stays all the time: where nobody does, the cursor is given up and others are found by recipients
        world.attach(9);
        world.join_all();
        for step in steps {
            world.seen.ready = world.ready();
            match step {
                Step::Commit => world.log.push(event(world.head() + 1)),
                Step::Toggle { user } => {
                    let member = world.is_member(user);
                    let kind = if member { EventType::UserLeft } else { EventType::UserJoined };
                    world.log.push(membership(world.head() + 1, kind, user));
                    world.members.insert(user, !member);
                }
                Step::Arrive { pick } if !world.log.is_empty() => {
                    let event = pick.get(&world.log).clone();
                    world.cursor.get_mut().arrive(event, &mut world.seen);
                }
                Step::Attach { user } => world.attach(user),
                Step::Join => world.join_all(),
                Step::Detach { pick } => {
                    let ready = world.ready();
                    if ready.len() > 1 {
                        let session = pick.get(&ready[1..]);
                        // what it saw so far is its all
                        let position = world.cursor.get_mut().leave(session);
                        world.detached.insert(session.key, position.map_or(u64::MAX, Seq::get));
                    }
                }
                Step::Head => world.settle(),
                Step::Arrive { .. } => {}
            }
        }
        world.join_all();
        world.settle();
        let head = world.head();
        for (session, since) in &world.sessions {
            let name: usize = session.user.as_str()[1..].parse().unwrap();
            let seen = world.seen.events.get(&session.key).cloned().unwrap_or_default();
            prop_assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
            let ended = world.detached.get(&session.key).copied().unwrap_or(head);
            if ended == u64::MAX {
                // it was no member when it went: only order and entitlement can be said
                let all = world.entitled(name, *since, head);
                prop_assert!(all.starts_with(&seen), "{seen:?} of {all:?}");
            } else {
                prop_assert_eq!(seen, world.entitled(name, *since, ended.max(*since)), "session {} of {}", session.key, name);
            }
        }
    }
}

#[test]
fn a_guest_sees_what_passes_and_nothing_twice_when_it_is_a_member_too() {
    let (mut cursor, mut seen) = (Cursor::default(), Seen::default());
    let (guest, both) = (session(0, 0), session(1, 1));
    assert_eq!(cursor.visit(guest.clone(), Seq::new(4), false, &mut seen), Join::Joined);
    assert_eq!(cursor.visit(both.clone(), Seq::new(3), false, &mut seen), Join::Behind(Seq::new(4)));
    assert_eq!(cursor.visit(both.clone(), Seq::new(4), false, &mut seen), Join::Joined);
    seen.ready.push(both.clone());
    cursor.arrive(event(5), &mut seen);
    cursor.arrive(membership(6, EventType::UserJoined, 1), &mut seen);
    assert!(cursor.has_user("u1") && !cursor.has_user("u0"), "a guest is no member");
    cursor.arrive(event(7), &mut seen);
    cursor.arrive(membership(8, EventType::UserLeft, 1), &mut seen);
    cursor.arrive(event(9), &mut seen);
    assert_eq!(cursor.end_visit(&guest), Some(Seq::new(9)));
    cursor.arrive(event(10), &mut seen);
    assert_eq!((&seen.events[&0], &seen.events[&1]), (&vec![5, 6, 7, 8, 9], &vec![5, 6, 7, 8, 9, 10]));
    assert_eq!(cursor.end_visit(&both), Some(Seq::new(10)));
    assert!(cursor.is_unused());
}

#[test]
fn a_bound_visit_ends_with_the_membership_however_that_is_learnt() {
    let (mut cursor, mut seen) = (Cursor::default(), Seen::default());
    for key in 0..3 {
        cursor.visit(session(key, key), Seq::new(4), key != 2, &mut seen);
    }
    cursor.arrive(membership(5, EventType::UserLeft, 0), &mut seen);
    cursor.arrive(event(6), &mut seen);
    assert_eq!((seen.events[&0].as_slice(), seen.over.as_slice()), (&[5][..], &[0][..]));
    // a range was lost, and with it the word that another one left
    let asked: Vec<UserId> = cursor.users().cloned().collect();
    assert_eq!(asked, [user(1)]);
    cursor.resynced(&asked, &HashMap::new(), Seq::new(9), &mut seen);
    cursor.arrive(event(10), &mut seen);
    assert_eq!((&seen.events[&1], seen.over.as_slice()), (&vec![5, 6], &[0, 1][..]));
    assert_eq!(seen.events[&2], [5, 6, 10]);
    assert!(seen.resyncs.contains(&(2, 7, 9)));
}

#[test]
fn whose_joining_is_held_is_known_when_the_last_one_who_waited_for_it_goes() {
    let (mut cursor, mut seen) = (Cursor::default(), Seen::default());
    cursor.visit(session(0, 0), Seq::new(4), false, &mut seen);
    cursor.arrive(membership(7, EventType::UserJoined, 1), &mut seen);
    cursor.arrive(event(8), &mut seen);
    assert_eq!(cursor.unserved_changes(), [], "it comes when its turn has come");
    cursor.end_visit(&session(0, 0));
    assert_eq!(cursor.unserved_changes(), [(user(1), Seq::new(7))]);
}
