//! The end of a connection: out of everything, last words, and time for the peer to read them.

use std::{io, sync::Arc, time::Duration};

use chatcluster_contracts::{close::CloseReason, frame::ServerFrame, position};

use super::{Dialect, Session, connection::SCRATCH};
use crate::{
    protocol::websocket::{Decoder, Incoming, Limits},
    shared::Shared,
};

/// Time for the last frames to go out, and then for the peer to hang up.
const GOODBYE: Duration = Duration::from_secs(5);
/// What is read and thrown away of a peer that goes on talking after its end.
const MAX_DISCARDED: usize = 4 << 20;

/// Why the connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// We close it.
    Close(CloseReason),
    /// The client sent a close frame with this code.
    Client(Option<u16>),
    /// The connection is gone.
    Lost,
}

pub(super) async fn finish(shared: Arc<Shared>, session: Arc<Session>, mut decoder: Decoder, end: End) {
    let reason = match &end {
        End::Close(reason) => Some(*reason),
        End::Client(_) | End::Lost => None,
    };
    session.close(reason.unwrap_or(CloseReason::Normal));
    // out of the cursors first: what the position says is what was queued, and nothing comes after it
    let position = shared.delivery.detach(&session);
    shared.sessions.retire(&session);
    if session.form().dialect.is_the_platforms() {
        shared.presence.unregister(&session);
    }
    if session.form().dialect == Dialect::UserEvents {
        shared.user_events.leave(&session);
    }
    if let (Dialect::Broker, Some(broker)) = (session.form().dialect, &shared.broker) {
        broker.leave(&session);
    }
    shared.metrics.closed(reason);
    shared.metrics.connections.dec();
    match end {
        End::Close(reason) => {
            // a slow client's queue was cut: its position is the last one it was told
            if let Some(position) = position.filter(|it| !it.is_empty() && reason != CloseReason::SlowConsumer) {
                session.say(&ServerFrame::Position { position: &position::encode(&position) });
            }
            let words = session.stomp().and_then(|stomp| stomp.last_words(&session, reason));
            let (code, reason) = session.form().close(reason);
            let close = session.form().carrier.close(Some(code), reason);
            session.send_last(match (words, close) {
                (Some(words), Some(close)) => Some([words, close].concat().into()),
                (words, close) => words.or(close),
            });
            let limits = shared.message_limits.of(session.form());
            say_goodbye(&session, &mut decoder, &limits).await;
        }
        End::Client(code) => {
            session.send_last(session.form().carrier.close_answer(code));
            // both have said so: the server hangs up first (RFC 6455 section 7.1.1)
            let _ = tokio::time::timeout(GOODBYE, session.written()).await;
        }
        End::Lost => {}
    }
    session.shut();
    shared.sessions.remove(&session);
}

/// Lets the peer read what was sent: closing a socket with unread bytes would reset the connection and lose it. Ends
/// with the peer's own close frame, or its end.
async fn say_goodbye(session: &Session, decoder: &mut Decoder, limits: &Limits) {
    let goodbye = async {
        session.written().await;
        if session.outlet.fetched().is_some() {
            return;
        }
        session.shut_write();
        let answers = session.form().carrier.close_answer(None).is_some();
        let mut discarded = 0;
        while discarded < MAX_DISCARDED && session.readable().await.is_ok() {
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let read = session.try_read(scratch);
                // what is no WebSocket ends with its connection
                read.map(|count| (count, answers && has_close(decoder, &scratch[..count], limits)))
            });
            match read {
                Ok((0, _) | (_, true)) => return,
                Ok((count, false)) => discarded += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // a peer that does not hang up is hung up on
    let _ = tokio::time::timeout(GOODBYE, goodbye).await;
}

/// After a violation nothing is found, and the rest is thrown away unread.
fn has_close(decoder: &mut Decoder, mut bytes: &[u8], limits: &Limits) -> bool {
    while let Ok(Some(incoming)) = decoder.next(&mut bytes, limits) {
        if matches!(incoming, Incoming::Close(_)) {
            return true;
        }
    }
    false
}
