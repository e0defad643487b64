//! Where the whole fleet writes down what it does and sees, while it does.
//!
//! Rooms: `outside` is what services beside the platform write, `pages` the record in parts.

mod outside;
mod pages;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::clock::Clock;
use super::history::{
    Ack, Conduct, End, EndedBy, Happened, History, Ms, Name, Seen, Sending, Session, Stillness, What,
};
use super::truth::Heads;

#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) clock: Clock,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    history: History,
    /// Devices that are online.
    online: HashMap<u32, Online>,
    /// Who knows that it has left which conversation.
    left: HashSet<(Name, Name)>,
    /// The highest seq that anybody has seen.
    heads: HashMap<Name, u64>,
    acknowledged: usize,
    refused: usize,
    frames: usize,
    /// Sessions in the pages that were turned over.
    turned: usize,
    /// Under which number a session of an earlier page goes on in this one.
    goes_on: HashMap<usize, usize>,
}

/// A device that is online.
struct Online {
    /// Of its last session.
    number: usize,
    /// How far it has come.
    places: BTreeMap<Name, u64>,
    /// The same, where it knows that it has left.
    left: BTreeMap<Name, u64>,
}

impl Online {
    fn lacks(&self, (conversation, head): &(Name, u64)) -> bool {
        let reached = self.places.get(conversation).max(self.left.get(conversation));
        reached.is_none_or(|reached| reached < head)
    }
}

impl Book {
    /// Where the session is that was given this number when it began.
    fn place_of(&self, number: usize) -> Option<usize> {
        self.goes_on.get(&number).unwrap_or(&number).checked_sub(self.turned)
    }

    fn session(&mut self, number: usize) -> Option<&mut Session> {
        let place = self.place_of(number)?;
        self.history.sessions.get_mut(place)
    }
}

/// Live figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) sent: usize,
    pub(crate) acknowledged: usize,
    /// Neither acknowledged nor refused.
    pub(crate) open: usize,
    pub(crate) frames: usize,
    pub(crate) online: usize,
    /// Events that others have seen and an online session has not.
    pub(crate) behind: u64,
}

impl Recorder {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, book: Arc::default() }
    }

    /// Answers what [`acknowledged`](Self::acknowledged) and [`refused`](Self::refused) want.
    pub(crate) fn sending(&self, user: &Name, conversation: &Name, client_msg_id: &str, open_loop: bool) -> usize {
        let sending = Sending {
            client_msg_id: client_msg_id.into(),
            user: user.clone(),
            conversation: conversation.clone(),
            open_loop,
            first_at: self.clock.now(),
            attempts: 0,
            acks: Vec::new(),
            refused: None,
        };
        let mut book = self.book.lock();
        book.history.sendings.push(sending);
        book.history.sendings.len() - 1
    }

    pub(crate) fn attempt(&self, sending: usize) {
        if let Some(sending) = self.book.lock().history.sendings.get_mut(sending) {
            sending.attempts += 1;
        }
    }

    pub(crate) fn acknowledged(&self, sending: usize, conversation: &str, message_id: &str, seq: u64) {
        let ack = Ack { at: self.clock.now(), conversation: conversation.into(), message_id: message_id.into(), seq };
        let mut book = self.book.lock();
        let Some(sending) = book.history.sendings.get_mut(sending) else { return };
        sending.acks.push(ack);
        book.acknowledged += usize::from(sending.acks.len() == 1);
    }

    /// A final refusal. It says nothing about an earlier attempt, which may have been stored.
    pub(crate) fn refused(&self, sending: usize, code: &str) {
        let mut book = self.book.lock();
        book.refused += 1;
        if let Some(sending) = book.history.sendings.get_mut(sending)
            && sending.attempts == 1
        {
            sending.refused = Some(code.to_owned());
        }
    }

    /// A session has begun; answers its number.
    pub(crate) fn connected(&self, session: Session) -> usize {
        let mut book = self.book.lock();
        let index = book.turned + book.history.sessions.len();
        if session.conduct == Conduct::Reading {
            let knows = |id: &Name| book.left.contains(&(session.user.clone(), id.clone()));
            let (left, places) = session.claims.clone().into_iter().partition(|(id, _)| knows(id));
            book.online.insert(session.device, Online { number: index, places, left });
        }
        book.history.sessions.push(session);
        index
    }

    pub(crate) fn saw(&self, session: usize, what: What) {
        let at = self.clock.now();
        let mut book = self.book.lock();
        book.frames += 1;
        let reached = match &what {
            What::Event(event) => Some((event.conversation.clone(), event.seq)),
            What::Resync { conversation, head, .. } => Some((conversation.clone(), *head)),
            What::Other { .. } | What::Record { .. } | What::Gap { .. } => None,
        };
        let Some(of) = book.session(session) else { return };
        of.seen.push(Seen { at, what });
        let device = of.device;
        let Some((conversation, seq)) = reached else { return };
        let left = matches!(&of.seen.last(), Some(Seen { what: What::Event(event), .. })
            if &*event.kind == "USER_LEFT" && event.user == of.user);
        let membership = (of.user.clone(), conversation.clone());
        if let Some(online) = book.online.get_mut(&device)
            && online.number == session
        {
            let place = online.places.entry(conversation.clone()).or_default();
            *place = seq.max(*place);
            if left && let Some(place) = online.places.remove(&conversation) {
                online.left.insert(conversation.clone(), place);
            }
        }
        if left {
            book.left.insert(membership);
        } else {
            book.left.remove(&membership);
        }
        let head = book.heads.entry(conversation).or_default();
        *head = seq.max(*head);
    }

    /// The session's login is ended, says the platform.
    pub(crate) fn signed_out(&self, session: usize, at: Ms) {
        if let Some(session) = self.book.lock().session(session) {
            session.signed_out = Some(at);
        }
    }

    pub(crate) fn ended(&self, session: usize, code: Option<u16>, by: EndedBy) {
        let at = self.clock.now();
        let mut book = self.book.lock();
        let Some(of) = book.session(session) else { return };
        of.end = Some(End { at, code, by });
        let device = of.device;
        if book.online.get(&device).is_some_and(|online| online.number == session) {
            book.online.remove(&device);
        }
    }

    pub(crate) fn fault(&self, happened: Happened) {
        self.book.lock().history.faults.push(happened);
    }

    pub(crate) fn stillness(&self, stillness: Stillness) {
        self.book.lock().history.stillness.push(stillness);
    }

    pub(crate) fn gateway_memory(&self, bytes: u64) {
        let mut book = self.book.lock();
        book.history.gateway_memory = book.history.gateway_memory.max(bytes);
    }

    pub(crate) fn load_began(&self) {
        self.book.lock().history.load_start = self.clock.now();
    }

    pub(crate) fn load_ended(&self) {
        self.book.lock().history.load_end = self.clock.now();
    }

    pub(crate) fn progress(&self) -> Progress {
        let book = self.book.lock();
        let places = book.online.values().flat_map(|online| &online.places);
        let behind =
            places.map(|(conversation, at)| book.heads.get(conversation).map_or(0, |head| head.saturating_sub(*at)));
        let sent = book.history.sendings.len();
        Progress {
            sent,
            acknowledged: book.acknowledged,
            open: sent.saturating_sub(book.acknowledged + book.refused),
            frames: book.frames,
            online: book.online.len(),
            behind: behind.sum(),
        }
    }

    /// Online sessions that lack events, when `heads` says how far each conversation goes.
    pub(crate) fn lacking(&self, heads: &Heads) -> usize {
        let book = self.book.lock();
        let lacks = |online: &&Online| {
            let session = book.place_of(online.number).and_then(|place| book.history.sessions.get(place));
            session.map(|session| heads.of(session)).iter().flatten().any(|owed| online.lacks(owed))
        };
        book.online.values().filter(lacks).count()
    }

    /// Ends the recording.
    pub(crate) fn close(&self) -> History {
        let mut history = self.book.lock().history.clone();
        history.end = self.clock.now();
        history
    }

    pub(crate) fn now(&self) -> Ms {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::history::Event;

    fn name(text: &str) -> Name {
        text.into()
    }

    /// A session of bob's that is ready at 100 ms, with one event seen of `c`.
    fn after(kind: &str, seq: u64) -> Recorder {
        let recorder = Recorder::new(Clock::start());
        let number = recorder.connected(Session::reading("bob", 100));
        let (conversation, user, none) = (name("c"), name("bob"), name(""));
        let (message_id, client_msg_id) = (none.clone(), none);
        let kind = name(kind);
        let event = Event { conversation, seq, kind, message_id, client_msg_id, user, fingerprint: seq };
        recorder.saw(number, What::Event(event));
        recorder
    }

    #[test]
    fn who_has_left_is_waited_for_until_it_knows() {
        let leaving =
            |at: Ms| Heads { of_leavers: HashMap::from([(name("bob"), vec![(name("c"), 7, at)])]), ..Heads::default() };
        assert_eq!(after("USER_JOINED", 6).lacking(&leaving(5_000)), 1);
        assert_eq!(after("USER_LEFT", 7).lacking(&leaving(5_000)), 0);
        // what was over when the session came is not told
        assert_eq!(after("USER_JOINED", 3).lacking(&leaving(50)), 0);
    }
}
