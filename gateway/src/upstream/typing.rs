//! Typing goes to the log, best effort: the newest of a user and conversation counts, and what does not fit is dropped.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use chatcluster_contracts::{record, topics::Topic};
use chatcluster_service::health::Dependency;
use chatcluster_transport::event_log::{NewRecord, Producer};
use tokio::sync::mpsc;

/// Typing events that wait for the log.
const MAX_WAITING: usize = 1024;

/// The entrance for sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Typing(mpsc::Sender<record::TypingRecord>);

impl Typing {
    pub(crate) fn new() -> (Self, mpsc::Receiver<record::TypingRecord>) {
        let (queue, incoming) = mpsc::channel(MAX_WAITING);
        (Self(queue), incoming)
    }

    pub(crate) fn submit(&self, typing: record::TypingRecord) {
        // full: the log is away or slow, and by the time it is back nobody types any more
        let _ = self.0.try_send(typing);
    }
}

/// Appends until every entrance is dropped.
pub(crate) async fn run(
    mut incoming: mpsc::Receiver<record::TypingRecord>,
    producer: Arc<dyn Producer>,
    health: Dependency,
) {
    let mut batch = Vec::new();
    while incoming.recv_many(&mut batch, MAX_WAITING).await > 0 {
        let records = coalesce(batch.drain(..)).into_iter().map(|typing| NewRecord {
            topic: Topic::Typing,
            dead_letter: false,
            key: typing.conversation_id.to_string(),
            value: Bytes::from(record::to_json(&typing)),
            headers: Vec::new(),
        });
        let failed = producer.append(records.collect()).await.into_iter().find_map(Result::err);
        match failed {
            None => health.up(),
            Some(error) => health.down(error),
        }
    }
}

/// The last of each user and conversation.
fn coalesce(batch: impl Iterator<Item = record::TypingRecord>) -> Vec<record::TypingRecord> {
    let newest: HashMap<_, _> =
        batch.map(|typing| ((typing.conversation_id.clone(), typing.user_id.clone()), typing)).collect();
    newest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use chatcluster_contracts::ids::{ConversationId, UserId};

    use super::*;

    #[test]
    fn only_the_newest_of_a_user_and_conversation_is_sent() {
        let typing = |user: &str, is_typing| record::TypingRecord {
            conversation_id: ConversationId::parse("c").unwrap(),
            user_id: UserId::parse(user).unwrap(),
            is_typing,
            timestamp: 0,
        };
        let mut sent = coalesce([typing("a", true), typing("b", true), typing("a", false)].into_iter());
        sent.sort_by(|a, b| a.user_id.cmp(&b.user_id));
        assert_eq!(sent, [typing("a", false), typing("b", true)]);
    }
}
