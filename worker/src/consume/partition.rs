//! The task of one partition: everything that waits is worked on together, in order.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use chatcluster_contracts::{ids::UserId, topics::Topic};
use chatcluster_service::trace;
use chatcluster_transport::event_log::{ConsumerControl, Record, TopicPartition};
use tokio::sync::mpsc::UnboundedReceiver;

use super::Depth;
use crate::{
    clock::{age, now_ms},
    config::Options,
    dead_letter::DeadLetters,
    decode::{Work, decode},
    digest::Digests,
    metrics::{PartitionLabel, WorkerMetrics},
    plan::{Resolved, plan},
    publish::{Publisher, until_done},
    resolve::{Connections, CoreAway, CoreClient, Members},
};

/// How often core may deny a conversation before its record is given up.
const UNKNOWN_TRIES: u32 = 3;

/// Nobody types any more what somebody typed so long ago.
const TYPING_FOR: Duration = Duration::from_secs(10);

/// Everything a partition's task works with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pipeline {
    pub(crate) options: Options,
    pub(crate) core: CoreClient,
    pub(crate) connections: Arc<Connections>,
    pub(crate) publisher: Publisher,
    pub(crate) digests: Digests,
    pub(crate) dead_letters: DeadLetters,
    /// Consumers share one gauge: each reports what changed.
    pub(crate) reported_lag: Arc<parking_lot::Mutex<i64>>,
}

impl Pipeline {
    pub(crate) fn metrics(&self) -> &WorkerMetrics {
        &self.publisher.metrics
    }

    pub(crate) fn queue(&self) -> usize {
        self.options.fanout_queue as usize
    }

    pub(crate) fn report_lag(&self, lag: u64) {
        let (mut reported, lag) = (self.reported_lag.lock(), i64::try_from(lag).unwrap_or(i64::MAX));
        self.metrics().lag.inc_by(lag - *reported);
        *reported = lag;
    }

    pub(super) async fn run(
        self,
        partition: TopicPartition,
        mut queue: UnboundedReceiver<Record>,
        depth: Arc<Depth>,
        control: Arc<dyn ConsumerControl>,
    ) {
        let Options { member_cache, fanout_broadcast_above, .. } = self.options;
        let mut members = Members::new(self.core.clone(), member_cache, fanout_broadcast_above);
        let mut batch = Vec::with_capacity(usize::from(self.options.fanout_batch));
        while queue.recv_many(&mut batch, usize::from(self.options.fanout_batch)).await > 0 {
            let count = batch.len();
            let last = batch.last().map_or(-1, |record: &Record| record.offset);
            #[cfg(feature = "plants")]
            if chatcluster_service::plants::planted("offset-before-xadd") {
                control.finished(partition, last);
            }
            self.process(&batch, &mut members).await;
            control.finished(partition, last);
            depth.taken(count, self.queue(), || control.resume(partition));
            let label = PartitionLabel { topic: partition.topic.default_name(), partition: partition.partition };
            self.metrics().records.get_or_create(&label).inc_by(count as u64);
            batch.clear();
        }
    }

    /// Returns once everything the records ask for was acknowledged.
    async fn process(&self, records: &[Record], members: &mut Members) {
        let start = Instant::now();
        let mut resolved = Vec::with_capacity(records.len());
        let mut traced = Vec::new();
        for record in records {
            if record.partition.topic == Topic::Typing && age(record) > TYPING_FOR {
                self.metrics().expired.inc();
                continue;
            }
            match decode(record) {
                Ok(work) => {
                    if let Work::Event { head, trace: Some(trace), .. } = &work
                        && trace.sampled
                    {
                        traced.push((*trace, head.conversation_id.clone(), head.seq, record.timestamp_ms));
                    }
                    match self.resolve(work, members).await {
                        Ok(known) => resolved.push(known),
                        Err(error) => self.dead_letters.keep(record, &error.to_string()).await,
                    }
                }
                Err(error) => self.dead_letters.keep(record, &error.to_string()).await,
            }
        }
        let users: HashSet<UserId> = resolved.iter().flat_map(Resolved::users).cloned().collect();
        let routes = until_done("connections", self.metrics(), || async {
            let routes = self.connections.routes(&users).await;
            match &routes {
                Ok(_) => self.publisher.redis.up(),
                Err(error) => self.publisher.redis.down(error),
            }
            routes
        })
        .await;
        let plan = plan(resolved, &routes);
        self.metrics().resolve.observe(start.elapsed().as_secs_f64());
        self.digests.note(&plan);
        let gateways = plan.entries.len();
        self.publisher.carry_out(plan).await;
        self.observe_age(records);
        for (trace, conversation, seq, appended_ms) in traced {
            let _span = trace::hop("worker.xadd", &trace).entered();
            let (trace_id, took_us) = (trace.trace_id_hex(), micros(start));
            let since_kafka_ms = now_ms() - appended_ms;
            tracing::info!(
                %trace_id, hop = "worker.xadd", conversation_id = %conversation, %seq,
                took_us, since_kafka_ms, batch = records.len(), entries = gateways, "message"
            );
        }
    }

    /// Asks until it knows: while core is away the partition waits, and with it everything that must stay in order. An
    /// event of a conversation that core knows nothing of, asked several times, must not hold the partition for ever.
    async fn resolve(&self, work: Work, members: &mut Members) -> Result<Resolved, CoreAway> {
        Ok(match work {
            Work::Direct { user, payload } => Resolved::Direct { user, payload },
            Work::Room(record) => Resolved::Room(record),
            Work::Event { head, payload, trace } => {
                let mut unknown = 0;
                let audience = loop {
                    match members.audience(&head).await {
                        Ok(found) => break found,
                        Err(error @ CoreAway::Unknown(_)) if unknown >= UNKNOWN_TRIES => return Err(error),
                        Err(error) => {
                            unknown += u32::from(matches!(error, CoreAway::Unknown(_)));
                            self.pause_for_core(&error).await;
                        }
                    }
                };
                Resolved::Event { head, payload, trace, audience }
            }
            Work::Typing { conversation, typist, payload } => {
                // not worth waiting for
                let found = members.present(&conversation).await.unwrap_or_else(|_| Arc::from([]));
                Resolved::Typing { conversation, payload, members: found, typist }
            }
        })
    }

    async fn pause_for_core(&self, error: &CoreAway) {
        self.metrics().retried("members");
        tracing::debug!(%error, open = self.core.is_open(), "members are asked for again");
        tokio::time::sleep(std::time::Duration::from_millis(rand::random_range(50..150))).await;
    }

    fn observe_age(&self, records: &[Record]) {
        for record in records {
            self.metrics().record_age.observe(age(record).as_secs_f64());
        }
    }
}

fn micros(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
