//! CONNECT: from a token to a live session.

use std::sync::{Arc, atomic::Ordering};

use chatcluster_contracts::{
    close::CloseReason,
    frame::{Connect, ServerFrame},
    position::Resume,
    problem::{Code, Problem},
};
use chatcluster_service::tokens::Claims;

use super::{Identity, Session, commands::refuse, ticks};
use crate::{delivery::Delivery, gateway::Shared, upstream::Backoff};

/// Checks who it is and starts bringing the session in. An error is why it must be closed.
pub(super) async fn connect(
    shared: Arc<Shared>,
    session: Arc<Session>,
    upgrade: Option<Claims>,
    connect: Connect,
) -> Result<(), CloseReason> {
    if session.identity().is_some() {
        let problem = Problem::new(Code::AlreadyConnected, "this session is connected already");
        refuse(&shared, &session, &problem, None);
        return Ok(());
    }
    let claims = match (connect.token, upgrade) {
        (Some(token), _) => shared.verify(&token).await,
        (None, Some(claims)) => Ok(claims),
        (None, None) => Err(Problem::new(Code::Unauthenticated, "CONNECT needs a token")),
    };
    let claims = claims.map_err(|problem| {
        refuse(&shared, &session, &problem, None);
        match problem.code {
            Code::Unavailable => CloseReason::TryAgainLater,
            _ => CloseReason::Unauthenticated,
        }
    })?;
    let expires = ticks::at_unix(claims.expires_at);
    let workspace = shared.workspaces.same(claims.workspace_id);
    let identity = Identity { user: claims.user_id, workspace, expires };
    // before anybody can find the session: what is committed from now on is noted for it
    Delivery::begin_attach(&session);
    if session.identify(identity).is_err() || !shared.sessions.identified(&session, shared.options.max_user_connections)
    {
        let problem = Problem::new(Code::TooManyConnections, "this user has too many connections here");
        refuse(&shared, &session, &problem, None);
        return Err(CloseReason::TooManyConnections);
    }
    shared.wheel.look(&session, ticks::now());
    tokio::spawn(async move { bring_up(&shared, &session, connect.resume).await });
    Ok(())
}

/// Register, read the heads, CONNECTED, backfill, live: in this order.
async fn bring_up(shared: &Arc<Shared>, session: &Arc<Session>, resume: Resume) {
    let known = tokio::time::timeout(shared.options.connect_timeout, async {
        if !shared.presence.register(session).await {
            return false;
        }
        let mut backoff = Backoff::short();
        while let Err(error) = shared.delivery.list(session, &resume).await {
            if session.is_over() {
                return false;
            }
            tracing::warn!(%error, "a session waits for its conversations");
            backoff.pause().await;
        }
        true
    });
    match known.await {
        Ok(true) => {}
        Ok(false) => return,
        Err(_) => {
            let problem = Problem::new(Code::Unavailable, "the platform cannot take new sessions now; try again");
            session.say(&ServerFrame::error(&problem, None));
            return session.close(CloseReason::TryAgainLater);
        }
    }
    let (Some(identity), Some(id)) = (session.identity(), shared.gateway.connection_id(session)) else { return };
    session.say(&ServerFrame::Connected {
        session_id: id.as_str(),
        user_id: &identity.user,
        heartbeat_ms: u64::try_from(shared.options.heartbeat.as_millis()).unwrap_or(u64::MAX),
    });
    session.live.store(true, Ordering::Release);
    shared.delivery.attach(session).await;
}
