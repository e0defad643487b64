//! From a client's messages to what they do, whatever the client speaks.

use std::{future::Future, pin::Pin, sync::Arc};

use chatcluster_contracts::{close::CloseReason, frame::ClientFrame};
use chatcluster_service::tokens::Claims;

use super::{
    Dialect, Form, Session,
    commands::{self, Memory, refuse_frame},
    connect::connect,
};
use crate::{gateway::Shared, protocol::native};

pub(super) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a message leads to.
pub(super) enum Heard {
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
    Bare,
    Echo,
}

impl Speech {
    pub(super) fn new(form: Form, upgrade: Option<Claims>) -> Self {
        match form.dialect {
            Dialect::Native => Self::Native { upgrade: upgrade.map(Box::new), memory: None },
            Dialect::Bare => Self::Bare,
            Dialect::Echo => Self::Echo,
        }
    }

    pub(super) fn text(&mut self, shared: &Arc<Shared>, session: &Arc<Session>, text: &str) -> Heard {
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
            Self::Echo => session.send(session.form.carrier.text(text.as_bytes())),
            Self::Bare => {}
        }
        Heard::Nothing
    }

    pub(super) fn binary(&mut self, session: &Arc<Session>, payload: &[u8]) -> Heard {
        if matches!(self, Self::Echo) {
            session.send(session.form.carrier.binary(payload));
        }
        Heard::Nothing
    }
}
