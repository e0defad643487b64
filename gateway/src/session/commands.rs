//! What a client's frame does. Nothing here waits: what takes time is handed to a road shared by all sessions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use chatcluster_contracts::{
    frame::{ClientFrame, Join, Receipt, Refused, Send, ServerFrame, Typing},
    ids::{ClientMsgId, ConversationId, UserId},
    problem::{Code, Problem},
    record::TypingRecord,
    rpc::CreateMessageRequest,
    seq::Seq,
};

use chatcluster_service::trace::hop;

use super::{
    Exceeded, Identity, Session,
    rate::TokenBucket,
    ticks::{self, Tick},
};
use crate::{
    delivery::{Asked, Delivery},
    shared::Shared,
    upstream::sends::NewSend,
};

/// A user's typing in one conversation is passed on at most this often.
const TYPING_EVERY: Tick = 10;

/// What one session's task remembers between commands.
#[derive(Debug)]
pub(super) struct Memory {
    sends: TokenBucket,
    /// The typing passed on last, and when.
    typing: Option<(Typing, Tick)>,
    /// Core is being asked about a conversation that is not live here; one question at a time.
    asking: Arc<AtomicBool>,
}

impl Memory {
    pub(super) fn new(shared: &Shared) -> Self {
        Self { sends: TokenBucket::full(shared.options.send_rate, ticks::now()), typing: None, asking: Arc::default() }
    }
}

impl Memory {
    /// May the client ask for something now that costs as much as a send?
    pub(super) fn admits(&mut self, shared: &Shared) -> Result<(), Problem> {
        let rate = shared.options.send_rate;
        if self.sends.take(rate, ticks::now()) {
            Ok(())
        } else {
            Err(Problem::new(Code::RateLimited, format!("at most {rate} sends a second")))
        }
    }
}

/// Answers a frame that cannot be done; the connection survives.
pub(super) fn refuse(shared: &Shared, session: &Session, problem: &Problem, client_msg_id: Option<&str>) {
    shared.metrics.refused_frames.inc();
    session.say(&ServerFrame::error(problem, client_msg_id));
}

pub(super) fn refuse_frame(shared: &Shared, session: &Session, refused: &Refused) {
    refuse(shared, session, &refused.problem, refused.client_msg_id.as_deref());
}

/// Does what a frame asks, CONNECT excepted.
pub(super) fn perform(shared: &Shared, session: &Arc<Session>, memory: &mut Memory, frame: ClientFrame) {
    let (problem, client_msg_id) = match frame {
        ClientFrame::Ping => return session.say(&ServerFrame::Pong),
        ClientFrame::Connect(_) => (Problem::new(Code::AlreadyConnected, "this session is connected already"), None),
        ClientFrame::Join(frame) => return join(shared, session, memory, frame),
        ClientFrame::Leave { room_id } => return leave(shared, session, &room_id),
        other => {
            let Some(identity) = session.identity() else {
                let problem = Problem::new(Code::NotConnected, "the first frame must be CONNECT");
                let id = if let ClientFrame::Send(send) = &other { Some(send.client_msg_id.as_str()) } else { None };
                return refuse(shared, session, &problem, id);
            };
            match other {
                ClientFrame::Send(send) => {
                    let id = send.client_msg_id.clone();
                    (
                        match send_message(shared, session, identity, memory, send) {
                            Ok(()) => return,
                            Err(problem) => problem,
                        },
                        Some(id),
                    )
                }
                ClientFrame::Typing(typing) => return typing_changed(shared, session, identity, memory, typing),
                ClientFrame::Receipt(receipt) => match acknowledge(shared, session, identity, receipt) {
                    Ok(()) => return,
                    Err(problem) => (problem, None),
                },
                _ => return,
            }
        }
    };
    refuse(shared, session, &problem, client_msg_id.as_ref().map(ClientMsgId::as_str));
}

fn send_message(
    shared: &Shared,
    session: &Arc<Session>,
    identity: &Identity,
    memory: &mut Memory,
    send: Send,
) -> Result<(), Problem> {
    let options = &shared.options;
    if let Err(problem) = memory.admits(shared) {
        shared.metrics.send(problem.code.as_str());
        return Err(problem);
    }
    if send.content.len() > options.max_content {
        shared.metrics.send(Code::PayloadTooLarge.as_str());
        let detail = format!("the content has {} bytes, {} are accepted", send.content.len(), options.max_content);
        return Err(Problem::new(Code::PayloadTooLarge, detail));
    }
    let exceeded = shared.user_quota.take(&identity.user, send.content.len()).and_then(|()| match session.address() {
        Some(address) => shared.address_quota.take(&address, send.content.len()),
        None => Ok(()),
    });
    if let Err(exceeded) = exceeded {
        shared.metrics.send(Code::RateLimited.as_str());
        let detail = match exceeded {
            Exceeded::Messages(limit) => format!("at most {limit} sends a second over all connections"),
            Exceeded::Bytes(limit) => format!("at most {limit} bytes a second over all connections"),
        };
        return Err(Problem::new(Code::RateLimited, detail));
    }
    let trace = shared.traces.start(send.traceparent);
    let _span = hop("gateway.receive", &trace).entered();
    if trace.sampled {
        tracing::info!(
            trace_id = %trace.trace_id_hex(), hop = "gateway.receive",
            conversation_id = %send.conversation_id, "message"
        );
    }
    shared.sends.submit(NewSend {
        // whoever the frame says it is from, the sender is the token's subject
        request: CreateMessageRequest {
            sender_id: identity.user.to_string(),
            workspace_id: identity.workspace.to_string(),
            conversation_id: send.conversation_id.to_string(),
            client_msg_id: send.client_msg_id.to_string(),
            content: send.content,
            thread_root_id: send.thread_root_id.map(|id| id.to_string()).unwrap_or_default(),
            attachment_ids: send.attachment_ids,
            traceparent: trace.to_string(),
        },
        session: Arc::downgrade(session),
        trace,
        received: Instant::now(),
    })
}

fn typing_changed(shared: &Shared, session: &Arc<Session>, identity: &Identity, memory: &mut Memory, typing: Typing) {
    match Delivery::is_member(session, &typing.conversation_id) {
        Some(true) => {}
        // on its way in: nobody is told, and nobody misses it
        None => return,
        Some(false) => return ask_core(shared, session, identity, memory, typing),
    }
    let now = ticks::now();
    if memory.typing.as_ref().is_some_and(|(last, at)| *last == typing && at + TYPING_EVERY > now) {
        return;
    }
    shared.typing.submit(record(&identity.user, &typing));
    memory.typing = Some((typing, now));
}

fn record(user: &UserId, typing: &Typing) -> TypingRecord {
    TypingRecord {
        conversation_id: typing.conversation_id.clone(),
        user_id: user.clone(),
        is_typing: typing.is_typing,
        timestamp: jiff::Timestamp::now().as_millisecond(),
    }
}

/// A conversation without events is live nowhere, and still has members. Core knows: a member is brought in, so that its
/// next typing is passed on, anybody else is refused.
fn ask_core(shared: &Shared, session: &Arc<Session>, identity: &Identity, memory: &Memory, typing: Typing) {
    if memory.asking.swap(true, Ordering::Relaxed) {
        return;
    }
    let (core, delivery, metrics) = (shared.core.clone(), shared.delivery.clone(), shared.metrics.clone());
    let (session, user, road) = (session.clone(), identity.user.clone(), shared.typing.clone());
    let id = typing.conversation_id.clone();
    let asking = memory.asking.clone();
    tokio::spawn(async move {
        match core.memberships(&id, std::slice::from_ref(&user)).await {
            Ok((memberships, _)) if memberships.contains_key(&user) => {
                if session.covers(&id) {
                    delivery.discover(user.as_str(), &id, Seq::ZERO.into());
                } else {
                    // it will not be live here, and types all the same
                    road.submit(record(&user, &typing));
                }
            }
            // core is away: typing is not worth a word
            Err(_) => {}
            Ok(_) => {
                metrics.refused_frames.inc();
                let problem = Problem::new(Code::NotAMember, "you are no member of this conversation");
                session.say(&ServerFrame::error(&problem, None));
            }
        }
        asking.store(false, Ordering::Relaxed);
    });
}

fn refuse_room(shared: &Shared, session: &Session, problem: &Problem, room: &ConversationId) {
    shared.metrics.refused_frames.inc();
    session.say(&ServerFrame::room_error(problem, room));
}

/// Whoever may listen is answered by JOINED, everybody else by ERROR.
fn join(shared: &Shared, session: &Arc<Session>, memory: &mut Memory, frame: Join) {
    let asked = Asked::from(frame);
    // core is asked about the room
    let begun = if session.identity().is_some() {
        memory.admits(shared).and_then(|()| Delivery::begin_visit(session, &asked.id))
    } else {
        Err(Problem::new(Code::NotConnected, "the first frame must be CONNECT"))
    };
    let visit = match begun {
        Ok(visit) => visit,
        Err(problem) => return refuse_room(shared, session, &problem, &asked.id),
    };
    let (delivery, metrics, session) = (shared.delivery.clone(), shared.metrics.clone(), session.clone());
    tokio::spawn(async move {
        let room = asked.id.clone();
        if let Err(problem) = delivery.visit(&session, visit, asked).await {
            metrics.refused_frames.inc();
            session.say(&ServerFrame::room_error(&problem, &room));
        }
    });
}

fn leave(shared: &Shared, session: &Arc<Session>, room_id: &ConversationId) {
    if shared.delivery.leave_room(session, room_id) {
        session.say(&ServerFrame::Left { room_id });
    } else {
        let problem = Problem::new(Code::NotFound, "this session has not joined the room");
        refuse_room(shared, session, &problem, room_id);
    }
}

fn acknowledge(shared: &Shared, session: &Arc<Session>, identity: &Identity, receipt: Receipt) -> Result<(), Problem> {
    // entitlement is core's to judge: a reader of history need not be live here
    shared.receipts.submit(Some(session), &identity.user, &identity.workspace, receipt)
}
