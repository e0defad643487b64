//! Connections that are no sessions: handshakes, health checks, those told to come back later, and the requests of SockJS
//! clients without a socket. Each costs a descriptor and a task, so there are only so many.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Connections beside sessions.
const MOST: usize = 4096;
/// A client without a socket receives over one connection and sends over another.
const EACH_FETCHER: usize = 2;

#[derive(Debug, Default)]
pub(crate) struct Guests {
    here: AtomicUsize,
    fetchers: AtomicUsize,
}

/// One connection among them, for as long as it is held.
#[derive(Debug)]
pub(super) struct Guest(Arc<Guests>);

/// A session that is fetched by requests, for as long as it is held: it brings its own connections.
#[derive(Debug)]
pub(super) struct Fetcher(Arc<Guests>);

impl Guests {
    /// `None`: there are too many.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Guest> {
        let most = MOST + EACH_FETCHER * self.fetchers.load(Ordering::Relaxed);
        let before = self.here.fetch_add(1, Ordering::Relaxed);
        let guest = Guest(self.clone());
        (before < most).then_some(guest)
    }

    pub(super) fn bring(self: &Arc<Self>) -> Fetcher {
        self.fetchers.fetch_add(1, Ordering::Relaxed);
        Fetcher(self.clone())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.here.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.0.fetchers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_only_so_many_and_fetchers_bring_their_own() {
        let guests = Arc::new(Guests::default());
        let mut here: Vec<_> = (0..MOST).map(|_| guests.enter().unwrap()).collect();
        assert!(guests.enter().is_none() && guests.enter().is_none(), "those refused are not counted");
        let fetcher = guests.bring();
        here.extend((0..EACH_FETCHER).map(|_| guests.enter().unwrap()));
        assert!(guests.enter().is_none());
        drop((here, fetcher));
        assert!(guests.enter().is_some());
        assert_eq!(guests.here.load(Ordering::Relaxed), 0);
    }
}
