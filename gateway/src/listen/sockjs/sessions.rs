//! What a SockJS base asks of those who stand behind it.
//!
//! The HTTP side keeps sessions by their ids, lets one request at a time receive, and speaks the protocol's frames. A
//! session has messages to be taken, takes messages, and knows when it is over.

use std::{
    future::Future,
    net::SocketAddr,
    task::{Context, Poll},
};

use chatcluster_contracts::problem::Problem;
use http::HeaderMap;

use crate::protocol::sockjs::frames::{Close, Message};

/// Opens sessions.
pub(crate) trait Service: Send + Sync + 'static {
    type Session: Session;

    /// A client wants to receive under an unknown session id. A session that another request opened meanwhile is gone at
    /// once.
    fn open(&self, opening: &Opening<'_>) -> impl Future<Output = Result<Self::Session, Problem>> + Send;
}

/// The request that opens a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) headers: &'a HeaderMap,
}

/// One session, shared by the requests that carry it.
pub(crate) trait Session: Send + Sync + 'static {
    /// Gives the client's messages to the session, in their order. Waits while it cannot take more: the client is answered
    /// after that, and sends no more before. What comes after the session's end is dropped.
    fn post(&self, messages: Vec<String>) -> impl Future<Output = ()> + Send;

    /// Moves waiting messages, at least one, to the empty `into`: as many as make about `max_bytes` of frames. When none
    /// waits, the one receiver is woken by the next or by the end. `Closed` comes after the last message, and again
    /// whenever it is asked for.
    fn poll_take(&self, context: &mut Context<'_>, max_bytes: usize, into: &mut Vec<Message>) -> Poll<Taken>;

    /// The client is gone, and nobody will take anything any more. A session that ended by itself hears it only if its client
    /// never came to learn that.
    fn gone(&self, why: Departure);
}

/// What became of [`Session::poll_take`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taken {
    Messages,
    /// The session is over.
    Closed(Close),
}

/// How a client left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Departure {
    /// It did not come to receive for too long.
    Silent,
    /// Its connection broke while it received: what it was sent last may be lost.
    Interrupted,
}
