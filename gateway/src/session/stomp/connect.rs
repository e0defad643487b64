//! CONNECT: from a token to CONNECTED. Conversations are brought in by what the client subscribes to.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chatcluster_contracts::{
    close::CloseReason,
    problem::{Code, Problem},
};
use chatcluster_service::tokens::Claims;

use super::Stomp;
use crate::{
    protocol::stomp::{
        connect::{Connect, HeartBeat, beats},
        encoder::{self, Connected},
    },
    session::{
        Session,
        connect::{in_time, sign_in, turned_away},
        ticks,
    },
    shared::Shared,
};

/// How this server names itself.
const SERVER: &str = concat!("ChatCluster/", env!("CARGO_PKG_VERSION"));
/// A sign of life this often, both ways, unless the client asks for another pace…
const HEART_BEAT: Duration = Duration::from_secs(10);
/// …which is not faster than this.
const FASTEST_HEART_BEAT: Duration = Duration::from_secs(1);

/// Checks who it is and registers the session. An error is why it must be closed.
pub(super) async fn connect(
    shared: Arc<Shared>,
    session: Arc<Session>,
    upgrade: Option<Claims>,
    connect: Connect,
) -> Result<(), CloseReason> {
    let Some(stomp) = session.stomp() else { return Err(CloseReason::Internal) };
    if let Err(problem) = sign_in(&shared, &session, connect.token(), upgrade).await {
        shared.metrics.refused_frames.inc();
        stomp.fail(&session, &problem, None);
        return Err(turned_away(&problem));
    }
    if let Some(positions) = session.positions() {
        for (conversation, seq) in &connect.resume {
            positions.put(conversation, *seq);
        }
    }
    match in_time(&shared, async { shared.presence.register(&session).await }).await {
        Ok(true) => {}
        Ok(false) => return Ok(()),
        Err(problem) => return Err(stomp.fail(&session, &problem, None)),
    }
    let Some(id) = shared.gateway.connection_id(&session) else {
        let problem = Problem::new(Code::Internal, "this session has no valid id");
        return Err(stomp.fail(&session, &problem, None));
    };
    let user = session.identity().map(|identity| identity.user.as_str());
    welcome(&shared, &session, stomp, &connect, id.as_str(), user);
    session.live.store(true, Ordering::Release);
    shared.delivery.end_attach(&session);
    Ok(())
}

/// Says CONNECTED and keeps the heart-beats that were agreed on.
pub(crate) fn welcome(
    shared: &Shared,
    session: &Arc<Session>,
    stomp: &Stomp,
    connect: &Connect,
    id: &str,
    user: Option<&str>,
) {
    let heart_beat = ours(connect.heart_beat);
    stomp.connected(connect.version, beats(heart_beat, connect.heart_beat));
    let frame = Connected { version: connect.version, session: id, user, server: SERVER, heart_beat };
    session.send(session.form().carrier.text(&encoder::connected(&frame)));
    shared.wheel.look(session, ticks::now());
}

/// What this server says it can send and wants to hear: what the client asks for, if that is no faster than we bear.
fn ours(theirs: HeartBeat) -> HeartBeat {
    let (usual, fastest) = (milliseconds(HEART_BEAT), milliseconds(FASTEST_HEART_BEAT));
    let pace = |asked: u32| if asked == 0 { usual } else { asked.clamp(fastest, usual) };
    HeartBeat { sends: pace(theirs.wants), wants: pace(theirs.sends) }
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_the_pace_it_asks_for() {
        let agreed = |asked: u32| {
            let theirs = HeartBeat { sends: asked, wants: asked };
            let beats = beats(ours(theirs), theirs);
            assert_eq!(beats.send_every, beats.expect_every);
            beats.send_every.map(|every| every.as_millis())
        };
        assert_eq!(agreed(0), None);
        assert_eq!(agreed(100), Some(1000));
        for asked in [1000, 4000, 10_000, 60_000] {
            assert_eq!(agreed(asked), Some(u128::from(asked)));
        }
    }
}
