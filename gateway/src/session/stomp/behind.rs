//! Who does what a client asks, and when it is done.

use std::sync::Arc;

use chatcluster_contracts::{close::CloseReason, problem::Problem};

use super::{Here, answers::CommitKey};
use crate::{
    protocol::stomp::{
        connect::Connect,
        request::{Send, Settle, Subscribe, SubscriptionName},
    },
    session::{
        Session,
        speech::{Heard, Work},
    },
    shared::Shared,
};

/// What a receipt waits for; an error ends the session without it.
pub(crate) type Waited = Work<Result<(), CloseReason>>;

/// When a frame is done.
pub(crate) enum Done {
    /// Its receipt is due.
    Now,
    /// Its receipt comes with an answer.
    Later,
    /// Its receipt is due after this, and nothing else is heard before.
    When(Waited),
}

/// Who does what a client asks.
pub(crate) trait Behind {
    /// A SEND that was read and can be done.
    type Message;

    /// Longest body, in bytes.
    fn body_limit(shared: &Shared) -> usize;

    fn connect(&mut self, here: Here<'_>, frame: Connect) -> Heard;

    fn read(send: Send) -> Result<Self::Message, Problem>;

    /// `commit`: the transaction that it is part of.
    fn send(
        &mut self,
        here: Here<'_>,
        message: Self::Message,
        receipt: Option<&str>,
        commit: Option<CommitKey>,
    ) -> Result<Done, Problem>;

    fn settle(&mut self, here: Here<'_>, settle: Settle, receipt: Option<&str>) -> Result<Done, Problem>;

    fn subscribe(&mut self, here: Here<'_>, request: Subscribe, receipt: Option<&str>) -> Result<Done, Problem>;

    fn unsubscribe(&mut self, here: Here<'_>, name: SubscriptionName);

    /// The client says goodbye and wants to know that all it asked for was done. What is to be waited for, if anything.
    fn leave(&mut self, _here: Here<'_>) -> Option<Waited> {
        None
    }

    /// All bytes that came together were heard. Returns the sessions that take too slowly what was sent to them.
    fn flush(&mut self) -> Vec<Arc<Session>> {
        Vec::new()
    }
}
