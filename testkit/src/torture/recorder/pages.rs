//! The record page by page, for a run that has chapters.

use std::collections::HashMap;

use super::{Online, Recorder};
use crate::torture::history::{History, Session};

impl Recorder {
    /// Answers everything since the last page, and begins a new one: open sessions go on there from where they are. Sendings are
    /// on every page, as what was sent may still be seen on the next.
    pub(crate) fn turn_page(&self) -> History {
        let now = self.clock.now();
        let mut book = self.book.lock();
        let book = &mut *book;
        let sendings = book.history.sendings.clone();
        let mut page =
            std::mem::replace(&mut book.history, History { sendings, load_start: now, ..History::default() });
        (page.load_end, page.end) = (now, now);
        let mut goes_on = HashMap::new();
        let turned = book.turned + page.sessions.len();
        for Online { number, places, .. } in book.online.values() {
            let Some(before) = book.place_of(*number).and_then(|place| page.sessions.get(place)) else { continue };
            let session = Session {
                user: before.user.clone(),
                visit: before.visit.clone(),
                ready: now,
                end: None,
                claims: places.clone(),
                exact: true,
                seen: Vec::new(),
                ..*before
            };
            goes_on.insert(*number, turned + book.history.sessions.len());
            book.history.sessions.push(session);
        }
        (book.goes_on, book.turned) = (goes_on, turned);
        page
    }
}
