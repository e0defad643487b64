//! What a SockJS base asks of those who stand behind it.
//!
//! The HTTP side keeps sessions by their ids, lets one request at a time receive, and speaks the protocol's frames. A
//! session has messages to be taken, takes messages, and knows when it is over.

use std::{
    future::Future,
    net::SocketAddr,
    task::{Context, Poll},
};

use http::HeaderMap;

use crate::protocol::sockjs::frames::{Close, Message};

/// Opens sessions.
pub trait Service: Send + Sync + 'static {
    type Session: Session;

    /// A client received under an unknown session id for the first time. Must not block: others wait for it.
    fn open(&self, opening: &Opening<'_>) -> Result<Self::Session, Full>;
}

/// The request that opens a session.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    pub peer: Option<SocketAddr>,
    pub headers: &'a HeaderMap,
}

/// No session can be opened now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many sessions; try again")]
pub struct Full;

/// One session, shared by the requests that carry it.
pub trait Session: Send + Sync + 'static {
    /// Gives the client's messages to the session, in their order. Waits while it cannot take more: the client is answered
    /// after that, and sends no more before. What comes after the session's end is dropped.
    fn post(&self, messages: Vec<String>) -> impl Future<Output = ()> + Send;

    /// Moves waiting messages, at least one, to the empty `into`: as many as make about `max_bytes` of frames. When none
    /// waits, the one receiver is woken by the next or by the end. `Closed` comes after the last message, and again
    /// whenever it is asked for.
    fn poll_take(&self, context: &mut Context<'_>, max_bytes: usize, into: &mut Vec<Message>) -> Poll<Taken>;

    /// The client is gone, and nobody will take anything any more. Not called when the session ended by itself.
    fn gone(&self, why: Departure);
}

/// What became of [`Session::poll_take`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    Messages,
    /// The session is over.
    Closed(Close),
}

/// How a client left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// It did not come to receive for too long.
    Silent,
    /// Its connection broke while it received: what it was sent last may be lost.
    Interrupted,
}
