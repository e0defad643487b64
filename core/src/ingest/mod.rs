//! The road of those who produce instead of calling: records of `message.ingest` and `chat-messages` are stored as
//! messages, under the same rules as a client's sends; those of `notifications` are kept for their users. Once a record's message is durable, or the record is among the
//! dead letters with the reason, its offset is finished; a record that comes again is recognised.

mod decode;
mod reader;
mod storing;

use std::sync::Arc;

use chatcluster_contracts::{
    ids::UserId,
    topics::{Group, Topic},
};
use chatcluster_transport::event_log::{EventLog, subscribe_until};
use tokio_util::sync::CancellationToken;

use self::storing::Storing;
use crate::{metrics::IngestMetrics, store::Store};

const TOPICS: [Topic; 3] = [Topic::Ingest, Topic::Direct, Topic::Notifications];

pub(crate) struct Ingest {
    pub(crate) store: Store,
    pub(crate) log: Arc<dyn EventLog>,
    /// In whose name `chat-messages` without a sender are stored.
    pub(crate) service_sender: Option<UserId>,
    pub(crate) metrics: IngestMetrics,
}

impl Ingest {
    /// Until `stop`; what has been begun is finished then.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let Some(consumer) = subscribe_until(&stop, &*self.log, Group::Ingest, &TOPICS).await else { return };
        let producer = self.log.producer();
        let storing = Storing::new(self.store, producer, self.service_sender, self.metrics);
        reader::run(consumer, Arc::new(storing), stop).await;
    }
}
