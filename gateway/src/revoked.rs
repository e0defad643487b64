//! Logins that end before their tokens: sessions of theirs are closed at once.

use std::sync::Arc;

use async_trait::async_trait;
use chatcluster_contracts::{close::CloseReason, revocation::LoginId};
use chatcluster_transport::{
    ended_logins::{self, Page, Record},
    gateway_streams::GatewayStreams,
};

use crate::{
    session::Sessions,
    shared::Shared,
    upstream::{CoreApi, CoreError},
};

#[async_trait]
impl Record for CoreApi {
    type Error = CoreError;

    async fn ended_since(&self, since: i64) -> Result<Page, CoreError> {
        self.revocations(since).await
    }
}

/// Until dropped.
pub(crate) async fn watch(shared: Arc<Shared>, streams: Arc<dyn GatewayStreams>) {
    let channel = streams.keys().auth_revoked();
    let end = |login| end(&shared.sessions, login);
    ended_logins::watch(shared.revocations.clone(), shared.core.clone(), streams.signals(), channel, end).await;
}

/// The login is known to have ended: a session that begins meanwhile finds that out by itself.
fn end(sessions: &Sessions, login: LoginId) {
    #[cfg(feature = "plants")]
    if chatcluster_service::plants::planted("revocation-unheard") {
        return;
    }
    for session in sessions.of_login(login) {
        session.close(CloseReason::TokenRevoked);
    }
}
