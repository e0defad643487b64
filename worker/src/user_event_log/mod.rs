//! Keeps the logs of user events: hears everything that is published on their channels and appends it to the log of its
//! name. One worker does so at a time, by a lease; the others listen too and remember what they heard lately, so that
//! the next one writes what a killed one has not written any more.
//!
//! On a Redis Cluster, whose servers hand messages on in no common order, nothing is remembered: there what is published
//! while nobody holds the lease is in no log.

mod backlog;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chatcluster_contracts::redis_keys::Keys;
use chatcluster_service::shutdown::Shutdown;
use chatcluster_transport::{
    channels::{ChannelLogs, Channels, NewEntry, Retention, Standing},
    gateway_streams::{GatewayStreams, Signal, Signals, StreamError},
};
use futures_util::{StreamExt, TryStreamExt, stream};

use self::backlog::{Backlog, Order};
use crate::metrics::WorkerMetrics;

/// The lease outlives its holder by so much.
const LEASE: Duration = Duration::from_secs(5);
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// Messages written at once.
const BATCH: usize = 500;
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// How long somebody who stops goes on until everything that was published before is written.
const LEAVING: Duration = Duration::from_secs(10);
/// How long whoever wrote until the data was lost is left to find out and go on.
const GRACE: Duration = Duration::from_secs(2);
/// Logs whose ends are read at the same time.
const READS: usize = 64;
/// Longest name that a log is kept for, in bytes: that of an id.
const MAX_NAME: usize = chatcluster_contracts::ids::MAX_ID_BYTES;

pub(crate) struct UserEventLog {
    channels: Arc<dyn Channels>,
    signals: Arc<dyn Signals>,
    logs: Arc<dyn ChannelLogs>,
    keys: Keys,
    /// This worker, among all that ever were.
    holder: String,
    keep: Retention,
    metrics: WorkerMetrics,
}

/// What one worker knows of the lease and of what it hears.
struct Duty {
    order: Order,
    /// What was heard and not written by this worker.
    backlog: Backlog,
    /// While it writes: the lease is certain up to here.
    held_until: Option<Instant>,
    asked: Instant,
    /// The life of the data that the backlog belongs to.
    life: Option<String>,
    /// The data was found to be lost, and nobody has written since.
    lost: Option<Instant>,
    /// The order was lost: something is to be done now.
    is_urgent: bool,
    /// Messages without a common token so far.
    nameless: u64,
    end: End,
}

/// How near the end of the process is.
enum End {
    Far,
    /// What was published before this mark of its own is written first.
    After(String),
    Here,
}

impl Duty {
    fn is_writer(&self) -> bool {
        self.held_until.is_some_and(|until| until > Instant::now())
    }
}

impl UserEventLog {
    /// `entries` that each log keeps; 0: there are no logs.
    pub(crate) fn new(streams: &dyn GatewayStreams, keep: Retention, metrics: WorkerMetrics) -> Self {
        Self {
            channels: streams.channels(),
            signals: streams.signals(),
            logs: streams.logs(),
            keys: streams.keys().clone(),
            holder: format!("{:016x}", rand::random::<u64>()),
            keep,
            metrics,
        }
    }

    /// Until shutdown; then the next one may take over at once.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        if self.keep.entries == 0 {
            return;
        }
        let given_up = async {
            shutdown.requested().await;
            tokio::time::sleep(LEAVING).await;
            tracing::warn!("user events that were published last may be in no log");
        };
        tokio::select! {
            () = given_up => {}
            () = self.listen_and_write(&shutdown) => {}
        }
        if let Err(error) = self.logs.release(&self.holder).await {
            tracing::debug!(%error, "the right to write the logs of user events is not given up; it expires");
        }
    }

    async fn listen_and_write(&self, shutdown: &Shutdown) {
        let mut ear = loop {
            match self.channels.open_all(&self.keys.user_events("")).await {
                Ok(ear) => break ear,
                Err(error) => tracing::warn!(%error, "user events cannot be listened to; trying again"),
            }
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(RENEW_EVERY) => {}
            }
        };
        let mut duty = Duty {
            order: Order::default(),
            backlog: Backlog::default(),
            held_until: None,
            asked: Instant::now(),
            life: None,
            lost: None,
            is_urgent: false,
            nameless: 0,
            end: End::Far,
        };
        self.look_after(&mut duty).await;
        let mut signals = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = shutdown.requested(), if matches!(duty.end, End::Far) => duty.end = self.say_farewell(&duty).await,
                () = ear.hear(BATCH, &mut signals) => {
                    let entries = self.entries(&mut signals, &mut duty);
                    self.take(entries, &mut duty).await;
                }
                () = tokio::time::sleep_until((duty.asked + RENEW_EVERY).into()) => {}
            }
            if matches!(duty.end, End::Here) {
                return;
            }
            if duty.asked.elapsed() >= RENEW_EVERY || std::mem::take(&mut duty.is_urgent) {
                self.look_after(&mut duty).await;
            }
        }
    }

    /// Publishes a mark that everybody counts from.
    async fn mark(&self) -> Result<String, StreamError> {
        let mark = format!("{:016x}", rand::random::<u64>());
        self.signals.publish(&self.keys.user_event_mark(), Bytes::from(mark.clone())).await?;
        Ok(mark)
    }

    /// Who writes hears a mark of its own before it goes: then it has heard all that was published before.
    async fn say_farewell(&self, duty: &Duty) -> End {
        if !duty.is_writer() || !self.channels.is_ordered() {
            return End::Here;
        }
        match self.mark().await {
            Ok(mark) => End::After(mark),
            Err(error) => {
                tracing::warn!(%error, "user events that were published last may be in no log");
                End::Here
            }
        }
    }

    /// What is to be done from time to time: the mark, if there is none, and the lease.
    async fn look_after(&self, duty: &mut Duty) {
        if !duty.order.is_known()
            && self.channels.is_ordered()
            && let Err(error) = self.mark().await
        {
            tracing::debug!(%error, "the order of user events is not known yet; trying again");
        }
        if duty.is_writer() {
            if !self.renew(duty).await {
                self.resign(duty);
            }
            return;
        }
        if duty.held_until.is_some() {
            self.resign(duty);
        }
        duty.asked = Instant::now();
        match self.stand_by(duty).await {
            Ok(true) => {
                duty.held_until = Some(duty.asked + LEASE);
                self.take_over(duty).await;
            }
            Ok(false) => {}
            Err(error) => {
                self.metrics.retried("user_event_log");
                tracing::debug!(%error, "the lease of the logs of user events is not reached");
            }
        }
    }

    /// True: it is this worker's turn. What was heard for logs that are lost with the data is not written to their
    /// successors, whose readers have heard it.
    async fn stand_by(&self, duty: &mut Duty) -> Result<bool, StreamError> {
        let standing = self.logs.stand_by(&self.holder, LEASE).await?;
        if standing.life != duty.life {
            duty.backlog = Backlog::default();
            duty.life.clone_from(&standing.life);
        }
        if standing.life.is_some() {
            duty.lost = None;
            return Ok(standing.is_held);
        }
        let lost = *duty.lost.get_or_insert_with(Instant::now);
        if lost.elapsed() < GRACE {
            return Ok(false);
        }
        let standing = self.logs.hold(&self.holder, LEASE, false).await?;
        duty.life = standing.life;
        Ok(standing.is_held)
    }

    /// Writes what was heard and is in no log, and says that the logs may be relied on.
    async fn take_over(&self, duty: &mut Duty) {
        tracing::info!(holder = self.holder, "this worker writes the logs of user events");
        let backlog = std::mem::take(&mut duty.backlog);
        match self.last_tokens(&backlog).await {
            Ok(last) => {
                let late = backlog.unwritten(&last);
                if !late.is_empty() {
                    tracing::warn!(events = late.len(), "user events that nobody had logged are logged now");
                }
                self.append(late, duty).await;
            }
            Err(error) => {
                tracing::warn!(%error, "the ends of the logs of user events are not known; trying again");
                duty.backlog = backlog;
                duty.held_until = None;
            }
        }
        if duty.held_until.is_some() && !self.renew(duty).await {
            self.resign(duty);
        }
    }

    async fn last_tokens(&self, backlog: &Backlog) -> Result<HashMap<String, String>, StreamError> {
        let names: Vec<String> = backlog.logs().into_iter().map(str::to_owned).collect();
        let reading = names.into_iter().map(|log| async move {
            let page = self.logs.last(&log, 1).await?;
            Ok(page.entries.into_iter().next_back().map(|entry| (log, entry.token)))
        });
        let last: Vec<Option<(String, String)>> = stream::iter(reading).buffer_unordered(READS).try_collect().await?;
        Ok(last.into_iter().flatten().collect())
    }

    fn resign(&self, duty: &mut Duty) {
        duty.held_until = None;
        tracing::warn!(holder = self.holder, "this worker does not write the logs of user events any more");
    }

    async fn take(&self, entries: Vec<NewEntry>, duty: &mut Duty) {
        if duty.is_writer() {
            self.append(entries, duty).await;
        } else {
            duty.backlog.keep(entries, Instant::now());
        }
    }

    fn entries(&self, signals: &mut Vec<Signal>, duty: &mut Duty) -> Vec<NewEntry> {
        let (prefix, mark) = (self.keys.user_events(""), self.keys.user_event_mark());
        let mut entries = Vec::with_capacity(signals.len());
        for signal in signals.drain(..) {
            let Signal::Message { channel, payload } = signal else {
                tracing::warn!("the connection to redis was lost: user events of that time are in no log");
                duty.order.lose();
                duty.is_urgent = true;
                continue;
            };
            if channel == mark {
                let mark = String::from_utf8_lossy(&payload);
                if matches!(&duty.end, End::After(own) if *own == mark) {
                    duty.end = End::Here;
                }
                duty.order.mark(&mark);
                continue;
            }
            let Some(name) = channel.strip_prefix(&prefix).filter(|name| name.len() <= MAX_NAME) else { continue };
            let token = duty.order.next();
            // nobody else knows this one under that name, so only who writes may use it
            let Some(token) = token.or_else(|| duty.is_writer().then(|| self.nameless(duty))) else { continue };
            entries.push(NewEntry {
                log: self.keys.user_event_log(name),
                notice: self.keys.user_event_notice(name),
                payload,
                token,
            });
        }
        entries
    }

    fn nameless(&self, duty: &mut Duty) -> String {
        duty.nameless += 1;
        format!("{}-{}", self.holder, duty.nameless)
    }

    /// As long as the lease is held: whoever was frozen longer than it lasts must not add what its successor has added.
    /// What was not written then is kept for the next term. What may have been in logs that were lost meanwhile is given
    /// up: their readers may have heard it.
    async fn append(&self, entries: Vec<NewEntry>, duty: &mut Duty) {
        let mut again = false;
        while !entries.is_empty() {
            if !duty.is_writer() {
                duty.backlog.keep(entries, Instant::now());
                self.resign(duty);
                return;
            }
            match self.logs.append(&entries, self.keep, again).await {
                Ok(()) => break,
                Err(error) => {
                    self.metrics.retried("user_event_log");
                    tracing::warn!(%error, "user events not logged; trying again");
                    again = true;
                    tokio::time::sleep(RETRY_AFTER).await;
                    if self.has_lost_data(duty).await {
                        tracing::warn!(events = entries.len(), "redis lost its data: user events are in no log");
                        return;
                    }
                    if duty.asked.elapsed() >= RENEW_EVERY && !self.renew(duty).await {
                        duty.held_until = None;
                    }
                }
            }
        }
        self.metrics.user_events_logged.inc_by(entries.len() as u64);
    }

    /// False: somebody else has the lease, or nobody knows.
    async fn renew(&self, duty: &mut Duty) -> bool {
        duty.asked = Instant::now();
        match self.logs.hold(&self.holder, LEASE, true).await {
            Ok(Standing { is_held: true, life }) => {
                duty.held_until = Some(duty.asked + LEASE);
                duty.life = life;
            }
            Ok(_) => return false,
            Err(error) => tracing::debug!(%error, "the lease of the logs of user events is not renewed"),
        }
        duty.is_writer()
    }

    /// Other logs than those that this worker wrote before?
    async fn has_lost_data(&self, duty: &Duty) -> bool {
        self.logs.stand_by(&self.holder, LEASE).await.is_ok_and(|standing| standing.life != duty.life)
    }
}
