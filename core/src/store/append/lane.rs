//! One lane: takes what waits, runs it as one transaction, answers the senders.

use std::{
    mem,
    time::{Duration, Instant},
};

use sqlx::{AnyConnection, AnyPool, ConnectOptions, Executor, any::AnyConnectOptions};
use tokio::{sync::mpsc, time::timeout};

use super::{
    Job, MAX_BATCH, Outcome,
    batch::{self, Bounds, Done},
};
use crate::{
    domain::message::NewMessage,
    metrics::SendMetrics,
    store::{Context, Failure, Result, StoreError},
};

/// A transaction that takes longer has lost its database. Its outcome is unknown to us; a retry by the sender tells.
const BATCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Runs of one send that keeps losing against others.
const ATTEMPTS: usize = 5;

/// Where a lane's transactions run.
pub(super) enum Link {
    /// A connection of the lane's own, opened when needed.
    Own {
        options: AnyConnectOptions,
        connection: Option<AnyConnection>,
    },
    Shared(AnyPool),
}

impl Link {
    pub(super) fn own(options: AnyConnectOptions) -> Self {
        Self::Own { options, connection: None }
    }

    pub(super) fn shared(pool: AnyPool) -> Self {
        Self::Shared(pool)
    }

    async fn run(&mut self, context: &Context, sends: &[NewMessage]) -> Result<Vec<Outcome>> {
        let done = match self {
            Self::Shared(pool) => {
                let mut transaction = pool.begin_with(context.dialect.begin()).await?;
                let done = batch::run(&mut transaction, context, sends, Bounds::Caller).await?;
                transaction.commit().await?;
                done
            }
            Self::Own { options, connection: slot } => {
                let kept = slot.take();
                let stale = kept.is_some();
                match Self::run_own(options, kept, slot, context, sends).await {
                    // The server was restarted since the last batch, most likely. Repeating is safe: what the first
                    // run may have committed is found by its client message ids.
                    Err(error) if stale && error.failure() == Some(Failure::Away) => {
                        Self::run_own(options, None, slot, context, sends).await?
                    }
                    other => other?,
                }
            }
        };
        context.wake.committed(done.shards);
        Ok(done.outcomes)
    }

    /// The connection goes back into its slot only when it is known to be in order; a future dropped half-way, or a
    /// broken server, costs the connection and nothing else.
    async fn run_own(
        options: &AnyConnectOptions,
        kept: Option<AnyConnection>,
        slot: &mut Option<AnyConnection>,
        context: &Context,
        sends: &[NewMessage],
    ) -> Result<Done> {
        let mut connection = if let Some(connection) = kept {
            connection
        } else {
            let mut connection = options.connect().await?;
            context.dialect.prepare(&mut connection, false).await?;
            connection
        };
        let result = batch::run(&mut connection, context, sends, Bounds::Batch).await;
        let in_order = match &result {
            Ok(_) => true,
            // what the batch did before it lost is still there, unless it lost to a deadlock
            Err(error) if error.is_contention() => connection.execute("ROLLBACK").await.is_ok(),
            Err(_) => false,
        };
        if in_order {
            *slot = Some(connection);
        }
        result
    }

    async fn run_in_time(&mut self, context: &Context, sends: &[NewMessage]) -> Result<Vec<Outcome>> {
        timeout(BATCH_TIMEOUT, self.run(context, sends)).await.unwrap_or(Err(StoreError::TimedOut))
    }
}

pub(super) struct Lane {
    link: Link,
    context: Context,
    metrics: SendMetrics,
}

impl Lane {
    pub(super) fn new(link: Link, context: Context, metrics: SendMetrics) -> Self {
        Self { link, context, metrics }
    }

    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut waiting = Vec::with_capacity(MAX_BATCH);
        while jobs.recv_many(&mut waiting, MAX_BATCH).await > 0 {
            let (messages, senders): (Vec<_>, Vec<_>) =
                mem::take(&mut waiting).into_iter().map(|job| (job.message, (job.queued_at, job.answer))).unzip();
            self.metrics.batch_size.observe(messages.len() as f64);
            let outcomes = self.outcomes(&messages).await;
            for ((message, (queued_at, answer)), outcome) in messages.iter().zip(senders).zip(outcomes) {
                self.note(message, queued_at, &outcome);
                #[cfg(feature = "plants")]
                let outcome = if chatcluster_service::plants::planted_once_in("refuse-what-is-stored", 20) {
                    use chatcluster_contracts::problem::{Code, Problem};
                    Err(Problem::new(Code::NotAMember, "a planted refusal"))
                } else {
                    outcome
                };
                // A sender that went away reads its result when it comes back with the same client message id.
                let _ = answer.send(outcome);
            }
        }
    }

    async fn outcomes(&mut self, messages: &[NewMessage]) -> Vec<Outcome> {
        match self.link.run_in_time(&self.context, messages).await {
            Ok(outcomes) => outcomes,
            Err(error) if error.is_contention() => {
                tracing::debug!(%error, sends = messages.len(), "batch lost a race; sends run one by one");
                self.metrics.contended.inc();
                let mut outcomes = Vec::with_capacity(messages.len());
                for message in messages {
                    outcomes.push(self.alone(message).await);
                }
                outcomes
            }
            Err(error) => {
                tracing::warn!(%error, sends = messages.len(), "sends not stored");
                let problem: chatcluster_contracts::problem::Problem = error.into();
                messages.iter().map(|_| Err(problem.clone())).collect()
            }
        }
    }

    /// One send in a transaction of its own. Who loses the race for a client message id finds the winner's row in
    /// the next run.
    async fn alone(&mut self, message: &NewMessage) -> Outcome {
        let mut last = StoreError::TimedOut;
        for _ in 0..ATTEMPTS {
            match self.link.run_in_time(&self.context, std::slice::from_ref(message)).await {
                Ok(mut outcomes) => return outcomes.pop().unwrap_or_else(|| Err(StoreError::TimedOut.into())),
                Err(error) if error.is_contention() => last = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    fn note(&self, message: &NewMessage, queued_at: Instant, outcome: &Outcome) {
        self.metrics.sent(outcome, queued_at.elapsed());
        let (Ok(stored), Some(trace)) = (outcome, message.trace.filter(|trace| trace.sampled)) else { return };
        let _span = chatcluster_service::trace::hop("core.commit", &trace).entered();
        tracing::info!(
            trace_id = %trace.trace_id_hex(),
            hop = "core.commit",
            conversation_id = %stored.conversation_id,
            seq = stored.seq.get(),
            took_us = u64::try_from(queued_at.elapsed().as_micros()).unwrap_or(u64::MAX),
            "message"
        );
    }
}
