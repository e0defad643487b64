//! The reading side of the embedded log: one member of one group.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use chatcluster_contracts::topics::{Group, Topic};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
};

use super::{
    Shared, away,
    groups::{MemberId, Step},
    partitions::Found,
    writer::keep_positions,
};
use crate::event_log::{Consumed, Consumer, ConsumerControl, LogError, Record, TopicPartition, is_ephemeral};

/// Records fetched at once per partition.
const FETCH: usize = 64;
/// Positions wait so long for more to come before they are written.
const KEEP_INTERVAL: Duration = Duration::from_millis(200);

pub(super) struct EmbeddedConsumer {
    member: Arc<Member>,
    appended: watch::Receiver<u64>,
    /// The partition served last: the others go first, or a busy one would starve them.
    last: Option<TopicPartition>,
    keeper: AbortHandle,
}

/// What the consumer and its control handles share.
struct Member {
    shared: Arc<Shared>,
    group: Group,
    id: MemberId,
    assigned: Mutex<BTreeMap<TopicPartition, Assigned>>,
    /// Rung at a rebalance and at a resume.
    wake: Arc<Notify>,
    finished: Notify,
}

#[derive(Default)]
struct Assigned {
    /// The next offset to fetch.
    next: i64,
    fetched: VecDeque<Record>,
    paused: bool,
}

impl EmbeddedConsumer {
    pub(super) fn join(shared: Arc<Shared>, group: Group, topics: &[Topic]) -> Self {
        let wake = Arc::new(Notify::new());
        let id = shared.groups.lock().entry(group).or_default().join(topics, wake.clone());
        let appended = shared.partitions.lock().watch();
        let member = Arc::new(Member { shared, group, id, assigned: Mutex::default(), wake, finished: Notify::new() });
        let keeper = tokio::spawn(keep(member.clone())).abort_handle();
        Self { member, appended, last: None, keeper }
    }

    /// The next record at hand, taking turns among the partitions.
    fn fetched(&mut self) -> Option<Record> {
        let mut assigned = self.member.assigned.lock();
        let place = in_turn(&assigned, self.last, |partition| !partition.fetched.is_empty())?;
        self.last = Some(place);
        assigned.get_mut(&place)?.fetched.pop_front()
    }

    /// Fetches for every partition that has news; answers whether any came.
    async fn fetch(&self) -> Result<bool, LogError> {
        let mut any = false;
        let wanting: Vec<(TopicPartition, i64)> = {
            let assigned = self.member.assigned.lock();
            let idle = assigned.iter().filter(|(_, partition)| !partition.paused && partition.fetched.is_empty());
            idle.map(|(place, partition)| (*place, partition.next)).collect()
        };
        for (place, next) in wanting {
            let found = self.member.shared.partitions.lock().from(place, next, FETCH, is_ephemeral(place.topic));
            let records = match found {
                Found::Nothing => continue,
                Found::InMemory(records) => records,
                Found::InFile => {
                    self.member.shared.store.records(place, next, FETCH).await.map_err(|error| away(&error))?
                }
            };
            let mut assigned = self.member.assigned.lock();
            if let (Some(partition), Some(last)) = (assigned.get_mut(&place), records.last()) {
                partition.next = last.offset + 1;
                partition.fetched = records.into();
                any = true;
            }
        }
        Ok(any)
    }
}

/// The first partition after `last` that can be served.
fn in_turn(
    assigned: &BTreeMap<TopicPartition, Assigned>,
    last: Option<TopicPartition>,
    ready: impl Fn(&Assigned) -> bool,
) -> Option<TopicPartition> {
    let can =
        |(place, partition): (&TopicPartition, &Assigned)| (!partition.paused && ready(partition)).then_some(*place);
    let after = last
        .and_then(|last| assigned.range((std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded)).find_map(can));
    after.or_else(|| assigned.iter().find_map(can))
}

impl Member {
    /// Applies the next change of the assignment, if there is one.
    fn change(&self) -> Option<Consumed> {
        let step = self.shared.groups.lock().get_mut(&self.group)?.step(self.id)?;
        let mut assigned = self.assigned.lock();
        Some(match step {
            Step::Revoked(places) => {
                assigned.retain(|place, _| !places.contains(place));
                Consumed::Revoked(places)
            }
            Step::Assigned(places) => {
                let partitions = self.shared.partitions.lock();
                for (place, next) in &places {
                    let next = if is_ephemeral(place.topic) { partitions.head(*place) } else { next.unwrap_or(0) };
                    assigned.insert(*place, Assigned { next, ..Assigned::default() });
                }
                Consumed::Assigned(places.into_iter().map(|(place, _)| place).collect())
            }
        })
    }
}

/// Writes the group's positions a few times a second at most.
async fn keep(member: Arc<Member>) {
    loop {
        member.finished.notified().await;
        tokio::time::sleep(KEEP_INTERVAL).await;
        keep_positions(&member.shared, member.group, false).await;
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn next(&mut self) -> Result<Consumed, LogError> {
        loop {
            if let Some(change) = self.member.change() {
                return Ok(change);
            }
            if let Some(record) = self.fetched() {
                return Ok(Consumed::Record(record));
            }
            // Seen before the look, so that an append during it is not missed.
            self.appended.borrow_and_update();
            if self.fetch().await? {
                continue;
            }
            tokio::select! {
                _ = self.appended.changed() => {}
                () = self.member.wake.notified() => {}
            }
        }
    }

    fn control(&self) -> Arc<dyn ConsumerControl> {
        Arc::new(Control(self.member.clone()))
    }

    async fn close(self: Box<Self>) {
        keep_positions(&self.member.shared, self.member.group, true).await;
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        self.keeper.abort();
        if let Some(group) = self.member.shared.groups.lock().get_mut(&self.member.group) {
            group.leave(self.member.id);
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let member = self.member.clone();
            runtime.spawn(async move { keep_positions(&member.shared, member.group, false).await });
        }
    }
}

struct Control(Arc<Member>);

impl ConsumerControl for Control {
    fn finished(&self, partition: TopicPartition, offset: i64) {
        let mut groups = self.0.shared.groups.lock();
        let news = groups.get_mut(&self.0.group).is_some_and(|group| group.finished(self.0.id, partition, offset));
        drop(groups);
        if news {
            self.0.finished.notify_one();
        }
    }

    fn pause(&self, partition: TopicPartition) {
        if let Some(assigned) = self.0.assigned.lock().get_mut(&partition) {
            assigned.paused = true;
        }
    }

    fn resume(&self, partition: TopicPartition) {
        if let Some(assigned) = self.0.assigned.lock().get_mut(&partition) {
            assigned.paused = false;
        }
        self.0.wake.notify_one();
    }

    fn lag(&self) -> u64 {
        let assigned: Vec<TopicPartition> = self.0.assigned.lock().keys().copied().collect();
        let groups = self.0.shared.groups.lock();
        let partitions = self.0.shared.partitions.lock();
        let Some(group) = groups.get(&self.0.group) else { return 0 };
        assigned
            .into_iter()
            .map(|place| {
                let from = group.position(place).unwrap_or(0);
                u64::try_from(partitions.head(place) - from).unwrap_or(0)
            })
            .sum()
    }
}
