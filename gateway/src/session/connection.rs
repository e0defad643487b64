//! The task of one connection: reads, lets commands happen, writes what could not be written at once, and ends it.
//!
//! Its future is written by hand and stays small, because there is one per idle client: bytes are read into a buffer of
//! the thread, and what takes long (CONNECT, the end) is boxed while it lasts.

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use chatcluster_contracts::{
    close::CloseReason,
    frame::{ClientFrame, Connect, ServerFrame},
    position,
    problem::{Code, Problem},
};
use chatcluster_service::tokens::Claims;

use super::{
    Dialect, Session, Turn,
    commands::{self, Memory, refuse, refuse_frame},
    connect::connect,
    goodbye::{End, finish},
    ticks,
};
use crate::{
    delivery::Delivery,
    gateway::Shared,
    protocol::{
        native,
        websocket::{Decoder, Incoming, Violation},
    },
};

/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    pub(super) static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A connection's way through life.
enum Phase {
    Talking,
    /// CONNECT is being worked on.
    Connecting(Work<Result<(), CloseReason>>),
    Ending(Work<()>),
}

/// What the bytes read so far lead to.
enum Step {
    More,
    Connect(Connect),
    End(End),
}

/// Serves a connection to its end.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    session: Arc<Session>,
    decoder: Decoder,
    /// What came with the upgrade, or with CONNECT, and was not read yet.
    early: Vec<u8>,
    /// Who the upgrade request said it is.
    upgrade: Option<Box<Claims>>,
    memory: Option<Box<Memory>>,
    phase: Phase,
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>, session: Arc<Session>, early: Vec<u8>, upgrade: Option<Claims>) -> Self {
        Self {
            shared,
            session,
            decoder: Decoder::new(),
            early,
            upgrade: upgrade.map(Box::new),
            memory: None,
            phase: Phase::Talking,
        }
    }

    fn read_socket(&mut self) -> Step {
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
        let step = loop {
            let limits = self.shared.message_limits.of(self.session.form);
            match self.decoder.next(&mut bytes, &limits) {
                Ok(None) => break Step::More,
                Ok(Some(Incoming::Text(text))) => {
                    if let Some(connect) = self.text(&text) {
                        self.early = bytes.to_vec();
                        break Step::Connect(connect);
                    }
                }
                Ok(Some(Incoming::Binary(payload))) => {
                    if self.session.form.dialect == Dialect::Echo {
                        self.session.send(self.session.form.binary(&payload));
                    }
                }
                Ok(Some(Incoming::Ping(payload))) => self.session.send(self.session.form.pong(&payload)),
                Ok(Some(Incoming::Pong)) => {}
                Ok(Some(Incoming::Close(code))) => break Step::End(End::Client(code)),
                Err(violation) => {
                    if violation == Violation::TooBig {
                        let detail = format!("a message has at most {} bytes", limits.max_message);
                        refuse(&self.shared, &self.session, &Problem::new(Code::PayloadTooLarge, detail), None);
                    }
                    tracing::debug!(%violation, "the client broke the protocol");
                    break Step::End(End::Close(violation.close_reason()));
                }
            }
        };
        self.note_partial();
        step
    }

    /// Does what a text message asks. CONNECT is handed back: it takes its time.
    fn text(&mut self, text: &str) -> Option<Connect> {
        match self.session.form.dialect {
            Dialect::Native => match native::read(text) {
                Ok(ClientFrame::Connect(connect)) => return Some(connect),
                Ok(frame) => {
                    let memory = self.memory.get_or_insert_with(|| Box::new(Memory::new(&self.shared)));
                    commands::perform(&self.shared, &self.session, memory, frame);
                }
                Err(refused) => refuse_frame(&self.shared, &self.session, &refused),
            },
            Dialect::Echo => self.session.send(self.session.form.text(text.as_bytes())),
            Dialect::Bare => {}
        }
        None
    }

    /// A message that has begun must also end.
    fn note_partial(&self) {
        let session = &self.session;
        if self.decoder.is_idle() {
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
            Step::Connect(frame) => {
                let claims = self.upgrade.take().map(|claims| *claims);
                let connecting = connect(self.shared.clone(), self.session.clone(), claims, frame);
                self.phase = Phase::Connecting(Box::pin(connecting));
            }
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
                    if this.early.is_empty() {
                        match ready!(this.session.poll_turn(context)) {
                            Turn::Read => this.read_socket(),
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
                Phase::Connecting(connecting) => {
                    let connected = ready!(connecting.as_mut().poll(context));
                    this.phase = Phase::Talking;
                    connected.map_or_else(|reason| Step::End(End::Close(reason)), |()| Step::More)
                }
                Phase::Ending(ending) => return ending.as_mut().poll(context),
            };
            this.go_on(step);
        }
    }
}

pub(super) fn tell_position(session: &Arc<Session>) {
    if let Some(position) = Delivery::position(session)
        && !position.is_empty()
    {
        session.say(&ServerFrame::Position { position: &position::encode(&position) });
    }
}
