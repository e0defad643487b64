//! Hearing of logins that end before their tokens. Core says so on the channel `auth-revoked`; what is not heard there,
//! because Redis is away or forgets whom to tell, is on record, where everybody looks every few seconds.

use std::{
    fmt::Display,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use chatcluster_contracts::revocation::{LoginId, Revocation};
use chatcluster_service::tokens::Revocations;
use tokio::time::MissedTickBehavior;

use crate::gateway_streams::{Signal, Signals};

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The record could not be read: it is looked at again after this pause.
const RETRY: Duration = Duration::from_secs(1);

/// What the record says.
#[derive(Debug, Default)]
pub struct Page {
    pub revocations: Vec<Revocation>,
    /// What to ask with the next time; some will come again.
    pub next_since: i64,
    /// The next time is at once.
    pub more: bool,
}

/// The database, or core in front of it.
#[async_trait]
pub trait Record: Send + Sync {
    type Error: Display;

    /// 0: everything that still counts.
    async fn ended_since(&self, since: i64) -> Result<Page, Self::Error>;
}

/// Keeps `known` up to date until dropped. `ended` hears of each login once, after it is known.
pub async fn watch(
    known: Revocations,
    record: impl Record,
    signals: Arc<dyn Signals>,
    channel: String,
    ended: impl Fn(LoginId) + Send + Sync,
) {
    let learn = |revocation: Revocation| {
        if known.add(revocation) {
            ended(revocation.login);
        }
    };
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut listening, mut since) = (None, 0);
    loop {
        if listening.is_none() {
            listening = signals.listen(vec![channel.clone()]).await.ok();
        }
        let heard = async {
            match &mut listening {
                Some(listening) => listening.next().await,
                // asked for again with the next look
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = heard => match signal {
                Signal::Message { payload, .. } => match Revocation::from_json(&payload) {
                    Ok(revocation) => learn(revocation),
                    Err(error) => tracing::warn!(%error, "undecodable word of an ended login"),
                },
                Signal::Gap => look.reset_immediately(),
            },
            _ = look.tick() => match catch_up(&record, since, &learn).await {
                Ok(next) => {
                    since = next;
                    known.prune(now());
                }
                Err(error) => {
                    tracing::warn!(%error, "ended logins cannot be looked for now");
                    look.reset_after(RETRY);
                }
            },
        }
    }
}

async fn catch_up<R: Record>(
    record: &R,
    mut since: i64,
    learn: &(impl Fn(Revocation) + Sync),
) -> Result<i64, R::Error> {
    loop {
        let page = record.ended_since(since).await?;
        page.revocations.into_iter().for_each(learn);
        since = page.next_since;
        if !page.more {
            return Ok(since);
        }
    }
}

/// Seconds since the Unix epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
