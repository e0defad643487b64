//! The log's road: what was, then what comes, each entry once and in order. Pub/Sub only says when to look.

use std::{sync::Arc, time::Duration};

use chatcluster_contracts::{close::CloseReason, ids::UserId, log_id::LogId};
use chatcluster_transport::{
    channels::{Entry, Page},
    gateway_streams::StreamError,
};

use super::{
    UserEvents,
    audience::{Audience, Follower, Frames, Seat},
    encode,
    request::Start,
};
use crate::{
    delivery::Touched,
    session::{Priority, Session, ticks},
    upstream::Backoff,
};

/// Entries read at once.
const PAGE: usize = 200;
/// Attempts to read the log for a session that begins.
const ATTEMPTS: usize = 5;
/// Between two looks whether the rate allows more.
const PACE: Duration = Duration::from_millis(100);

/// What the log holds when a seat is taken, as far as its listener is to hear that first. Read before the listener is
/// told that it is heard: what is published after that stands behind this page.
pub(super) async fn begin(hub: &UserEvents, name: &UserId, start: Start) -> Result<Page, StreamError> {
    let log = hub.keys.user_event_log(name.as_str());
    match start {
        Start::Last(count) => read(hub, &log, Piece::Last(count)).await,
        #[cfg(feature = "plants")]
        Start::After(_) if chatcluster_service::plants::planted("since-forgotten") => {
            read(hub, &log, Piece::After(LogId::default())).await
        }
        Start::After(after) => from(hub, &log, after).await,
    }
}

/// Brings one session up to where the others are, and then among them. Whoever heard of nothing before its seat was
/// taken has read everything that was there by then.
pub(super) async fn bring_up(session: Arc<Session>, seat: Seat, start: Start, past: Page) {
    if let Err(error) = catch_up(&session, seat, start, past).await {
        tracing::warn!(%error, "a listener did not get its past; it is to come back");
        session.close(CloseReason::TryAgainLater);
    }
}

async fn catch_up(session: &Arc<Session>, mut seat: Seat, start: Start, past: Page) -> Result<(), StreamError> {
    let (hub, audience) = (seat.hub.clone(), seat.audience.clone());
    let log = hub.keys.user_event_log(audience.name.as_str());
    let ids = seat.wanted.ids;
    if let Start::After(after) = start
        && ids
        && has_gap(&past, after)
    {
        session.send(encode::gap(session.form().carrier, after));
    }
    let mut page = past;
    loop {
        for entry in &page.entries {
            let carrier = session.form().carrier;
            session.enqueue(frame(carrier, ids, entry), Priority::Needed);
            // history is not to cost the session its queue
            if !session.has_room() {
                session.flush();
                session.room().await;
            }
        }
        session.flush();
        hub.metrics.user_event_replayed.inc_by(page.entries.len() as u64);
        if session.is_over() {
            return Ok(());
        }
        let reached = page.reached;
        if !page.more && join(&hub, &audience, session, &mut seat, reached) {
            return Ok(());
        }
        page = read(&hub, &log, Piece::After(reached)).await?;
    }
}

/// What came after an entry that the client knows. A log that ends before it is another log, all of which is new.
async fn from(hub: &UserEvents, log: &str, after: LogId) -> Result<Page, StreamError> {
    let end = read(hub, log, Piece::Last(0)).await?.reached;
    let from = if end < after { LogId::default() } else { after };
    read(hub, log, Piece::After(from)).await
}

/// Is something missing between an entry that the client knows and this page behind it?
fn has_gap(page: &Page, after: LogId) -> bool {
    match page.entries.first() {
        Some(first) => first.before != after,
        // nothing came since; or the log is gone, and nobody knows
        None => page.reached != after,
    }
}

/// A piece of a log.
#[derive(Debug, Clone, Copy)]
enum Piece {
    Last(usize),
    After(LogId),
}

async fn read(hub: &UserEvents, log: &str, piece: Piece) -> Result<Page, StreamError> {
    let mut backoff = Backoff::short();
    let mut attempts = 0;
    loop {
        let page = match piece {
            Piece::Last(count) => hub.logs.last(log, count).await,
            Piece::After(after) => hub.logs.after(log, after, PAGE).await,
        };
        attempts += 1;
        if page.is_ok() || attempts == ATTEMPTS {
            return page;
        }
        backoff.pause().await;
    }
}

/// False: the others are ahead, and there is more to read.
fn join(hub: &Arc<UserEvents>, audience: &Arc<Audience>, session: &Arc<Session>, seat: &mut Seat, at: LogId) -> bool {
    let mut state = audience.state.lock();
    if session.is_over() {
        return true;
    }
    if state.followers.is_empty() {
        state.cursor = at;
        state.unsure = false;
    } else if at < state.cursor {
        return false;
    }
    state.followers.push(Follower { session: session.clone(), ids: seat.wanted.ids, after: at });
    seat.is_settled = true;
    if !std::mem::replace(&mut state.is_followed, true) {
        tokio::spawn(follow(hub.clone(), audience.clone()));
    }
    drop(state);
    // something may have come between the last look and now, whose notice nobody heard
    audience.news.notify_one();
    true
}

/// Reads the log for all of a name's followers, until there are none.
async fn follow(hub: Arc<UserEvents>, audience: Arc<Audience>) {
    let log = hub.keys.user_event_log(audience.name.as_str());
    let mut backoff = Backoff::short();
    loop {
        let (cursor, noticed, unsure) = {
            let mut state = audience.state.lock();
            let noticed = state.noticed.take();
            if state.followers.is_empty() {
                state.is_followed = false;
                return;
            }
            (state.cursor, noticed, std::mem::take(&mut state.unsure))
        };
        let (from, is_another) = if unsure { look_again(&hub, &log, cursor).await } else { (Ok(cursor), false) };
        let page = match from {
            Ok(from) => hub.logs.after(&log, from, hub.page()).await,
            Err(error) => Err(error),
        };
        match page {
            Ok(page) => {
                backoff = Backoff::short();
                let more = page.more;
                let missing = is_another
                    || noticed.is_some_and(|entry| has_vanished(&page, cursor, entry))
                    || page.entries.first().is_some_and(|first| {
                        // a log that was idle for so long that it was removed begins anew, and nothing is missing
                        first.before != cursor && (unsure || first.before != LogId::default())
                    });
                deliver(&hub, &audience, &page, missing.then_some(cursor));
                if more {
                    hub.pace(&audience).await;
                } else {
                    audience.news.notified().await;
                    hub.pace(&audience).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the log of user events is not reached; trying again");
                audience.state.lock().doubt(noticed, unsure);
                backoff.pause().await;
            }
        }
    }
}

/// Is an entry not in the log any more that stood behind the cursor? Redis has lost its data since, or trimmed it.
fn has_vanished(page: &Page, cursor: LogId, entry: LogId) -> bool {
    entry > cursor && page.entries.first().is_none_or(|first| first.id > entry)
}

/// Where to read on after notices may have been missed; and whether the log is another one.
async fn look_again(hub: &UserEvents, log: &str, cursor: LogId) -> (Result<LogId, StreamError>, bool) {
    match hub.logs.last(log, 0).await {
        Ok(end) if end.reached < cursor => (Ok(LogId::default()), true),
        Ok(_) => (Ok(cursor), false),
        Err(error) => (Err(error), false),
    }
}

/// Hands a page to all followers. `missing`: behind this place there was more.
fn deliver(hub: &UserEvents, audience: &Audience, page: &Page, missing: Option<LogId>) {
    let mut touched = Touched::default();
    let mut state = audience.state.lock();
    let mut deliveries = 0;
    if let Some(since) = missing {
        for follower in state.followers.iter_mut().filter(|follower| follower.after <= since) {
            follower.after = LogId::default();
            if follower.ids {
                touched.enqueue(
                    &follower.session,
                    encode::gap(follower.session.form().carrier, since),
                    Priority::Needed,
                );
            }
        }
    }
    for entry in &page.entries {
        let mut frames = Frames::default();
        for follower in state.followers.iter().filter(|follower| follower.after < entry.id) {
            let (carrier, ids) = (follower.session.form().carrier, follower.ids);
            touched.enqueue(
                &follower.session,
                frames.get(carrier, ids, || frame(carrier, ids, entry)),
                Priority::Needed,
            );
            deliveries += 1;
        }
    }
    state.cursor = page.reached;
    drop(state);
    touched.flush(std::time::Instant::now());
    hub.metrics.user_event_deliveries.inc_by(deliveries);
    hub.metrics.user_event_messages.inc_by(page.entries.len() as u64);
}

fn frame(carrier: crate::session::Carrier, ids: bool, entry: &Entry) -> bytes::Bytes {
    if ids { encode::numbered(carrier, entry.id, &entry.payload) } else { encode::plain(carrier, &entry.payload) }
}

impl UserEvents {
    /// Entries that may be read at once.
    fn page(&self) -> usize {
        if self.rate == 0 { PAGE } else { PAGE.min(self.rate as usize) }
    }

    /// What is in the log is not lost by waiting: it comes as fast as the rate allows.
    async fn pace(&self, audience: &Audience) {
        while self.rate > 0 && !audience.state.lock().buckets[1].take_many(self.rate, self.page(), ticks::now()) {
            tokio::time::sleep(PACE).await;
        }
    }
}
