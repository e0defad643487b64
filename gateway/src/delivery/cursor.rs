//! What one gateway has delivered of one conversation, and to whom the next event goes. Pure: events and heads go in in
//! any order, deliveries come out in seq order, once. It knows no socket, no clock and no core.
//!
//! Membership is part of the same order: who receives event n is decided by the events before n.

use std::collections::HashMap;

use bytes::Bytes;
use chatcluster_contracts::{event::EventType, ids::UserId, seq::Seq, trace::TraceParent};

/// Most events one cursor keeps while it waits for those before them.
pub const HOLD_LIMIT: usize = 1000;
/// Events that came together go out together, up to so many bytes of them.
const RUN_BYTES: usize = 64 * 1024;

/// An event as it came from a worker or from core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    pub seq: Seq,
    pub event_type: EventType,
    /// Membership events: who joined or left.
    pub subject: Option<UserId>,
    /// The event's JSON.
    pub payload: Bytes,
    pub trace: Option<TraceParent>,
}

/// Someone who receives events: a session, or a test's stand-in.
pub trait Recipient: Clone {
    /// None: nobody signed in, so nobody to deliver to.
    fn user_id(&self) -> Option<&UserId>;
    fn is(&self, other: &Self) -> bool;
}

/// Where a cursor's decisions go.
pub trait Sink<R> {
    /// `run`: events of consecutive seq, never empty; the same run for most recipients.
    fn deliver(&mut self, run: &[Arrived], to: &R);
    /// The events `from..=head` will not be delivered.
    fn resync(&mut self, to: &R, from: Seq, head: Seq);
    /// The sessions of a user who joined with event `seq` that are ready to receive it. Those still attaching are not:
    /// they find the conversation by themselves.
    fn joining(&mut self, user: &UserId, seq: Seq) -> Vec<R>;
    /// No longer entitled to anything after `seq`.
    fn left(&mut self, who: &R, seq: Seq);
    /// As [`deliver`](Self::deliver), to somebody who visits the room and is no member.
    fn deliver_to_guest(&mut self, run: &[Arrived], to: &R) {
        self.deliver(run, to);
    }
    /// Who visited as long as it was a member is one no more.
    fn visit_over(&mut self, _who: &R) {}
}

/// What a cursor lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The events with `after < seq <= until`.
    Events { after: Seq, until: Seq },
    /// More than is worth fetching, or it is not kept any more: who is a member now, and what is the head.
    Memberships,
}

/// How an attempt to join ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    Joined,
    /// The cursor is already past this session: it needs the events up to and including this one first.
    Behind(Seq),
}

#[derive(Debug)]
struct Member<R> {
    session: R,
    /// Only events with a higher seq are for it: it has the others.
    after: Seq,
}

/// A session that listens to the room, member or not. Who is a member, too, is served as one.
#[derive(Debug)]
struct Guest<R> {
    session: R,
    after: Seq,
    /// The room is not open: the visit ends with the membership.
    bound: bool,
}

#[derive(Debug)]
pub struct Cursor<R> {
    /// The seq delivered next. None until somebody joins, and again when the last one has gone.
    next: Option<Seq>,
    /// The highest seq heard of, by whatever road.
    known_head: Seq,
    /// In order of seq, each once. Mostly empty, or one run that goes out at once: a vector costs least then.
    hold: Vec<Arrived>,
    members: HashMap<UserId, Vec<Member<R>>>,
    guests: HashMap<UserId, Vec<Guest<R>>>,
    /// A range is beyond reach, so who is a member can only be asked.
    lost_track: bool,
}

impl<R> Default for Cursor<R> {
    fn default() -> Self {
        let (members, guests) = (HashMap::new(), HashMap::new());
        Self { next: None, known_head: Seq::ZERO, hold: Vec::new(), members, guests, lost_track: false }
    }
}

impl<R: Recipient> Cursor<R> {
    pub fn is_unused(&self) -> bool {
        self.members.is_empty() && self.guests.is_empty()
    }

    /// Is a session of the user here as a member's?
    pub fn has_user(&self, user: &str) -> bool {
        self.members.contains_key(user)
    }

    /// Who joined or left by events that are held, where nobody is served any more who would wait for them.
    pub fn unserved_changes(&self) -> Vec<(UserId, Seq)> {
        let held = self.hold.iter().filter(|_| self.next.is_none());
        held.filter_map(|event| Some((event.subject.clone()?, event.seq))).collect()
    }

    /// Those whose membership counts.
    pub fn users(&self) -> impl Iterator<Item = &UserId> {
        let bound = self.guests.iter().filter(|(_, guests)| guests.iter().any(|guest| guest.bound));
        self.members.keys().chain(bound.map(|(user, _)| user))
    }

    /// Takes in an event: delivers it when its turn has come, holds it when it is early, drops it when it is old.
    pub fn arrive(&mut self, event: Arrived, sink: &mut impl Sink<R>) {
        self.hold(event);
        self.drain(sink);
    }

    /// Takes in an event that [`drain`](Self::drain) delivers, unless it is old.
    pub fn hold(&mut self, event: Arrived) {
        self.known_head = self.known_head.max(event.seq);
        if self.next.is_some_and(|next| event.seq < next) {
            return;
        }
        let place = match self.hold.last() {
            Some(last) if last.seq >= event.seq => self.hold.partition_point(|held| held.seq < event.seq),
            _ => self.hold.len(),
        };
        if self.hold.get(place).is_some_and(|held| held.seq == event.seq) {
            return;
        }
        if self.hold.len() >= HOLD_LIMIT {
            // the lowest are worth most: they are delivered first; the head remembers that there was more
            if place == self.hold.len() {
                return;
            }
            self.hold.pop();
        }
        self.hold.insert(place, event);
    }

    /// The conversation is known to reach up to `head`.
    pub fn raise_head(&mut self, head: Seq) {
        self.known_head = self.known_head.max(head);
    }

    /// The seq up to which everybody here has been served; none while nobody is here.
    pub fn served(&self) -> Option<Seq> {
        self.next.map(Seq::previous)
    }

    /// The highest seq heard of so far.
    pub fn known_head(&self) -> Seq {
        self.known_head
    }

    /// What to ask core for, if anything is missing. `limit`: the longest range worth fetching.
    pub fn wanted(&self, limit: u64) -> Option<Wanted> {
        let next = self.next?;
        if self.lost_track {
            return Some(Wanted::Memberships);
        }
        let until = self.hold.first().map_or(self.known_head, |held| held.seq.previous());
        let after = next.previous();
        match until.distance_from(after) {
            0 => None,
            count if count > limit => Some(Wanted::Memberships),
            _ => Some(Wanted::Events { after, until }),
        }
    }

    /// Takes in core's answer to [`Wanted::Events`]: the events, core's head, and the lowest seq still kept.
    pub fn fetched(&mut self, events: Vec<Arrived>, head: Seq, oldest: Seq, sink: &mut impl Sink<R>) {
        let highest_held = self.hold.last().map_or(Seq::ZERO, |held| held.seq);
        if let Some(next) = self.next {
            if oldest > next && head >= next {
                self.lost_track = true;
                self.raise_head(head);
                return;
            }
            if head < next {
                // whoever named a higher head was wrong: core is the record
                self.known_head = head.max(highest_held);
            }
        }
        self.raise_head(head);
        for event in events {
            self.arrive(event, sink);
        }
    }

    /// Takes in core's answer to [`Wanted::Memberships`]: since when each of the users `asked` about that is a member is
    /// one, and the head at that time. Everything up to `head` is given up, explicitly.
    pub fn resynced(&mut self, asked: &[UserId], joined: &HashMap<UserId, Seq>, head: Seq, sink: &mut impl Sink<R>) {
        let Some(next) = self.next else { return };
        self.lost_track = false;
        if head < next {
            self.known_head = head.max(self.hold.last().map_or(Seq::ZERO, |held| held.seq));
            return;
        }
        self.members.retain(|user, sessions| {
            let since = joined.get(user);
            // whoever came after the question was asked is a member by what it read itself
            let gone = since.is_none() && asked.contains(user);
            for member in sessions.iter_mut() {
                let from = next.max(member.after.next()).max(since.copied().unwrap_or_default());
                if from <= head {
                    sink.resync(&member.session, from, head);
                }
                // who joined after the head was read is owed nothing of what lies between
                member.after = member.after.max(head).max(since.map_or(Seq::ZERO, |since| since.previous()));
                if gone {
                    sink.left(&member.session, head);
                }
            }
            !gone
        });
        for (user, guests) in &mut self.guests {
            let members = self.members.get(user);
            for guest in guests {
                let from = next.max(guest.after.next());
                guest.after = guest.after.max(head);
                if from <= head && !is_among(members, &guest.session) {
                    sink.resync(&guest.session, from, head);
                }
            }
        }
        self.end_bound_visits(|user| asked.contains(user) && !joined.contains_key(user), sink);
        self.next = (!self.is_unused()).then(|| head.next());
        self.raise_head(head);
        self.drain(sink);
    }

    /// Adds a session that has every event it is entitled to up to and including `got`.
    pub fn join(&mut self, session: R, got: Seq, sink: &mut impl Sink<R>) -> Join {
        match self.next {
            Some(next) if got < next.previous() => return Join::Behind(next.previous()),
            Some(_) => {}
            None => self.next = Some(got.next()),
        }
        self.raise_head(got);
        self.add(session, got);
        self.drain(sink);
        Join::Joined
    }

    /// Adds a session as a guest that has every event up to and including `got`. One that is served as a member's goes on
    /// from where it is. `bound`: the visit ends with the membership.
    pub fn visit(&mut self, session: R, got: Seq, bound: bool, sink: &mut impl Sink<R>) -> Join {
        let got = self.position(&session).unwrap_or(got);
        match self.next {
            Some(next) if got < next.previous() => return Join::Behind(next.previous()),
            Some(_) => {}
            None => self.next = Some(got.next()),
        }
        self.raise_head(got);
        if let Some(user) = session.user_id().cloned() {
            let guests = self.guests.entry(user).or_default();
            if !guests.iter().any(|guest| guest.session.is(&session)) {
                guests.push(Guest { session, after: got, bound });
            }
        }
        self.drain(sink);
        Join::Joined
    }

    /// Ends a visit. Who is a member, too, stays as such. Returns the seq up to which it was served, if it was a guest.
    pub fn end_visit(&mut self, session: &R) -> Option<Seq> {
        let guests = self.guests.get_mut(session.user_id()?)?;
        let at = guests.iter().position(|guest| guest.session.is(session))?;
        let after = guests.swap_remove(at).after;
        let is_last = guests.is_empty();
        let served = self.next.map(|next| after.max(next.previous()));
        if is_last && let Some(user) = session.user_id() {
            self.guests.remove(user);
        }
        self.rest_if_unused();
        served
    }

    /// Serves a guest as a member's session from where it is. False: it is no guest.
    pub fn promote(&mut self, session: &R) -> bool {
        let guest = |user| self.guests.get(user)?.iter().find(|guest| guest.session.is(session));
        let Some(after) = session.user_id().and_then(guest).map(|guest| guest.after) else { return false };
        self.add(session.clone(), after);
        true
    }

    fn rest_if_unused(&mut self) {
        if self.is_unused() {
            self.next = None;
            self.lost_track = false;
        }
    }

    fn end_bound_visits(&mut self, of: impl Fn(&UserId) -> bool, sink: &mut impl Sink<R>) {
        self.guests.retain(|user, guests| {
            if of(user) {
                for guest in guests.extract_if(.., |guest| guest.bound) {
                    sink.visit_over(&guest.session);
                }
            }
            !guests.is_empty()
        });
    }

    /// Removes a member's session; returns the seq up to which it was served. Its visit goes on, if it is a guest, too.
    pub fn leave(&mut self, session: &R) -> Option<Seq> {
        let position = self.position(session)?;
        let user = session.user_id()?;
        if let Some(sessions) = self.members.get_mut(user) {
            sessions.retain(|member| !member.session.is(session));
            if sessions.is_empty() {
                self.members.remove(user);
            }
        }
        self.rest_if_unused();
        Some(position)
    }

    /// The seq up to which a session has been served.
    pub fn position(&self, session: &R) -> Option<Seq> {
        let sessions = self.members.get(session.user_id()?)?;
        let member = sessions.iter().find(|member| member.session.is(session))?;
        Some(member.after.max(self.next?.previous()))
    }

    fn add(&mut self, session: R, after: Seq) {
        let Some(user) = session.user_id() else { return };
        match self.members.get_mut(user) {
            Some(sessions) => {
                if !sessions.iter().any(|member| member.session.is(&session)) {
                    sessions.push(Member { session, after });
                }
            }
            None => {
                // room for one: most users have one session here
                self.members.insert(user.clone(), vec![Member { session, after }]);
            }
        }
    }

    /// Delivers what is held for as long as it is gapless.
    pub fn drain(&mut self, sink: &mut impl Sink<R>) {
        let mut run = Vec::new();
        while self.take_run(&mut run) {
            self.deliver(&run, sink);
            run.clear();
        }
    }

    /// The next events that all go to the same members. False: there are none.
    fn take_run(&mut self, run: &mut Vec<Arrived>) -> bool {
        let (Some(mut next), false) = (self.next, self.lost_track) else { return false };
        if self.hold.first().is_some_and(|held| held.seq < next) {
            self.hold.retain(|held| held.seq >= next);
        }
        let (mut count, mut bytes) = (0, 0);
        for held in &self.hold {
            let changes_members = held.subject.is_some();
            if held.seq > next || (changes_members && count > 0) {
                break;
            }
            (count, bytes, next) = (count + 1, bytes + held.payload.len(), next.next());
            if changes_members || bytes >= RUN_BYTES {
                break;
            }
        }
        if count == 0 {
            return false;
        }
        if count == self.hold.len() {
            // what waits is the run; nothing stays allocated for a conversation at rest
            *run = std::mem::take(&mut self.hold);
        } else {
            run.extend(self.hold.drain(..count));
        }
        true
    }

    fn deliver(&mut self, run: &[Arrived], sink: &mut impl Sink<R>) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
        if let (EventType::UserJoined, Some(user)) = (first.event_type, &first.subject) {
            for session in sink.joining(user, first.seq) {
                self.add(session, first.seq.previous());
            }
        }
        for member in self.members.values().flatten().filter(|member| member.after < last.seq) {
            let had = run.iter().take_while(|event| event.seq <= member.after).count();
            sink.deliver(&run[had..], &member.session);
        }
        for (user, guests) in &self.guests {
            let members = self.members.get(user);
            for guest in guests.iter().filter(|guest| guest.after < last.seq) {
                if is_among(members, &guest.session) {
                    continue;
                }
                let had = run.iter().take_while(|event| event.seq <= guest.after).count();
                sink.deliver_to_guest(&run[had..], &guest.session);
            }
        }
        self.next = Some(last.seq.next());
        #[cfg(feature = "plants")]
        if chatcluster_service::plants::planted("deliver-after-leaving") {
            return;
        }
        if let (EventType::UserLeft, Some(user)) = (first.event_type, &first.subject)
            && let Some(sessions) = self.members.get_mut(user)
        {
            // a session that was already served past this event joined knowing of it
            for member in sessions.extract_if(.., |member| member.after < first.seq) {
                sink.left(&member.session, first.seq);
            }
            // the cursor goes on even when nobody is left: who left may be added again by the next event
            if sessions.is_empty() {
                self.members.remove(user);
            }
        }
        if let (EventType::UserLeft, Some(user)) = (first.event_type, &first.subject) {
            self.end_bound_visits(|other| other == user, sink);
        }
    }
}

fn is_among<R: Recipient>(members: Option<&Vec<Member<R>>>, session: &R) -> bool {
    members.is_some_and(|members| members.iter().any(|member| member.session.is(session)))
}
