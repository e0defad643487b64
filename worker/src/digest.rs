//! A lost last event leaves no gap behind which it would be noticed: so gateways are told, a little later and a few
//! times, how far the conversations routed to them have come.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chatcluster_contracts::{
    ids::{ConversationId, Node},
    seq::Seq,
    stream_entry::StreamEntry,
};
use parking_lot::Mutex;

use crate::publish::Publisher;

/// How many digests name a conversation after its last event.
const TIMES: u8 = 3;
/// Heads in one entry.
const HEADS: usize = 500;
/// Conversations remembered per gateway; beyond, the gateways' own sweep has to do.
const CAPACITY: usize = 50_000;

type Heads = HashMap<ConversationId, (Seq, u8)>;

/// What was routed where lately.
#[derive(Debug, Clone, Default)]
pub(crate) struct Digests(Arc<Mutex<HashMap<Node, Heads>>>);

impl Digests {
    /// Takes note of the events among `entries`.
    pub(crate) fn note(&self, entries: &[(Node, Arc<StreamEntry>)]) {
        let mut nodes = self.0.lock();
        for (node, entry) in entries {
            let StreamEntry::Event { conversation_id, seq, .. } = &**entry else { continue };
            if !nodes.contains_key(node) {
                nodes.insert(node.clone(), Heads::new());
            }
            let Some(heads) = nodes.get_mut(node) else { continue };
            if let Some((head, times)) = heads.get_mut(conversation_id) {
                (*head, *times) = ((*head).max(*seq), TIMES);
            } else if heads.len() < CAPACITY {
                heads.insert(conversation_id.clone(), (*seq, TIMES));
            }
        }
    }

    /// The entries of one round.
    fn take(&self) -> Vec<(Node, Arc<StreamEntry>)> {
        let mut nodes = self.0.lock();
        let mut entries = Vec::new();
        for (node, heads) in nodes.iter_mut() {
            let all: Vec<(ConversationId, Seq)> = heads.iter().map(|(id, (head, _))| (id.clone(), *head)).collect();
            for chunk in all.chunks(HEADS) {
                entries.push((node.clone(), Arc::new(StreamEntry::Digest { heads: chunk.to_vec() })));
            }
            heads.retain(|_, (_, times)| {
                *times -= 1;
                *times > 0
            });
        }
        nodes.retain(|_, heads| !heads.is_empty());
        entries
    }

    /// Runs until dropped.
    pub(crate) async fn run(self, publisher: Publisher, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            publisher.write(self.take()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chatcluster_contracts::{event::EventType, stream_entry::Recipients};

    use super::*;

    #[test]
    fn the_highest_head_is_said_a_few_times_and_then_forgotten() {
        let (digests, node) = (Digests::default(), Node::parse("g1").unwrap());
        let event = |seq| {
            let entry = StreamEntry::Event {
                conversation_id: ConversationId::parse("c").unwrap(),
                seq: Seq::new(seq),
                event_type: EventType::Message,
                subject: None,
                recipients: Recipients::default(),
                payload: Bytes::new(),
                traceparent: None,
            };
            (node.clone(), Arc::new(entry))
        };
        digests.note(&[event(7), event(5)]);
        for _ in 0..TIMES {
            let round = digests.take();
            let StreamEntry::Digest { heads } = &*round[0].1 else { panic!("no digest") };
            assert_eq!(heads[0].1, Seq::new(7));
        }
        assert!(digests.take().is_empty());
    }
}
