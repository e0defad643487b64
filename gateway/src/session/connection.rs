//! The task of one connection: reads, lets commands happen, writes what could not be written at once, and ends it.
//!
//! Its future is written by hand and stays small, because there is one per idle client: bytes are read into a buffer of
//! the thread, and what takes long (CONNECT, the end) is boxed while it lasts.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use chatcluster_contracts::{
    close::CloseReason,
    frame::{Connect, ServerFrame},
    position,
    problem::{Code, Problem},
};
use chatcluster_service::tokens::Claims;

use super::{
    Carrier, Session, Turn,
    commands::refuse,
    connect::connect,
    goodbye::{End, finish},
    speech::{Heard, Speech, Work},
    ticks,
};
use crate::{
    delivery::Delivery,
    protocol::{
        sockjs,
        websocket::{self, Decoder, Incoming, Violation},
    },
    shared::Shared,
};

/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    pub(super) static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// What a session does before it hears anything.
#[derive(Debug)]
pub(crate) enum First {
    /// A CONNECT that goes without saying.
    Connect(Connect),
    /// It ends, after time for the peer to read what came before.
    Leave(Duration),
}

/// A connection's way through life.
enum Phase {
    Talking,
    /// What was heard last takes its time.
    Working(Work<Result<(), CloseReason>>),
    Ending(Work<()>),
}

/// What was read leads to.
enum Step {
    More,
    Work(Work<Result<(), CloseReason>>),
    End(End),
}

/// Serves a connection to its end.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    session: Arc<Session>,
    decoder: Decoder,
    /// What came with the upgrade, or before what takes its time was done, and was not read yet.
    early: Vec<u8>,
    /// Messages that came together with one that takes its time.
    waiting: VecDeque<String>,
    speech: Speech,
    phase: Phase,
}

impl Connection {
    /// `early`: bytes that came with the upgrade. `upgrade`: who its request said it is.
    pub(crate) fn new(
        shared: Arc<Shared>,
        session: Arc<Session>,
        early: Vec<u8>,
        mut upgrade: Option<Claims>,
        first: Option<First>,
    ) -> Self {
        let phase = match first {
            Some(First::Connect(frame)) => {
                Phase::Working(Box::pin(connect(shared.clone(), session.clone(), upgrade.take(), frame)))
            }
            Some(First::Leave(pause)) => Phase::Working(Box::pin(async move {
                tokio::time::sleep(pause).await;
                Err(CloseReason::Normal)
            })),
            None => Phase::Talking,
        };
        let speech = Speech::new(session.form(), upgrade);
        Self { shared, session, decoder: Decoder::new(), early, waiting: VecDeque::new(), speech, phase }
    }

    fn read_more(&mut self) -> Step {
        if let Some(fetched) = self.session.outlet.fetched() {
            self.waiting.extend(fetched.take_posted());
            self.session.heard.store(ticks::now(), Ordering::Relaxed);
            if self.waiting.is_empty() && fetched.is_gone() {
                return Step::End(End::Lost);
            }
            return self.hear_waiting();
        }
        SCRATCH.with_borrow_mut(|scratch| match self.session.try_read(scratch) {
            Ok(0) => Step::End(End::Lost),
            Ok(count) => {
                self.session.heard.store(ticks::now(), Ordering::Relaxed);
                self.read(&scratch[..count])
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Step::More,
            Err(_) => Step::End(End::Lost),
        })
    }

    fn read(&mut self, mut bytes: &[u8]) -> Step {
        let step = match self.session.form().carrier {
            Carrier::WebSocket { .. } | Carrier::SockJs => self.read_websocket(&mut bytes),
            Carrier::Tcp => step(self.speech.bytes(&self.shared, &self.session, std::mem::take(&mut bytes))),
            Carrier::EventStream | Carrier::Fetched => return Step::More,
        };
        self.early = bytes.to_vec();
        self.note_partial();
        step
    }

    /// Reads up to something that takes its time, or all.
    fn read_websocket(&mut self, bytes: &mut &[u8]) -> Step {
        let limits = self.shared.message_limits.of(self.session.form());
        loop {
            let step = match self.decoder.next(bytes, &limits) {
                Ok(None) => return Step::More,
                Ok(Some(Incoming::Text(text))) if self.session.form().carrier == Carrier::SockJs => {
                    match sockjs::incoming::websocket(&text) {
                        Ok(texts) => {
                            self.waiting.extend(texts);
                            self.hear_waiting()
                        }
                        Err(broken) => {
                            tracing::debug!(%broken, "the client broke the protocol");
                            Step::End(End::Lost)
                        }
                    }
                }
                Ok(Some(Incoming::Text(text))) => self.hear(&text),
                Ok(Some(Incoming::Binary(payload))) => step(self.speech.bytes(&self.shared, &self.session, &payload)),
                Ok(Some(Incoming::Ping(payload))) => {
                    self.session.send(websocket::pong(&payload));
                    Step::More
                }
                Ok(Some(Incoming::Pong)) => Step::More,
                Ok(Some(Incoming::Close(code))) => Step::End(End::Client(code)),
                Err(violation) => {
                    if violation == Violation::TooBig {
                        let detail = format!("a message has at most {} bytes", limits.max_message);
                        refuse(&self.shared, &self.session, &Problem::new(Code::PayloadTooLarge, detail), None);
                    }
                    tracing::debug!(%violation, "the client broke the protocol");
                    Step::End(End::Close(violation.close_reason()))
                }
            };
            if !matches!(step, Step::More) {
                return step;
            }
        }
    }

    fn hear(&mut self, text: &str) -> Step {
        step(self.speech.text(&self.shared, &self.session, text))
    }

    fn hear_waiting(&mut self) -> Step {
        while let Some(text) = self.waiting.pop_front() {
            let step = self.hear(&text);
            if !matches!(step, Step::More) {
                return step;
            }
        }
        self.note_partial();
        Step::More
    }

    /// A message that has begun must also end.
    fn note_partial(&self) {
        let session = &self.session;
        if self.decoder.is_idle() && self.speech.is_idle() {
            session.partial_since.store(0, Ordering::Relaxed);
        } else if session.partial_since.load(Ordering::Relaxed) == 0 {
            let now = ticks::now().max(1);
            session.partial_since.store(now, Ordering::Relaxed);
            self.shared.wheel.look(session, now);
        }
    }

    fn go_on(&mut self, step: Step) {
        match step {
            Step::More => {}
            Step::Work(work) => self.phase = Phase::Working(work),
            Step::End(end) => {
                let decoder = std::mem::take(&mut self.decoder);
                self.phase = Phase::Ending(Box::pin(finish(self.shared.clone(), self.session.clone(), decoder, end)));
            }
        }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let step = match &mut this.phase {
                Phase::Talking => {
                    if this.speech.has_more() {
                        let heard = this.speech.go_on(&this.shared, &this.session);
                        this.note_partial();
                        step(heard)
                    } else if !this.waiting.is_empty() {
                        this.hear_waiting()
                    } else if this.early.is_empty() {
                        match ready!(this.session.poll_turn(context)) {
                            Turn::Read => this.read_more(),
                            Turn::Position => {
                                tell_position(&this.session);
                                Step::More
                            }
                            Turn::Close(reason) => Step::End(End::Close(reason)),
                            Turn::Broken => Step::End(End::Lost),
                        }
                    } else {
                        let early = std::mem::take(&mut this.early);
                        this.read(&early)
                    }
                }
                Phase::Working(work) => {
                    let done = ready!(work.as_mut().poll(context));
                    this.phase = Phase::Talking;
                    done.map_or_else(|reason| Step::End(End::Close(reason)), |()| Step::More)
                }
                Phase::Ending(ending) => return ending.as_mut().poll(context),
            };
            let step = match step {
                Step::More => self::step(this.speech.flush()),
                other => other,
            };
            this.go_on(step);
        }
    }
}

fn step(heard: Heard) -> Step {
    match heard {
        Heard::Nothing => Step::More,
        Heard::Working(work) => Step::Work(work),
        Heard::End(reason) => Step::End(End::Close(reason)),
    }
}

pub(super) fn tell_position(session: &Arc<Session>) {
    if let Some(position) = Delivery::position(session)
        && !position.is_empty()
    {
        session.say(&ServerFrame::Position { position: &position::encode(&position) });
    }
}
