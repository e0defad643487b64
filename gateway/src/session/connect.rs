//! CONNECT: from a token to a live session.

use std::sync::{Arc, atomic::Ordering};

use chatcluster_contracts::{
    close::CloseReason,
    frame::{Connect, ServerFrame},
    ids::ConversationId,
    position::Resume,
    problem::{Code, Problem},
};
use chatcluster_service::tokens::Claims;

use super::{Identity, Session, commands::refuse, ticks};
use crate::{
    delivery::{Delivery, Placed},
    shared::Shared,
    upstream::Backoff,
};

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
    if let Err(problem) = sign_in(&shared, &session, connect.token.as_deref(), upgrade).await {
        refuse(&shared, &session, &problem, None);
        return Err(turned_away(&problem));
    }
    tokio::spawn(async move { bring_up(&shared, &session, connect.resume).await });
    Ok(())
}

/// Checks who it is, and files the session under its user, for the life of the token.
pub(super) async fn sign_in(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    token: Option<&str>,
    upgrade: Option<Claims>,
) -> Result<(), Problem> {
    let claims = match (token, upgrade) {
        (Some(token), _) => shared.verify(token).await?,
        (None, Some(claims)) => claims,
        (None, None) => return Err(Problem::new(Code::Unauthenticated, "CONNECT needs a token")),
    };
    let expires = ticks::at_unix(claims.expires_at);
    let workspace = shared.workspaces.same(claims.workspace_id);
    let identity = Identity { user: claims.user_id, workspace, expires, login: claims.login };
    // before anybody can find the session: what is committed from now on is noted for it
    Delivery::begin_attach(session);
    if session.identify(identity).is_err() || !shared.sessions.identified(session, shared.options.max_user_connections)
    {
        return Err(Problem::new(Code::TooManyConnections, "this user has too many connections here"));
    }
    // it may have ended after the token was looked at, and before the session could be found
    shared.revocations.check(claims.login)?;
    shared.wheel.look(session, ticks::now());
    Ok(())
}

/// What a connection is closed for whose client cannot sign in.
pub(super) fn turned_away(problem: &Problem) -> CloseReason {
    match problem.code {
        Code::Unavailable => CloseReason::TryAgainLater,
        Code::TooManyConnections => CloseReason::TooManyConnections,
        Code::TokenRevoked => CloseReason::TokenRevoked,
        _ => CloseReason::Unauthenticated,
    }
}

/// Waits for what a client waits for too, but not for ever.
pub(super) async fn in_time<T>(shared: &Shared, work: impl Future<Output = T>) -> Result<T, Problem> {
    tokio::time::timeout(shared.options.connect_timeout, work)
        .await
        .map_err(|_| Problem::new(Code::Unavailable, "the platform cannot take new sessions now; try again"))
}

/// Register, read the heads, CONNECTED, backfill, live: in this order.
async fn bring_up(shared: &Arc<Shared>, session: &Arc<Session>, resume: Resume) {
    let known = in_time(shared, async {
        #[cfg(feature = "plants")]
        if chatcluster_service::plants::planted("heads-before-registering") {
            let placed = list(shared, session, &resume, |_| true).await?;
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            return shared.presence.register(session).await.then_some(placed);
        }
        if shared.presence.register(session).await { list(shared, session, &resume, |_| true).await } else { None }
    });
    let placed = match known.await {
        Ok(Some(placed)) => placed,
        Ok(None) => return,
        Err(problem) => {
            session.say(&ServerFrame::error(&problem, None));
            return session.close(CloseReason::TryAgainLater);
        }
    };
    let (Some(identity), Some(id)) = (session.identity(), shared.gateway.connection_id(session)) else { return };
    session.say(&ServerFrame::Connected {
        session_id: id.as_str(),
        user_id: &identity.user,
        heartbeat_ms: u64::try_from(shared.options.heartbeat.as_millis()).unwrap_or(u64::MAX),
    });
    session.live.store(true, Ordering::Release);
    shared.delivery.end_attach(session);
    shared.delivery.attach(session, placed).await;
    // a device that receives nothing must not go on from what the user's other devices acknowledge
    session.ask_for_first_position();
}

/// Reads the list of the session's conversations and notes those that are `wanted`, as soon as core answers. `None`: the
/// session is over.
pub(super) async fn list(
    shared: &Shared,
    session: &Arc<Session>,
    resume: &Resume,
    wanted: impl Fn(&ConversationId) -> bool,
) -> Option<Placed> {
    let mut backoff = Backoff::short();
    loop {
        match shared.delivery.list(session, resume, &wanted).await {
            Ok(placed) => return Some(placed),
            Err(_) if session.is_over() => return None,
            Err(error) => {
                tracing::warn!(%error, "a session waits for its conversations");
                backoff.pause().await;
            }
        }
    }
}
