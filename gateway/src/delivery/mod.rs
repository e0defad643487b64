//! From an event that arrived to the sockets of those entitled to it.
//!
//! [`cursor`] and [`Entitlement`] decide and are pure; [`Conversation`] guards one cursor; [`Delivery`] holds them all.
//! `attach` brings members' sessions in, `visit` those that only listen to a room, `broadcast` listens where events come by
//! a room's channel, `fetch` brings missing events, `page` those that sessions missed who come (back), `heads` notices what
//! was lost without a trace, `fanout` is where the cursor's decisions become frames.
//!
//! Locks are taken in this order: the map of conversations, a conversation, a session's places, a session's queue.

mod attach;
mod broadcast;
mod conversation;
pub mod cursor;
mod encodings;
mod entitlement;
mod fanout;
mod fetch;
mod heads;
mod page;
mod visit;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use chatcluster_contracts::{
    ids::{ConversationId, UserId},
    position::Resume,
    seq::Seq,
    stream_entry::Recipients,
};
use parking_lot::Mutex;

pub(crate) use attach::Placed;
pub use conversation::Conversation;
use cursor::Arrived;
pub use entitlement::Entitlement;
pub(crate) use fanout::Touched;
use fanout::{Arrival, Fanout};
pub(crate) use visit::{Asked, Visit, VisitNumber};

use crate::{
    metrics::GatewayMetrics,
    rooms::Rooms,
    session::{Form, Priority, Session, Sessions, Span, stomp::Notice},
    upstream::{CoreApi, Lists},
};

/// All conversations with members here. Shared by everything that delivers.
#[derive(Debug)]
pub(crate) struct Delivery {
    conversations: Mutex<HashMap<ConversationId, Arc<Conversation>>>,
    sessions: Arc<Sessions>,
    core: CoreApi,
    /// The same for sessions on their way in.
    core_for_arrivals: CoreApi,
    lists: Arc<Lists>,
    metrics: Arc<GatewayMetrics>,
    /// Longest range worth fetching for one conversation.
    resume_limit: u64,
    /// A check of everything is asked for.
    check: tokio::sync::Notify,
    /// A check of what comes by the channels of rooms is asked for.
    check_rooms: tokio::sync::Notify,
    rooms: Arc<Rooms>,
}

impl Delivery {
    pub(crate) fn new(
        sessions: Arc<Sessions>,
        core: CoreApi,
        metrics: Arc<GatewayMetrics>,
        resume_limit: u64,
        rooms: Arc<Rooms>,
    ) -> Arc<Self> {
        let (check, check_rooms) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
        let (conversations, core_for_arrivals) = (Mutex::default(), core.for_arrivals());
        let lists = Lists::new(core_for_arrivals.clone());
        Arc::new(Self {
            conversations,
            sessions,
            core,
            core_for_arrivals,
            lists,
            metrics,
            resume_limit,
            check,
            check_rooms,
            rooms,
        })
    }

    /// An event of a conversation came in, in whatever order. Never waits. The caller settles `touched`.
    pub(crate) fn event(
        self: &Arc<Self>,
        id: &ConversationId,
        event: Arrived,
        recipients: &Recipients,
        touched: &mut Touched,
    ) {
        let seq = event.seq;
        match self.find(id) {
            Some(conversation) => {
                conversation.state.lock().cursor.hold(event);
                touched.arrived(conversation, seq, recipients);
            }
            None => self.discover_all(recipients.iter(), id, seq.into()),
        }
    }

    /// An event said that its conversation goes by broadcast from now on.
    pub(crate) fn goes_by_broadcast(self: &Arc<Self>, id: &ConversationId) {
        if let Some(conversation) = self.find(id) {
            self.listen(&conversation);
        }
    }

    /// Delivers what arrived in this turn. The caller flushes `touched`.
    pub(crate) fn settle(self: &Arc<Self>, touched: &mut Touched) {
        let mut arrivals = std::mem::take(&mut touched.arrivals);
        for Arrival { conversation, span, recipients } in arrivals.drain(..) {
            let mut state = conversation.state.lock();
            state.cursor.drain(&mut Fanout::new(self, &conversation, touched));
            let strangers: Vec<&str> = recipients.iter().filter(|user| !state.cursor.has_user(user)).collect();
            let must_fetch = self.must_fetch(&mut state);
            drop(state);
            // without members it stays until the next sweep: who just left may be back with the next event
            if must_fetch {
                self.begin_to_fetch(&conversation);
            }
            self.discover_all(strangers.into_iter(), &conversation.id, span);
        }
        // for the next turn
        touched.arrivals = arrivals;
    }

    /// A recipient that is here but not in the cursor: of a new conversation, or one that its session has yet to attach.
    fn discover_all<'a>(self: &Arc<Self>, users: impl Iterator<Item = &'a str>, id: &ConversationId, span: Span) {
        for user in users {
            if self.sessions.has_user(user) {
                self.discover(user, id, span);
            }
        }
    }

    /// A conversation is said to reach up to `head`.
    pub(crate) fn raise_head(self: &Arc<Self>, id: &ConversationId, head: Seq) {
        #[cfg(feature = "plants")]
        if chatcluster_service::plants::planted("no-head-check") {
            return;
        }
        if let Some(conversation) = self.find(id) {
            conversation.state.lock().cursor.raise_head(head);
            self.fetch_if_wanted(&conversation);
        }
    }

    /// Something without seq for users of this gateway.
    pub(crate) fn direct(
        self: &Arc<Self>,
        recipients: &Recipients,
        payload: &Bytes,
        priority: Priority,
        conversation: Option<&ConversationId>,
        touched: &mut Touched,
    ) {
        self.settle(touched);
        let mut frames: Vec<(Form, Bytes)> = Vec::new();
        let mut notice = None;
        // who left in the meantime does not see others type
        let conversation = conversation.map(|id| self.find(id));
        for user in recipients.iter() {
            if let Some(conversation) = &conversation
                && !conversation.as_ref().is_some_and(|it| it.state.lock().cursor.has_user(user))
            {
                continue;
            }
            for session in self.sessions.of_user(user) {
                // before CONNECTED nothing is promised
                if !session.live.load(Ordering::Acquire) {
                    continue;
                }
                self.metrics.deliveries.inc();
                if let Some(stomp) = session.stomp() {
                    let notice = notice.get_or_insert_with(|| Notice::of(payload));
                    stomp.tell(&session, notice, |frame| touched.enqueue(&session, frame, priority));
                    continue;
                }
                let made = frames.iter().find(|(form, _)| *form == session.form()).map(|(_, frame)| frame.clone());
                let frame = made.unwrap_or_else(|| {
                    let frame = session.form().event(payload);
                    frames.push((session.form(), frame.clone()));
                    frame
                });
                touched.enqueue(&session, frame, priority);
            }
        }
    }

    /// Is the session live in the conversation? `None`: it is on its way in.
    pub(crate) fn is_member(session: &Session, id: &ConversationId) -> Option<bool> {
        let places = session.places.lock();
        if places.is_in(id) { Some(true) } else { (!places.is_busy_with(id)).then_some(false) }
    }

    /// Where a session stands in all of its conversations, once it knows them.
    pub(crate) fn position(session: &Arc<Session>) -> Option<Resume> {
        let (joined, mut position) = {
            let places = session.places.lock();
            if !places.listed {
                return None;
            }
            let pending = places.pending.iter().map(|(conversation, got)| (conversation.id.clone(), *got));
            // what was left is not to be told again to who comes back
            (places.joined.clone(), places.left().cloned().chain(pending).collect::<Resume>())
        };
        for conversation in joined {
            if let Some(seq) = conversation.state.lock().cursor.position(session) {
                position.insert(conversation.id.clone(), seq);
            }
        }
        Some(position)
    }

    /// Takes a session out of everything. Returns where it stood; nothing is delivered to it any more.
    pub(crate) fn detach(self: &Arc<Self>, session: &Arc<Session>) -> Option<Resume> {
        let (joined, pending, listed, left, visits) = {
            let mut places = session.places.lock();
            places.closed = true;
            let left: Vec<_> = places.left().cloned().collect();
            let (joined, pending) = (std::mem::take(&mut places.joined), std::mem::take(&mut places.pending));
            (joined, pending, places.listed, left, places.take_visits())
        };
        let pending_at = pending.iter().map(|(conversation, got)| (conversation.id.clone(), *got));
        let mut position: Resume = left.into_iter().chain(pending_at).collect();
        for conversation in joined {
            if let Some(seq) = conversation.state.lock().cursor.leave(session) {
                position.insert(conversation.id.clone(), seq);
            }
            self.look_at_held(conversation);
        }
        for (conversation, _) in pending {
            self.forget_if_unused(conversation);
        }
        for visit in visits {
            self.clear_visit(session, visit);
        }
        listed.then_some(position)
    }

    /// Takes a session out of conversations that no subscription of its client covers any more.
    pub(crate) fn leave_uncovered(self: &Arc<Self>, session: &Arc<Session>) {
        let gone: Vec<_> = {
            let mut places = session.places.lock();
            places.joined.extract_if(.., |conversation| !session.covers(&conversation.id)).collect()
        };
        for conversation in gone {
            conversation.state.lock().cursor.leave(session);
            self.look_at_held(conversation);
        }
    }

    /// A session does not wait for what comes any more. If it was the last one, somebody else may have joined or left by an
    /// event that is held, and is told otherwise.
    fn look_at_held(self: &Arc<Self>, conversation: Arc<Conversation>) {
        let changes = conversation.state.lock().cursor.unserved_changes();
        for (user, seq) in changes {
            self.discover_all(std::iter::once(user.as_str()), &conversation.id, seq.into());
        }
        self.forget_if_unused(conversation);
    }

    /// Asks for a check of all conversations: entries may have been lost.
    pub(crate) fn check_everything(&self) {
        #[cfg(feature = "plants")]
        if chatcluster_service::plants::planted("no-head-check") {
            return;
        }
        self.check.notify_one();
    }

    fn find(&self, id: &ConversationId) -> Option<Arc<Conversation>> {
        self.conversations.lock().get(id).cloned()
    }

    fn find_or_create(&self, id: &ConversationId) -> Arc<Conversation> {
        let mut conversations = self.conversations.lock();
        conversations.entry(id.clone()).or_insert_with(|| Arc::new(Conversation::new(id.clone()))).clone()
    }

    /// A conversation lives as long as it has members here or somebody holds it, which is how an attaching session
    /// keeps events that arrive meanwhile.
    fn forget_if_unused(&self, conversation: Arc<Conversation>) {
        let mut conversations = self.conversations.lock();
        // ours and the map's: nobody can get another while the map is locked
        if Arc::strong_count(&conversation) == 2 && conversation.state.lock().cursor.is_unused() {
            conversations.remove(&conversation.id);
        }
        drop(conversation);
    }

    fn snapshot(&self) -> Vec<Arc<Conversation>> {
        self.conversations.lock().values().cloned().collect()
    }

    fn local_users(conversation: &Conversation) -> Vec<UserId> {
        conversation.state.lock().cursor.users().cloned().collect()
    }
}
