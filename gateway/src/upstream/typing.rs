//! Typing goes to the log, best effort: the newest of a user and conversation counts, and what does not fit is dropped.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use chatcluster_contracts::{
    ids::{ConversationId, UserId},
    record,
    topics::Topic,
};
use chatcluster_service::health::Dependency;
use chatcluster_transport::event_log::{NewRecord, Producer};
use tokio::{sync::mpsc, time::Instant};

/// Typing events that wait for the log.
const MAX_WAITING: usize = 1024;
/// How long somebody types who does not say it again.
pub(crate) const TYPES_FOR: Duration = Duration::from_secs(6);
/// Typists whose time is watched; of more, clients have to forget by themselves.
const MAX_TYPISTS: usize = 10_000;

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

/// Appends until every entrance is dropped. Who says for [`TYPES_FOR`] no more that they type has stopped: their client may
/// be gone.
pub(crate) async fn run(
    mut incoming: mpsc::Receiver<record::TypingRecord>,
    producer: Arc<dyn Producer>,
    health: Dependency,
) {
    let (mut batch, mut typists) = (Vec::new(), Typists::default());
    loop {
        let until = typists.until();
        tokio::select! {
            count = incoming.recv_many(&mut batch, MAX_WAITING) => if count == 0 { return },
            () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
        }
        let mut records = coalesce(batch.drain(..));
        typists.heard(&records, Instant::now());
        records.extend(typists.stopped(Instant::now()));
        if records.is_empty() {
            continue;
        }
        let records = records.into_iter().map(|typing| NewRecord {
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

type Typist = (ConversationId, UserId);

/// Who types now, as far as known, and until when without another word. Pure.
#[derive(Debug, Default)]
struct Typists {
    until: HashMap<Typist, Instant>,
    /// In the order of their times; those that have another one by now are passed over.
    order: VecDeque<(Instant, Typist)>,
}

impl Typists {
    fn heard(&mut self, records: &[record::TypingRecord], now: Instant) {
        for typing in records {
            let typist = (typing.conversation_id.clone(), typing.user_id.clone());
            if !typing.is_typing {
                self.until.remove(&typist);
            } else if self.until.len() < MAX_TYPISTS || self.until.contains_key(&typist) {
                self.until.insert(typist.clone(), now + TYPES_FOR);
                self.order.push_back((now + TYPES_FOR, typist));
            }
        }
    }

    fn until(&self) -> Option<Instant> {
        self.order.front().map(|(until, _)| *until)
    }

    fn stopped(&mut self, now: Instant) -> Vec<record::TypingRecord> {
        let mut stopped = Vec::new();
        while let Some((_, typist)) = self.order.pop_front_if(|(until, _)| *until <= now) {
            if self.until.get(&typist).is_some_and(|until| *until <= now) {
                self.until.remove(&typist);
                let (conversation_id, user_id) = typist;
                let timestamp = jiff::Timestamp::now().as_millisecond();
                stopped.push(record::TypingRecord { conversation_id, user_id, is_typing: false, timestamp });
            }
        }
        stopped
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
    use super::*;

    fn typing(user: &str, is_typing: bool) -> record::TypingRecord {
        record::TypingRecord {
            conversation_id: ConversationId::parse("c").unwrap(),
            user_id: UserId::parse(user).unwrap(),
            is_typing,
            timestamp: 0,
        }
    }

    #[test]
    fn who_says_no_more_that_they_type_has_stopped() {
        let (mut typists, start) = (Typists::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        typists.heard(&[typing("a", true), typing("b", true), typing("c", true)], start);
        typists.heard(&[typing("b", true), typing("c", false)], after(4));
        let mut stopped = |at| typists.stopped(after(at)).iter().map(|it| it.user_id.to_string()).collect::<Vec<_>>();
        assert_eq!(stopped(5), [""; 0]);
        assert_eq!(stopped(6), ["a"], "b said it again, and c said that it stopped");
        assert_eq!(stopped(10), ["b"]);
        assert_eq!((typists.until(), typists.until.len()), (None, 0));
    }

    #[test]
    fn only_the_newest_of_a_user_and_conversation_is_sent() {
        let mut sent = coalesce([typing("a", true), typing("b", true), typing("a", false)].into_iter());
        sent.sort_by(|a, b| a.user_id.cmp(&b.user_id));
        assert_eq!(sent, [typing("a", false), typing("b", true)]);
    }
}
