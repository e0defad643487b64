//! What services beside the platform do and see.

use std::collections::{HashMap, HashSet};

use super::Recorder;
use crate::torture::history::outside::{Listening, Produced, Published, Told, Topic};
use crate::torture::history::{Name, Session, Visit, What};

impl Recorder {
    /// Kafka has taken a record.
    pub(crate) fn produced(&self, topic: Topic, id: &str, room: &Name, fine: bool) {
        let produced = Produced { topic, id: id.into(), room: room.clone(), at: self.clock.now(), fine };
        self.book.lock().history.produced.push(produced);
    }

    /// A user event is handed to Redis; answers what [`answered`](Self::answered) wants.
    pub(crate) fn publishing(&self, name: &Name, number: u64) -> usize {
        let published = Published { name: name.clone(), number, at: self.clock.now(), answered: None };
        let mut book = self.book.lock();
        book.history.published.push(published);
        book.history.published.len() - 1
    }

    pub(crate) fn answered(&self, published: usize) {
        let now = self.clock.now();
        if let Some(published) = self.book.lock().history.published.get_mut(published) {
            published.answered = Some(now);
        }
    }

    /// Somebody listens to user events; answers its number.
    pub(crate) fn listens(&self, listening: Listening) -> usize {
        let mut book = self.book.lock();
        book.history.listening.push(listening);
        book.history.listening.len() - 1
    }

    pub(crate) fn told(&self, listening: usize, told: Told) {
        let at = self.clock.now();
        let mut book = self.book.lock();
        book.frames += 1;
        if let Some(listening) = book.history.listening.get_mut(listening) {
            listening.heard.push((at, told));
        }
    }

    pub(crate) fn listens_no_more(&self, listening: usize) {
        let now = self.clock.now();
        if let Some(listening) = self.book.lock().history.listening.get_mut(listening) {
            listening.end = Some(now);
        }
    }

    /// It was said that the session's stay has begun.
    pub(crate) fn live(&self, session: usize) {
        let now = self.clock.now();
        let mut book = self.book.lock();
        if let Some(visit) = book.session(session).and_then(|session| session.visit.as_mut()) {
            visit.live = Some(now);
        }
    }

    /// The room that a session visits.
    pub(crate) fn visited(&self, session: usize) -> Option<Name> {
        let mut book = self.book.lock();
        book.session(session)?.visit.as_ref().map(|visit| visit.room.clone())
    }

    /// Records of their rooms that guests lack, and were not told to lack.
    pub(crate) fn lacking_records(&self) -> usize {
        let book = self.book.lock();
        let mut produced: HashMap<&Name, Vec<&Produced>> = HashMap::new();
        for record in book.history.produced.iter().filter(|record| record.topic == Topic::Created) {
            produced.entry(&record.room).or_default().push(record);
        }
        let lacking = |session: &Session| {
            let Visit { room, live: Some(live), .. } = session.visit.as_ref()? else { return None };
            let gaps = session.seen.iter().filter(|seen| matches!(seen.what, What::Gap { .. }));
            let from = gaps.map(|seen| seen.at).max().unwrap_or_default().max(*live);
            let seen: HashSet<&str> = session.seen.iter().filter_map(|seen| seen.what.record()).collect();
            let due = produced.get(room)?.iter().filter(|record| record.at > from + 1000);
            Some(due.filter(|record| !seen.contains(&*record.id)).count())
        };
        let online = book.online.values().filter_map(|online| book.history.sessions.get(book.place_of(online.number)?));
        online.filter_map(lacking).sum()
    }

    /// Messages that Kafka has taken and the platform has to store.
    pub(crate) fn ingested(&self) -> usize {
        let book = self.book.lock();
        let fine = book.history.produced.iter().filter(|record| record.topic == Topic::Ingest && record.fine);
        fine.map(|record| &record.id).collect::<HashSet<_>>().len()
    }

    /// Listeners who were there for the last event of their name and have not heard it.
    pub(crate) fn lacking_user_events(&self) -> usize {
        let book = self.book.lock();
        let mut last: HashMap<&Name, &Published> = HashMap::new();
        for published in book.history.published.iter().filter(|published| published.answered.is_some()) {
            last.insert(&published.name, published);
        }
        let online = book.history.listening.iter().filter(|listening| listening.end.is_none());
        let lacks = |listening: &&Listening| {
            let heard = listening.heard.iter().filter_map(|(_, told)| told.number()).max();
            let last = last.get(&listening.name).filter(|last| last.at > listening.ready);
            last.is_some_and(|last| heard.is_none_or(|heard| heard < last.number))
        };
        online.filter(lacks).count()
    }
}
