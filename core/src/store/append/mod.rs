//! The hot path: sends are combined. A few lanes, chosen by conversation, each take everything that waits into one
//! transaction, so that the row locks and the disk sync are shared by all of it. The order of one sender's sends to one
//! conversation is the order in which they were queued.

mod batch;
mod facts;
mod lane;
mod rows;

use std::time::{Duration, Instant};

use chatcluster_contracts::problem::{Code, Problem};
use parking_lot::Mutex;
use sqlx::{AnyPool, any::AnyConnectOptions};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    task::JoinHandle,
};

use super::{Context, Store, dialect::Dialect};
use crate::{
    domain::{
        message::{NewMessage, Stored},
        shard,
    },
    metrics::SendMetrics,
};
use lane::{Lane, Link};

/// Sends in one transaction at most.
pub const MAX_BATCH: usize = 64;
/// Sends waiting in front of one lane at most; then senders wait, and after [`QUEUE_TIMEOUT`] are refused.
const QUEUE: usize = 1_024;
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

type Outcome = Result<Stored, Problem>;

struct Job {
    message: NewMessage,
    queued_at: Instant,
    answer: oneshot::Sender<Outcome>,
}

fn away() -> Problem {
    Problem::new(Code::Unavailable, "sends cannot be stored now; try again with the same clientMsgId")
}

/// A send that has its place in the queue.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Outcome>);

impl Pending {
    /// Waits until the send is durable or refused.
    pub async fn stored(self) -> Result<Stored, Problem> {
        self.0.await.unwrap_or_else(|_| Err(away()))
    }
}

pub(super) struct Lanes {
    queues: Mutex<Vec<mpsc::Sender<Job>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    count: u32,
    metrics: SendMetrics,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Lanes {
    pub(super) fn start(count: usize, options: &AnyConnectOptions, writers: &AnyPool, context: &Context) -> Self {
        let metrics = SendMetrics::default();
        let mut queues = Vec::with_capacity(count);
        let mut tasks = Vec::with_capacity(count);
        for _ in 0..count {
            let (queue, jobs) = mpsc::channel(QUEUE);
            let link = match context.dialect {
                Dialect::MySql => Link::own(options.clone()),
                // One writer: the lane shares its connection with everything else that writes.
                Dialect::Sqlite => Link::shared(writers.clone()),
            };
            queues.push(queue);
            tasks.push(tokio::spawn(Lane::new(link, context.clone(), metrics.clone()).run(jobs)));
        }
        let count = u32::try_from(count).unwrap_or(1);
        Self { queues: Mutex::new(queues), tasks: Mutex::new(tasks), count, metrics }
    }

    async fn enqueue(&self, message: NewMessage) -> Result<Pending, Problem> {
        let lane = shard::of(message.conversation_id.as_str(), self.count) as usize;
        let queue = self.queues.lock().get(lane).cloned().ok_or_else(away)?;
        let (answer, answered) = oneshot::channel();
        let job = Job { message, queued_at: Instant::now(), answer };
        // At once when there is room: callers that queue one after the other keep their order even if the scheduler
        // would make one of them yield.
        match queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => queue.send_timeout(job, QUEUE_TIMEOUT).await.map_err(|_| away())?,
            Err(TrySendError::Closed(_)) => return Err(away()),
        }
        Ok(Pending(answered))
    }

    /// Takes no more sends and waits for those taken.
    pub(super) async fn close(&self) {
        self.queues.lock().clear();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "an append lane died");
            }
        }
    }
}

impl Store {
    /// Stores a message, or answers the first result of the same (sender, client message id). Once this answers, the
    /// message is durable and its event is in the outbox. An `unavailable` may have been stored all the same: a retry
    /// with the same client message id tells.
    pub async fn send(&self, message: NewMessage) -> Result<Stored, Problem> {
        self.enqueue(message).await?.stored().await
    }

    /// The first half of [`send`](Self::send): waits for a place in the queue. Sends of one sender to one conversation
    /// are stored in the order in which they were queued.
    pub async fn enqueue(&self, message: NewMessage) -> Result<Pending, Problem> {
        self.0.lanes.enqueue(message).await
    }

    pub fn send_metrics(&self) -> &SendMetrics {
        &self.0.lanes.metrics
    }
}
