//! From a batch of records to stored messages. The records of one conversation are stored one after the other, those of
//! different ones together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use chatcluster_contracts::{
    ids::{ConversationId, UserId, WorkspaceId},
    problem::{Code, Problem},
    record::NotificationRecord,
    topics::Topic,
};
use chatcluster_transport::event_log::{LogError, NewRecord, Producer, Record};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;

use super::decode::{Wanted, decode};
use crate::{
    domain::message::{NewMessage, Stored},
    metrics::IngestMetrics,
    store::Store,
};

/// Conversations stored to at the same time.
const TOGETHER: usize = 64;
/// Senders whose workspace is remembered. A user's workspace never changes.
const SENDERS: usize = 10_000;
/// How often a record may fail without the database being away before it is given up.
const BROKEN_TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Storing {
    store: Store,
    producer: Arc<dyn Producer>,
    service_sender: Option<UserId>,
    metrics: IngestMetrics,
    senders: Mutex<HashMap<UserId, WorkspaceId>>,
}

impl Storing {
    pub(super) fn new(
        store: Store,
        producer: Arc<dyn Producer>,
        service_sender: Option<UserId>,
        metrics: IngestMetrics,
    ) -> Self {
        Self { store, producer, service_sender, metrics, senders: Mutex::default() }
    }

    /// Returns once every record is stored or among the dead letters.
    pub(super) async fn store(&self, batch: Vec<Record>) {
        let mut conversations: BTreeMap<ConversationId, Vec<(Record, Wanted)>> = BTreeMap::new();
        let (notifications, batch): (Vec<Record>, Vec<Record>) =
            batch.into_iter().partition(|record| record.partition.topic == Topic::Notifications);
        self.keep_notifications(&notifications).await;
        for record in batch {
            match decode(&record, self.service_sender.as_ref()) {
                Ok(wanted) => {
                    conversations.entry(wanted.conversation_id.clone()).or_default().push((record, wanted));
                }
                Err(problem) => self.refuse(&record, &problem).await,
            }
        }
        let all = stream::iter(conversations.into_values());
        all.for_each_concurrent(TOGETHER, |records| async move {
            for (record, wanted) in records {
                match self.until_decided(&record, &wanted).await {
                    Ok(stored) => self.metrics.stored(record.partition.topic, stored.repeated),
                    Err(problem) => self.refuse(&record, &problem).await,
                }
            }
        })
        .await;
    }

    /// Keeps those of other producers; the platform's own are there already. One that cannot be read is the worker's to
    /// refuse, which reads the same topic.
    async fn keep_notifications(&self, records: &[Record]) {
        let records: Vec<NotificationRecord> =
            records.iter().filter_map(|record| serde_json::from_slice(&record.value).ok()).collect();
        if records.is_empty() {
            return;
        }
        let (mut pause, mut broken) = (FIRST_PAUSE, 0);
        while let Err(problem) = self.store.keep_notifications(&records).await.map_err(Problem::from) {
            broken += u32::from(problem.code == Code::Internal);
            if broken >= BROKEN_TRIES {
                return tracing::error!(records = records.len(), reason = problem.detail, "notifications not kept");
            }
            self.metrics.retries.inc();
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Tries until the message is stored or refused for good. While the database is away that takes as long as it takes.
    async fn until_decided(&self, record: &Record, wanted: &Wanted) -> Result<Stored, Problem> {
        let (mut pause, mut broken) = (FIRST_PAUSE, 0);
        loop {
            let problem = match self.attempt(wanted).await {
                Ok(stored) => return Ok(stored),
                Err(problem) => problem,
            };
            broken += u32::from(problem.code == Code::Internal);
            let again = matches!(problem.code, Code::Unavailable | Code::Internal | Code::RateLimited);
            if !again || broken >= BROKEN_TRIES {
                return Err(problem);
            }
            self.metrics.retries.inc();
            let (topic, offset) = (record.partition.topic.default_name(), record.offset);
            tracing::debug!(topic, offset, reason = problem.detail, "ingest: will be tried again");
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self, wanted: &Wanted) -> Result<Stored, Problem> {
        let workspace_id = self.workspace_of(&wanted.sender_id).await?;
        if let Some(recipient) = &wanted.recipient_id {
            let access = self.store.access(&wanted.conversation_id, &workspace_id, recipient).await;
            access.map_err(|error| match Problem::from(error) {
                problem if problem.code == Code::NotAMember => {
                    Problem::new(Code::NotAMember, "the recipient is not a member of the conversation")
                }
                problem => problem,
            })?;
        }
        let message = NewMessage {
            sender_id: wanted.sender_id.clone(),
            workspace_id,
            conversation_id: wanted.conversation_id.clone(),
            client_msg_id: wanted.client_msg_id.clone(),
            content: wanted.content.clone(),
            thread_root_id: None,
            attachment_ids: Vec::new(),
            trace: wanted.trace,
        };
        self.store.send(message).await
    }

    async fn workspace_of(&self, sender: &UserId) -> Result<WorkspaceId, Problem> {
        if let Some(workspace) = self.senders.lock().get(sender) {
            return Ok(workspace.clone());
        }
        let user = self.store.user(sender).await.map_err(Problem::from)?;
        let user = user.ok_or_else(|| Problem::new(Code::UnknownUser, "there is no such sender"))?;
        let mut senders = self.senders.lock();
        if senders.len() >= SENDERS {
            senders.clear();
        }
        senders.insert(sender.clone(), user.workspace_id.clone());
        Ok(user.workspace_id)
    }

    /// Returns once the record is kept, or its dead letter refused.
    async fn refuse(&self, record: &Record, problem: &Problem) {
        let topic = record.partition.topic;
        let (partition, offset, code) = (record.partition.partition, record.offset, problem.code.as_str());
        self.metrics.refused(topic, problem.code);
        tracing::warn!(topic = topic.default_name(), partition, offset, code, "ingest: record refused");
        let letter = NewRecord::dead_letter_of(record, &format!("{code}: {}", problem.detail));
        let mut pause = FIRST_PAUSE;
        loop {
            match self.producer.append(vec![letter.clone()]).await.into_iter().next() {
                Some(Err(LogError::Unavailable(reason))) => {
                    tracing::debug!(reason, "ingest: a dead letter will be tried again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Some(Err(LogError::Refused(reason))) => {
                    let topic = topic.default_name();
                    return tracing::error!(topic, partition, offset, reason, "the dead-letter topic refused a record");
                }
                Some(Ok(())) | None => return,
            }
        }
    }
}
