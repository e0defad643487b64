//! STOMP on the platform.
//!
//! The way in: [`listener`] reads frames, [`connect`] answers the first one, `platform` does what the others ask, [`body`]
//! reads what a SEND says and [`cover`] brings the session into the conversations that its subscriptions cover. The way
//! out is [`Stomp`], which every session that speaks it has: [`frames`] and [`notice`] make the frames.
//!
//! The lock in here is taken after that of a session's places and before that of its queue. It is held while a frame is
//! queued, so that what a frame says (its position, its number to acknowledge) is true of those queued before it.

mod answers;
mod body;
mod connect;
mod cover;
mod frames;
mod listener;
mod notice;
mod platform;
mod watermarks;

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use chatcluster_contracts::{
    close::CloseReason,
    frame::ServerFrame,
    ids::ConversationId,
    problem::{Code, Problem},
    seq::Seq,
};
use parking_lot::Mutex;

pub(crate) use self::{
    answers::CommitKey,
    connect::welcome,
    frames::{Frames, Reader, SharedFrames},
    listener::{Behind, Done, Here, Listener},
    notice::Notice,
    platform::Platform,
};
use self::{
    answers::{Answers, Leaving},
    frames::Run,
    watermarks::Watermarks,
};
use super::{
    Carrier, Session,
    deadlines::Beats,
    ticks::{self, Tick},
};
use crate::{
    delivery::cursor::Arrived,
    protocol::stomp::{
        Version, connect as handshake,
        destination::SubscribeTo,
        encoder::{self, ErrorFrame},
        ledger::{AckId, Ledger, LedgerFull},
        request::AckMode,
        subscriptions::{Key, Subscription, Subscriptions},
    },
};

/// Subscriptions of one session.
const MAX_SUBSCRIPTIONS: usize = 64;
/// Messages that one session has not acknowledged.
const MAX_UNACKNOWLEDGED: usize = 1000;

/// What a message is that waits for its acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sent {
    Event(ConversationId, Seq),
    Notice(u64),
}

impl Sent {
    fn is(&self, message_id: &str) -> bool {
        match self {
            Self::Event(conversation, seq) => frames::message_id(conversation, *seq) == message_id,
            Self::Notice(number) => notice::message_id(*number) == message_id,
        }
    }

    fn event(self) -> Option<(ConversationId, Seq)> {
        match self {
            Self::Event(conversation, seq) => Some((conversation, seq)),
            Self::Notice(_) => None,
        }
    }
}

/// A SUBSCRIBE that is not live yet.
#[derive(Debug)]
struct Asked {
    key: Key,
    receipt: Option<Box<str>>,
    /// The list of conversations has been read for it.
    listed: bool,
}

#[derive(Debug)]
struct State {
    /// Before CONNECTED the one whose frames every client reads.
    version: Version,
    /// Nothing is delivered any more.
    over: bool,
    /// An ERROR was said, and nothing is said after it.
    said_error: bool,
    /// Somebody reads the list of conversations for new subscriptions.
    covering: bool,
    subscriptions: Subscriptions<SubscribeTo>,
    ledger: Ledger<Sent>,
    watermarks: Watermarks,
    answers: Answers,
    #[expect(clippy::box_collection, reason = "eight bytes where nothing is asked")]
    asked: Option<Box<Vec<Asked>>>,
}

/// What a session that speaks STOMP is besides.
#[derive(Debug)]
pub(crate) struct Stomp {
    state: Mutex<State>,
    /// Agreed heart-beats in ticks, 0: none; and when the last one went out.
    beat_every: AtomicU32,
    expect_every: AtomicU32,
    beaten: AtomicU32,
}

impl Stomp {
    pub(super) fn new() -> Self {
        let state = State {
            version: Version::V1_0,
            over: false,
            said_error: false,
            covering: false,
            subscriptions: Subscriptions::new(),
            ledger: Ledger::new(),
            watermarks: Watermarks::default(),
            answers: Answers::default(),
            asked: None,
        };
        let none = || AtomicU32::new(0);
        Self { state: Mutex::new(state), beat_every: none(), expect_every: none(), beaten: none() }
    }

    /// Does a subscription cover the conversation?
    pub(super) fn covers(&self, conversation: &ConversationId) -> bool {
        self.state.lock().subscriptions.iter().any(|subscription| covers(&subscription.destination, conversation))
    }

    /// May more be sent that is to be acknowledged?
    pub(super) fn has_room(&self) -> bool {
        self.state.lock().ledger.len() <= MAX_UNACKNOWLEDGED / 2
    }

    pub(super) fn beats(&self) -> Beats {
        let every = |ticks: &AtomicU32| Some(ticks.load(Ordering::Relaxed)).filter(|ticks| *ticks > 0);
        Beats {
            send_every: every(&self.beat_every),
            expect_every: every(&self.expect_every),
            sent: self.beaten.load(Ordering::Relaxed),
        }
    }

    pub(super) fn beat(&self, now: Tick) {
        self.beaten.store(now, Ordering::Relaxed);
    }

    /// CONNECTED is next.
    fn connected(&self, version: Version, beats: handshake::Beats) {
        self.state.lock().version = version;
        self.beaten.store(ticks::now(), Ordering::Relaxed);
        let every = |beat: Option<std::time::Duration>| beat.map_or(0, ticks::of);
        self.beat_every.store(every(beats.send_every), Ordering::Relaxed);
        self.expect_every.store(every(beats.expect_every), Ordering::Relaxed);
    }

    /// Hands a run of a conversation's events to the subscriptions that cover it. False: none does, and the client does
    /// not have these events.
    pub(crate) fn deliver(
        &self,
        session: &Session,
        conversation: &ConversationId,
        events: &[Arrived],
        frames: &mut Frames,
        mut enqueue: impl FnMut(Bytes),
    ) -> bool {
        let mut state = self.state.lock();
        let State { version, over, subscriptions, ledger, .. } = &mut *state;
        let (carrier, version) = (session.form().carrier, *version);
        let covering = || subscriptions.iter().filter(|it| covers(&it.destination, conversation));
        let (Some(last), Some(positions)) = (events.last(), session.positions()) else { return true };
        if *over {
            return true;
        }
        if covering().next().is_none() {
            return false;
        }
        let run = Run { conversation, events };
        let shares = covering().all(|to| to.ack == AckMode::Auto);
        if shares && positions.has_only(conversation) {
            positions.set(conversation, last.seq);
            covering().for_each(|to| enqueue(frames.run(run, &to.destination, reader(to, carrier, version))));
            return true;
        }
        for (at, event) in events.iter().enumerate() {
            let position = positions.after(conversation, event.seq).text;
            for to in covering() {
                let sent = || Sent::Event(conversation.clone(), event.seq);
                let Ok(ack) = to_acknowledge(ledger, to, sent) else {
                    *over = true;
                    session.close(CloseReason::SlowConsumer);
                    return true;
                };
                enqueue(frames.event(run, at, &to.destination, reader(to, carrier, version), ack, &position));
            }
        }
        true
    }

    /// Hands a notice to the subscriptions of its queue.
    pub(crate) fn tell(&self, session: &Session, notice: &mut Notice, enqueue: impl FnMut(Bytes)) {
        self.state.lock().tell(session, notice, enqueue);
    }

    /// Says something of the platform's own.
    pub(super) fn say(&self, session: &Session, frame: &ServerFrame<'_>) {
        let mut state = self.state.lock();
        match frame {
            ServerFrame::Ack { client_msg_id, message_id, conversation_id, seq } => {
                let seq = seq.to_string();
                let what = [("message-id", *message_id), ("conversation-id", *conversation_id), ("seq", &seq)];
                state.stored(session, client_msg_id, &what);
            }
            ServerFrame::Error { code, message, client_msg_id } => {
                let problem = Problem::new(Code::parse(code).unwrap_or(Code::Internal), *message);
                state.refused(session, &problem, *client_msg_id, &frame.to_json());
            }
            ServerFrame::Resync { conversation_id, head, .. } => {
                let json = frame.to_json();
                let mut told = false;
                for to in [SubscribeTo::Messages, SubscribeTo::Conversation((*conversation_id).clone())] {
                    let headers = [("type", "RESYNC"), ("conversation-id", conversation_id.as_str())];
                    state.tell(session, &mut Notice::new(to, &headers, &json), |frame| {
                        told = true;
                        session.send(frame);
                    });
                }
                // who unsubscribes just now is told when it is back
                if let (true, Some(positions)) = (told, session.positions()) {
                    positions.set(conversation_id, *head);
                }
            }
            ServerFrame::Typing { .. }
            | ServerFrame::Status { .. }
            | ServerFrame::Notification { .. }
            | ServerFrame::Presence { .. } => {
                state.tell(session, &mut Notice::of(&frame.to_json()), |frame| session.send(frame));
            }
            // said by CONNECTED and by every message; a heart-beat needs no answer
            ServerFrame::Connected { .. } | ServerFrame::Position { .. } | ServerFrame::Pong => {}
        }
    }

    /// A frame was done.
    fn receipt(&self, session: &Session, id: &str) {
        self.state.lock().receipt(session, id, &[]);
    }

    /// Says why the session ends. Whoever asks closes it for the reason returned.
    fn fail(&self, session: &Session, problem: &Problem, receipt: Option<&str>) -> CloseReason {
        self.state.lock().fail(session, problem, receipt)
    }

    /// Says why there is no session.
    fn refuse_connect(&self, session: &Session, refused: handshake::ConnectRefused) -> CloseReason {
        let mut state = self.state.lock();
        state.over = true;
        state.said_error = true;
        session.send(session.form().carrier.text(&refused.to_error_frame()));
        close_reason(refused.code())
    }

    /// What a client is told that is closed for `reason` and does not know yet why.
    pub(super) fn last_words(&self, session: &Session, reason: CloseReason) -> Option<Bytes> {
        let mut state = self.state.lock();
        state.over = true;
        // who comes back at once and goes on has nothing to complain about
        if state.said_error || matches!(reason, CloseReason::Normal | CloseReason::ServiceRestart) {
            return None;
        }
        state.said_error = true;
        let text = reason.as_str();
        let frame = ErrorFrame { message: text, receipt_id: None, headers: &[("code", text)], body: text };
        Some(session.form().carrier.text(&encoder::error(state.version, &frame)))
    }

    /// Sends the receipts of subscriptions that are live now: nothing that they cover is on its way in any more.
    pub(super) fn settle(&self, session: &Session) {
        let places = session.places.lock();
        let mut state = self.state.lock();
        let State { subscriptions, asked, .. } = &mut *state;
        let Some(waiting) = asked else { return };
        let is_live = |asked: &mut Asked| {
            asked.listed
                && subscriptions.get(asked.key).is_none_or(|to| {
                    !places.pending.iter().any(|(conversation, _)| covers(&to.destination, &conversation.id))
                })
        };
        let live: Vec<_> = waiting.extract_if(.., is_live).collect();
        if waiting.is_empty() {
            *asked = None;
        }
        for id in live.into_iter().filter_map(|asked| asked.receipt) {
            state.receipt(session, &id, &[]);
        }
    }
}

impl State {
    fn tell(&mut self, session: &Session, notice: &mut Notice, mut enqueue: impl FnMut(Bytes)) {
        let Self { version, over, subscriptions, ledger, .. } = self;
        if *over {
            return;
        }
        for to in subscriptions.iter() {
            if to.destination != notice.to {
                continue;
            }
            let Ok(ack) = to_acknowledge(ledger, to, || Sent::Notice(notice.number)) else {
                *over = true;
                return session.close(CloseReason::SlowConsumer);
            };
            enqueue(notice.frame(reader(to, session.form().carrier, *version), ack));
        }
    }

    fn receipt(&self, session: &Session, id: &str, headers: &[(&str, &str)]) {
        if !self.said_error {
            session.send(session.form().carrier.text(&encoder::receipt(self.version, id, headers)));
        }
    }

    fn fail(&mut self, session: &Session, problem: &Problem, receipt: Option<&str>) -> CloseReason {
        if !std::mem::replace(&mut self.said_error, true) {
            let frame = ErrorFrame {
                message: &problem.detail,
                receipt_id: receipt,
                headers: &[("code", problem.code.as_str())],
                body: &problem.detail,
            };
            session.send(session.form().carrier.text(&encoder::error(self.version, &frame)));
        }
        self.over = true;
        close_reason(problem.code)
    }

    /// A send is stored for good.
    fn stored(&mut self, session: &Session, client_msg_id: &str, what: &[(&str, &str)]) {
        let answered = self.answers.stored(client_msg_id);
        if let Some(receipt) = answered.receipt {
            self.receipt(session, &receipt, what);
        }
        if let Some(commit) = answered.commit {
            self.receipt(session, &commit, &[]);
        }
        self.leave(session, answered.leave);
    }

    /// Something of the client's is refused. It is told so on its queue of errors, if it listens there and can go on.
    fn refused(&mut self, session: &Session, problem: &Problem, client_msg_id: Option<&str>, json: &[u8]) {
        let send = client_msg_id.map(|id| self.answers.refused(id)).unwrap_or_default();
        let listens = self.subscriptions.iter().any(|it| it.destination == SubscribeTo::Errors);
        let forbidden = client_msg_id.is_some() && matches!(problem.code, Code::NotAMember | Code::UnknownConversation);
        if send.in_transaction || forbidden || !listens {
            let reason = self.fail(session, problem, send.receipt.as_deref());
            return session.close(reason);
        }
        let mut headers = vec![("type", "ERROR"), ("code", problem.code.as_str())];
        headers.extend(send.receipt.as_deref().map(|id| ("receipt-id", id)));
        self.tell(session, &mut Notice::new(SubscribeTo::Errors, &headers, json), |frame| session.send(frame));
        self.leave(session, send.leave);
    }

    /// The last answer has come that a leaving client waited for.
    fn leave(&mut self, session: &Session, leaving: Option<Leaving>) {
        let Some(Leaving { receipt }) = leaving else { return };
        if let Some(id) = receipt {
            self.receipt(session, &id, &[]);
        }
        self.over = true;
        session.close(CloseReason::Normal);
    }
}

fn covers(to: &SubscribeTo, conversation: &ConversationId) -> bool {
    match to {
        SubscribeTo::Messages => true,
        SubscribeTo::Conversation(id) => id == conversation,
        _ => false,
    }
}

fn reader(to: &Subscription<SubscribeTo>, carrier: Carrier, version: Version) -> Reader<'_> {
    Reader { carrier, version, subscription: to.id() }
}

/// Notes what is about to be sent to a subscription that acknowledges. An error: the client has too much to acknowledge.
fn to_acknowledge(
    ledger: &mut Ledger<Sent>,
    to: &Subscription<SubscribeTo>,
    sent: impl FnOnce() -> Sent,
) -> Result<Option<AckId>, LedgerFull> {
    match to.ack {
        AckMode::Auto => Ok(None),
        mode => ledger.deliver(to.key, mode, sent(), MAX_UNACKNOWLEDGED).map(Some),
    }
}

/// What a connection is closed for after an ERROR.
const fn close_reason(code: Code) -> CloseReason {
    match code {
        Code::Unauthenticated | Code::BadCredentials => CloseReason::Unauthenticated,
        Code::TokenExpired => CloseReason::TokenExpired,
        Code::TokenRevoked => CloseReason::TokenRevoked,
        Code::TooManyConnections => CloseReason::TooManyConnections,
        Code::SlowConsumer => CloseReason::SlowConsumer,
        Code::PayloadTooLarge => CloseReason::TooBig,
        Code::Unavailable => CloseReason::TryAgainLater,
        Code::Internal => CloseReason::Internal,
        _ => CloseReason::ProtocolError,
    }
}
