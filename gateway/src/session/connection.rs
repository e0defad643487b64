//! The task of one connection: reads, lets commands happen, writes what could not be written at once, and ends it.
//!
//! Its future stays small, because there is one per idle client: bytes are read into a buffer of the thread, and what
//! takes long (CONNECT, the end) is boxed while it lasts.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chatcluster_contracts::{
    close::CloseReason,
    frame::{ClientFrame, Connect, ServerFrame},
    position,
    problem::{Code, Problem},
};
use chatcluster_service::tokens::Claims;

use super::{
    Session, Turn,
    commands::{self, Memory, refuse, refuse_frame},
    connect::connect,
    ticks,
};
use crate::{
    delivery::Delivery,
    gateway::Shared,
    protocol::{
        native,
        websocket::{self, Decoder, Incoming, Violation},
    },
};

/// Bytes read at a time.
const READ_BYTES: usize = 16 * 1024;
/// Time for the last frames to go out, and then for the peer to hang up.
const GOODBYE: Duration = Duration::from_secs(5);
/// What is read and thrown away of a peer that goes on talking after its end.
const MAX_DISCARDED: usize = 4 << 20;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// Why the connection ends.
#[derive(Debug)]
enum End {
    /// We close it.
    Close(CloseReason),
    /// The client sent a close frame with this code.
    Client(Option<u16>),
    /// The connection is gone.
    Lost,
}

/// What the bytes read so far lead to.
enum Step {
    More,
    /// CONNECT, and the bytes that came with it.
    Connect(Connect, Vec<u8>),
    End(End),
}

/// Serves a connection to its end. `early`: bytes that came with the upgrade. `upgrade`: who the upgrade request said.
pub(crate) async fn serve(shared: Arc<Shared>, session: Arc<Session>, early: Vec<u8>, upgrade: Option<Claims>) {
    let mut decoder = Decoder::new(shared.options.max_frame);
    let end = talk(&shared, &session, &mut decoder, early, upgrade.map(Box::new)).await;
    Box::pin(finish(&shared, &session, &mut decoder, end)).await;
}

async fn talk(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    decoder: &mut Decoder,
    early: Vec<u8>,
    mut upgrade: Option<Box<Claims>>,
) -> End {
    let mut memory = Memory::new(shared);
    let mut step = if early.is_empty() { Step::More } else { read(shared, session, decoder, &mut memory, &early) };
    loop {
        match step {
            Step::More => {}
            Step::Connect(frame, rest) => {
                let claims = upgrade.take().map(|claims| *claims);
                if let Err(reason) = Box::pin(connect(shared, session, claims, frame)).await {
                    return End::Close(reason);
                }
                step = read(shared, session, decoder, &mut memory, &rest);
                continue;
            }
            Step::End(end) => return end,
        }
        step = match poll_fn(|context| session.poll_turn(context)).await {
            Turn::Read => read_socket(shared, session, decoder, &mut memory),
            Turn::Position => {
                tell_position(session);
                Step::More
            }
            Turn::Close(reason) => Step::End(End::Close(reason)),
            Turn::Broken => Step::End(End::Lost),
        };
    }
}

fn read_socket(shared: &Shared, session: &Arc<Session>, decoder: &mut Decoder, memory: &mut Memory) -> Step {
    SCRATCH.with_borrow_mut(|scratch| match session.try_read(scratch) {
        Ok(0) => Step::End(End::Lost),
        Ok(count) => {
            session.heard.store(ticks::now(), Ordering::Relaxed);
            read(shared, session, decoder, memory, &scratch[..count])
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Step::More,
        Err(_) => Step::End(End::Lost),
    })
}

fn read(shared: &Shared, session: &Arc<Session>, decoder: &mut Decoder, memory: &mut Memory, bytes: &[u8]) -> Step {
    let mut bytes = bytes;
    loop {
        match decoder.next(&mut bytes) {
            Ok(None) => return Step::More,
            Ok(Some(Incoming::Text(text))) => match native::read(&text) {
                Ok(ClientFrame::Connect(connect)) => return Step::Connect(connect, bytes.to_vec()),
                Ok(frame) => commands::perform(shared, session, memory, frame),
                Err(refused) => refuse_frame(shared, session, &refused),
            },
            Ok(Some(Incoming::Ping(payload))) => session.send(websocket::pong(&payload)),
            Ok(Some(Incoming::Pong)) => {}
            Ok(Some(Incoming::Close(code))) => return Step::End(End::Client(code)),
            Err(violation) => {
                if violation == Violation::TooBig {
                    let detail = format!("a message has at most {} bytes", shared.options.max_frame);
                    refuse(shared, session, &Problem::new(Code::PayloadTooLarge, detail), None);
                }
                tracing::debug!(%violation, "the client broke the protocol");
                return Step::End(End::Close(violation.close_reason()));
            }
        }
    }
}

fn tell_position(session: &Arc<Session>) {
    if let Some(position) = Delivery::position(session)
        && !position.is_empty()
    {
        session.send(native::write(&ServerFrame::Position { position: &position::encode(&position) }));
    }
}

async fn finish(shared: &Shared, session: &Arc<Session>, decoder: &mut Decoder, end: End) {
    let reason = match &end {
        End::Close(reason) => Some(*reason),
        End::Client(_) | End::Lost => None,
    };
    if let Some(reason) = reason {
        session.close(reason);
    } else {
        session.close(CloseReason::Normal);
    }
    // out of the cursors first: what the position says is what was queued, and nothing comes after it
    let position = shared.delivery.detach(session);
    shared.sessions.retire(session);
    shared.presence.unregister(session);
    shared.metrics.closed(reason);
    shared.metrics.connections.dec();
    match end {
        End::Close(reason) => {
            // a slow client's queue was cut: its position is the last one it was told
            if let Some(position) = position.filter(|it| !it.is_empty() && reason != CloseReason::SlowConsumer) {
                session.send(native::write(&ServerFrame::Position { position: &position::encode(&position) }));
            }
            session.send_last(websocket::close(Some(reason.code()), reason.as_str()));
            say_goodbye(session, decoder).await;
        }
        End::Client(code) => {
            session.send_last(websocket::close(code, ""));
            // both have said so: the server hangs up first (RFC 6455 section 7.1.1)
            let _ = tokio::time::timeout(GOODBYE, session.written()).await;
        }
        End::Lost => {}
    }
    session.shut();
    shared.sessions.remove(session);
}

/// Lets the peer read what was sent: closing a socket with unread bytes would reset the connection and lose it. Ends
/// with the peer's own close frame, or its end.
async fn say_goodbye(session: &Session, decoder: &mut Decoder) {
    let goodbye = async {
        session.written().await;
        session.shut_write();
        let mut discarded = 0;
        while discarded < MAX_DISCARDED && session.readable().await.is_ok() {
            let read = SCRATCH.with_borrow_mut(|scratch| {
                session.try_read(scratch).map(|count| (count, has_close(decoder, &scratch[..count])))
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
fn has_close(decoder: &mut Decoder, mut bytes: &[u8]) -> bool {
    while let Ok(Some(incoming)) = decoder.next(&mut bytes) {
        if matches!(incoming, Incoming::Close(_)) {
            return true;
        }
    }
    false
}
