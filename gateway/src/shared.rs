//! What every connection's task shares.

use std::{net::IpAddr, sync::Arc};

use axum::Router;
use chatcluster_contracts::{
    ids::UserId,
    problem::{Code, Problem},
};
use chatcluster_service::{
    config::Secret,
    health::Health,
    shutdown::Shutdown,
    tokens::{Claims, Revocations, Verifier},
    trace::TraceSource,
};
use parking_lot::Mutex;

use crate::{
    Options,
    conformance::{Brokerage, Rooms},
    delivery::Delivery,
    listen::{Addresses, Guests, Origins, Pace, SockJs},
    metrics::GatewayMetrics,
    presence::{self, Presence},
    session::{Common, MessageLimits, Quota, Sessions, Wheel, Workspaces, rate::TokenBucket, ticks},
    upstream::{CoreApi, receipts::Receipts, sends::Sends, typing::Typing},
    user_events::UserEvents,
};

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) gateway: presence::Gateway,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) wheel: Arc<Wheel>,
    pub(crate) core: CoreApi,
    pub(crate) sends: Sends,
    pub(crate) receipts: Receipts,
    pub(crate) typing: Typing,
    pub(crate) verifier: Verifier,
    pub(crate) issuer: String,
    pub(crate) revocations: Revocations,
    pub(crate) traces: TraceSource,
    pub(crate) metrics: Arc<GatewayMetrics>,
    pub(crate) common: Arc<Common>,
    pub(crate) workspaces: Workspaces,
    pub(crate) message_limits: MessageLimits,
    pub(crate) user_quota: Quota<UserId>,
    pub(crate) address_quota: Quota<IpAddr>,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) origins: Origins,
    pub(crate) web: Router,
    /// Connections that may come now.
    pub(crate) accepts: Mutex<TokenBucket>,
    /// How fast sessions begin.
    pub(crate) pace: Pace,
    /// Connections that are no sessions.
    pub(crate) guests: Arc<Guests>,
    pub(crate) sockjs: SockJs,
    pub(crate) user_events: Arc<UserEvents>,
    /// Everything on the port of user events that is no session.
    pub(crate) user_events_web: Router,
    /// Conformance mode's.
    pub(crate) rooms: Option<Arc<Rooms>>,
    pub(crate) broker: Option<Brokerage>,
    pub(crate) shutdown: Shutdown,
    pub(crate) health: Health,
    pub(crate) service_token: Secret,
}

impl Shared {
    /// Is it the secret by which the platform's services know each other?
    pub(crate) fn is_service_token(&self, token: &str) -> bool {
        let ours = self.service_token.expose().as_bytes();
        // every byte is looked at, so that the time tells nothing; without a secret nobody is a service
        let differing = ours.iter().zip(token.bytes()).fold(0, |differing, (one, other)| differing | (one ^ other));
        !ours.is_empty() && ours.len() == token.len() && differing == 0
    }

    /// Is anything limited by address, so that sessions must know theirs?
    pub(crate) fn knows_addresses(&self) -> bool {
        self.options.max_address_connections > 0 || self.address_quota.is_limited()
    }

    /// Who a token speaks for. A subject of an outside issuer may be called like somebody who signed up here, so it is core
    /// who says whether it is anybody.
    pub(crate) async fn verify(&self, token: &str) -> Result<Claims, Problem> {
        let mut claims = self.verifier.verify(token).await?;
        if claims.issuer != self.issuer {
            claims = self.core.verify_token(token).await?;
        }
        self.revocations.check(claims.login)?;
        // sessions close within a tick before the expiry: a token that would close at once opens none
        if ticks::at_unix(claims.expires_at) <= ticks::now() + 1 {
            return Err(Problem::new(Code::TokenExpired, "the token has expired"));
        }
        Ok(claims)
    }
}
