//! Where a frame was heard, and the answer to it: a receipt now or when the frame is done, or the end.

use std::sync::Arc;

use chatcluster_contracts::problem::Problem;

use super::{
    Stomp,
    behind::{Done, Waited},
};
use crate::{
    session::{Session, speech::Heard},
    shared::Shared,
};

/// Where a frame was heard.
#[derive(Clone, Copy)]
pub(crate) struct Here<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) session: &'a Arc<Session>,
    pub(crate) stomp: &'a Stomp,
}

impl Here<'_> {
    pub(super) fn receipt(self, receipt: Option<&str>) {
        if let Some(id) = receipt {
            self.stomp.receipt(self.session, id);
        }
    }

    pub(super) fn done(self, done: Done, receipt: Option<&str>) -> Heard {
        match done {
            Done::Now => self.receipt(receipt),
            Done::Later => {}
            Done::When(work) => {
                return self.after(work, receipt, |here, receipt| {
                    here.receipt(receipt);
                    Heard::Nothing
                });
            }
        }
        Heard::Nothing
    }

    /// Nothing else is heard before the work is done.
    pub(super) fn after(self, work: Waited, receipt: Option<&str>, then: fn(Here<'_>, Option<&str>) -> Heard) -> Heard {
        let (there, receipt) = (self.there(), receipt.map(str::to_owned));
        Heard::Working(Box::pin(async move {
            work.await?;
            match there.with(|here| then(here, receipt.as_deref())) {
                Some(Heard::End(reason)) => Err(reason),
                _ => Ok(()),
            }
        }))
    }

    pub(super) fn there(self) -> There {
        There { shared: Arc::clone(self.shared), session: Arc::clone(self.session) }
    }

    /// Says why, and ends the session.
    pub(crate) fn fail(self, problem: &Problem, receipt: Option<&str>) -> Heard {
        self.shared.metrics.refused_frames.inc();
        Heard::End(self.stomp.fail(self.session, problem, receipt))
    }
}

/// [`Here`], for later.
pub(super) struct There {
    shared: Arc<Shared>,
    session: Arc<Session>,
}

impl There {
    pub(super) fn with<T>(&self, act: impl FnOnce(Here<'_>) -> T) -> Option<T> {
        let Self { shared, session } = self;
        session.stomp().map(|stomp| act(Here { shared, session, stomp }))
    }
}
