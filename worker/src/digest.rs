//! A lost last event leaves no gap behind which it would be noticed: so gateways are told, a little later and a few
//! times, how far the conversations routed to them have come.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chatcluster_contracts::{
    ids::{ConversationId, Node},
    room_message::RoomMessage,
    seq::Seq,
    stream_entry::StreamEntry,
};
use parking_lot::Mutex;

use crate::{plan::Plan, publish::Publisher};

/// How many digests name a conversation after its last event.
const TIMES: u8 = 3;
/// Heads in one entry.
const HEADS: usize = 500;
/// Conversations remembered per gateway; beyond, the gateways' own sweep has to do.
const CAPACITY: usize = 50_000;

type Heads = HashMap<ConversationId, (Seq, u8)>;

/// What went where lately.
#[derive(Debug, Clone, Default)]
pub(crate) struct Digests(Arc<Mutex<Lately>>);

#[derive(Debug, Default)]
struct Lately {
    routed: HashMap<Node, Heads>,
    rooms: Heads,
}

impl Digests {
    /// Takes note of the events of a plan.
    pub(crate) fn note(&self, plan: &Plan) {
        let mut lately = self.0.lock();
        let Lately { routed: nodes, rooms } = &mut *lately;
        for (room, message) in &plan.rooms {
            if let RoomMessage::Event { seq, .. } = message {
                note(rooms, room, *seq);
            }
        }
        for (node, entry) in &plan.entries {
            let StreamEntry::Event { conversation_id, seq, .. } = &**entry else { continue };
            if !nodes.contains_key(node) {
                nodes.insert(node.clone(), Heads::new());
            }
            let Some(heads) = nodes.get_mut(node) else { continue };
            note(heads, conversation_id, *seq);
        }
    }

    /// What one round says.
    fn take(&self) -> Plan {
        let mut lately = self.0.lock();
        let Lately { routed: nodes, rooms } = &mut *lately;
        let digests = rooms.iter().map(|(id, (head, _))| (id.clone(), RoomMessage::Digest { head: *head })).collect();
        said(rooms);
        let mut entries = Vec::new();
        for (node, heads) in nodes.iter_mut() {
            let all: Vec<(ConversationId, Seq)> = heads.iter().map(|(id, (head, _))| (id.clone(), *head)).collect();
            for chunk in all.chunks(HEADS) {
                entries.push((node.clone(), Arc::new(StreamEntry::Digest { heads: chunk.to_vec() })));
            }
            said(heads);
        }
        nodes.retain(|_, heads| !heads.is_empty());
        Plan { entries, rooms: digests, records: Vec::new() }
    }

    /// Runs until dropped.
    pub(crate) async fn run(self, publisher: Publisher, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            publisher.carry_out(self.take()).await;
        }
    }
}

fn note(heads: &mut Heads, id: &ConversationId, seq: Seq) {
    if let Some((head, times)) = heads.get_mut(id) {
        (*head, *times) = ((*head).max(seq), TIMES);
    } else if heads.len() < CAPACITY {
        heads.insert(id.clone(), (seq, TIMES));
    }
}

fn said(heads: &mut Heads) {
    heads.retain(|_, (_, times)| {
        *times -= 1;
        *times > 0
    });
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
                broadcast: false,
            };
            (node.clone(), Arc::new(entry))
        };
        let (event_type, payload) = (EventType::Message, Bytes::new());
        let published = RoomMessage::Event { seq: Seq::new(9), event_type, subject: None, payload, trace: None };
        let rooms = vec![(ConversationId::parse("r").unwrap(), published)];
        digests.note(&Plan { entries: vec![event(7), event(5)], rooms, records: Vec::new() });
        for _ in 0..TIMES {
            let round = digests.take();
            let StreamEntry::Digest { heads } = &*round.entries[0].1 else { panic!("no digest") };
            assert_eq!(heads[0].1, Seq::new(7));
            assert_eq!(round.rooms[0].1, RoomMessage::Digest { head: Seq::new(9) });
        }
        let round = digests.take();
        assert!(round.entries.is_empty() && round.rooms.is_empty());
    }
}
