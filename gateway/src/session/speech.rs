//! From a client's messages to what they do, whatever the client speaks.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use chatcluster_contracts::{close::CloseReason, frame::ClientFrame};
use chatcluster_service::tokens::Claims;

use super::{
    Dialect, Form, Session,
    commands::{self, Memory, refuse_frame},
    connect::connect,
    stomp::{Listener, Platform},
};
use crate::{conformance::Customer, protocol::native, shared::Shared};

pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Time for readers to catch up.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a message leads to.
pub(crate) enum Heard {
    Nothing,
    /// Nothing else is heard until this is done; an error ends the session.
    Working(Work<Result<(), CloseReason>>),
    End(CloseReason),
}

/// One client's side of the conversation.
pub(super) enum Speech {
    Native {
        /// Who the upgrade request said it is.
        upgrade: Option<Box<Claims>>,
        memory: Option<Box<Memory>>,
    },
    Stomp(Box<Listener<Platform>>),
    Broker(Box<Listener<Customer>>),
    Bare,
    Echo,
}

impl Speech {
    pub(super) fn new(form: Form, upgrade: Option<Claims>) -> Self {
        match form.dialect {
            Dialect::Native => Self::Native { upgrade: upgrade.map(Box::new), memory: None },
            Dialect::Stomp => Self::Stomp(Box::new(Listener::new(Platform::new(upgrade)))),
            Dialect::Broker => Self::Broker(Box::new(Listener::new(Customer::default()))),
            Dialect::UserEvents | Dialect::Bare | Dialect::Farewell => Self::Bare,
            Dialect::Echo => Self::Echo,
        }
    }

    pub(super) fn text(&mut self, shared: &Arc<Shared>, session: &Arc<Session>, text: &str) -> Heard {
        self.notice_stomp(session, text);
        match self {
            Self::Native { upgrade, memory } => match native::read(text) {
                Ok(ClientFrame::Connect(frame)) => {
                    let claims = upgrade.take().map(|claims| *claims);
                    return Heard::Working(Box::pin(connect(shared.clone(), session.clone(), claims, frame)));
                }
                Ok(frame) => {
                    let memory = memory.get_or_insert_with(|| Box::new(Memory::new(shared)));
                    commands::perform(shared, session, memory, frame);
                }
                Err(refused) => refuse_frame(shared, session, &refused),
            },
            Self::Stomp(_) | Self::Broker(_) => return self.bytes(shared, session, text.as_bytes()),
            Self::Echo => session.send(session.form().carrier.text(text.as_bytes())),
            Self::Bare => {}
        }
        Heard::Nothing
    }

    /// Clients of STOMP need not offer a subprotocol, and the first word tells.
    fn notice_stomp(&mut self, session: &Session, text: &str) {
        if let Self::Native { upgrade, memory: None } = self
            && session.identity().is_none()
            && text.lines().next().is_some_and(|line| line == "CONNECT" || line == "STOMP")
        {
            session.turn_to_stomp();
            *self = Self::Stomp(Box::new(Listener::new(Platform::new(upgrade.take().map(|claims| *claims)))));
        }
    }

    /// A binary message, or bytes that are no messages at all.
    pub(super) fn bytes(&mut self, shared: &Arc<Shared>, session: &Arc<Session>, payload: &[u8]) -> Heard {
        match self {
            Self::Stomp(listener) => listener.hear(shared, session, payload),
            Self::Broker(listener) => listener.hear(shared, session, payload),
            Self::Echo => {
                session.send(session.form().carrier.binary(payload));
                Heard::Nothing
            }
            Self::Native { .. } | Self::Bare => Heard::Nothing,
        }
    }

    /// Is there more to be heard of what was handed over before?
    pub(super) fn has_more(&self) -> bool {
        match self {
            Self::Stomp(listener) => listener.has_more(),
            Self::Broker(listener) => listener.has_more(),
            Self::Native { .. } | Self::Bare | Self::Echo => false,
        }
    }

    pub(super) fn go_on(&mut self, shared: &Arc<Shared>, session: &Arc<Session>) -> Heard {
        match self {
            Self::Stomp(listener) => listener.go_on(shared, session),
            Self::Broker(listener) => listener.go_on(shared, session),
            Self::Native { .. } | Self::Bare | Self::Echo => Heard::Nothing,
        }
    }

    /// False: what was heard last ends in the middle of something.
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Stomp(listener) => listener.is_idle(),
            Self::Broker(listener) => listener.is_idle(),
            Self::Native { .. } | Self::Bare | Self::Echo => true,
        }
    }

    /// Everything that came together was heard: what it led to for others goes out. Who sends faster than they read is
    /// held up a little.
    pub(super) fn flush(&mut self) -> Heard {
        let slow = match self {
            Self::Broker(listener) => listener.flush(),
            _ => Vec::new(),
        };
        if slow.is_empty() {
            return Heard::Nothing;
        }
        Heard::Working(Box::pin(async move {
            let room = futures_util::future::join_all(slow.iter().map(|session| session.room()));
            // not for long: one of them may wait for this session
            let _ = tokio::time::timeout(PATIENCE, room).await;
            Ok(())
        }))
    }
}
