//! MESSAGE frames: what many receive is made once and shared, whole where only the subscription's id could differ.

use bytes::{Bytes, BytesMut};
use chatcluster_contracts::{
    ids::ConversationId,
    position::{self, Resume},
    seq::Seq,
};

use crate::{
    delivery::cursor::Arrived,
    protocol::stomp::{
        Version,
        destination::SubscribeTo,
        encoder::{self, Message, MessageBody},
        ledger::AckId,
    },
    session::Carrier,
};

/// Different readers whose frames are kept for the next one like them. Stock clients of one kind are all alike.
const MOST_SHARED: usize = 16;

/// What a frame depends on besides the message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) carrier: Carrier,
    pub(crate) version: Version,
    /// The subscription's id.
    pub(crate) subscription: Option<&'a str>,
}

impl Reader<'_> {
    /// The `ack` header. Before 1.2 a message is acknowledged by its id.
    pub(super) fn ack(self, ack: Option<AckId>) -> Option<String> {
        ack.filter(|_| self.version == Version::V1_2).map(|ack| ack.to_string())
    }
}

/// Whole frames of one message, by their readers.
#[derive(Debug, Default)]
pub(crate) struct SharedFrames(Vec<SharedFrame>);

#[derive(Debug)]
struct SharedFrame {
    carrier: Carrier,
    version: Version,
    subscription: Option<Box<str>>,
    frame: Bytes,
}

impl SharedFrames {
    /// The frame that a reader like this one was given, or a new one, which `make` makes.
    pub(crate) fn get(&mut self, reader: Reader<'_>, make: impl FnOnce() -> Bytes) -> Bytes {
        let known = self.0.iter().find(|shared| {
            shared.carrier == reader.carrier
                && shared.version == reader.version
                && shared.subscription.as_deref() == reader.subscription
        });
        if let Some(known) = known {
            return known.frame.clone();
        }
        let frame = make();
        if self.0.len() < MOST_SHARED {
            let Reader { carrier, version, subscription } = reader;
            self.0.push(SharedFrame {
                carrier,
                version,
                subscription: subscription.map(Into::into),
                frame: frame.clone(),
            });
        }
        frame
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The frames of one run of a conversation's events.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// For `/user/queue/messages`.
    queue: Messages,
    /// For the conversation's topic.
    topic: Messages,
    /// For its room.
    room: Messages,
}

#[derive(Debug, Default)]
struct Messages {
    /// One an event, in their order; none before somebody needs them.
    bodies: Vec<MessageBody>,
    runs: SharedFrames,
}

/// A run of a conversation's events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) conversation: &'a ConversationId,
    pub(super) events: &'a [Arrived],
}

impl Frames {
    /// Another run follows.
    pub(crate) fn clear(&mut self) {
        for messages in [&mut self.queue, &mut self.topic, &mut self.room] {
            messages.bodies.clear();
            messages.runs.clear();
        }
    }

    /// The whole run, for a client that follows no other conversation and acknowledges nothing.
    pub(super) fn run(&mut self, run: Run<'_>, to: &SubscribeTo, reader: Reader<'_>) -> Bytes {
        let messages = self.messages(run, to);
        let Messages { bodies, runs } = messages;
        runs.get(reader, || {
            let frame = |event: &Arrived| {
                let position = position::encode(&Resume::from([(run.conversation.clone(), event.seq)]));
                prefix(reader, None, &position)
            };
            match (run.events, bodies.as_slice()) {
                ([event], [body]) => reader.carrier.text_of(&[&frame(event), body.tail(reader.version)]),
                (events, bodies) => {
                    let bytes: usize = bodies.iter().map(|body| body.tail(reader.version).len() + 128).sum();
                    let mut frames = BytesMut::with_capacity(bytes);
                    for (event, body) in events.iter().zip(bodies) {
                        reader.carrier.append_text_of(&mut frames, &[&frame(event), body.tail(reader.version)]);
                    }
                    frames.freeze()
                }
            }
        })
    }

    /// One event of the run, for a client that does not share its frame with others.
    pub(super) fn event(
        &mut self,
        run: Run<'_>,
        at: usize,
        to: &SubscribeTo,
        reader: Reader<'_>,
        ack: Option<AckId>,
        position: &str,
    ) -> Bytes {
        let tail = self.messages(run, to).bodies.get(at).map(|body| body.tail(reader.version));
        reader.carrier.text_of(&[&prefix(reader, ack, position), tail.map_or(&[], |tail| tail)])
    }

    fn messages(&mut self, run: Run<'_>, to: &SubscribeTo) -> &mut Messages {
        let messages = match to {
            SubscribeTo::Messages => &mut self.queue,
            SubscribeTo::Room(_) => &mut self.room,
            _ => &mut self.topic,
        };
        if messages.bodies.is_empty() {
            let destination = to.to_string();
            messages.bodies.extend(run.events.iter().map(|event| body(run.conversation, &destination, event)));
        }
        messages
    }
}

/// The `message-id` of an event.
pub(super) fn message_id(conversation: &ConversationId, seq: Seq) -> String {
    format!("{conversation}/{seq}")
}

fn body(conversation: &ConversationId, destination: &str, event: &Arrived) -> MessageBody {
    let seq = event.seq.to_string();
    MessageBody::new(&Message {
        destination,
        message_id: Some(&message_id(conversation, event.seq)),
        content_type: Some(JSON),
        headers: &[("conversation-id", conversation.as_str()), ("seq", &seq), ("type", event.event_type.as_str())],
        body: &event.payload,
    })
}

pub(super) const JSON: &str = "application/json";

fn prefix(reader: Reader<'_>, ack: Option<AckId>, position: &str) -> Vec<u8> {
    let ack = reader.ack(ack);
    let mut prefix = Vec::with_capacity(64 + reader.subscription.map_or(0, str::len) + position.len());
    encoder::write_prefix(&mut prefix, reader.version, reader.subscription, ack.as_deref());
    encoder::write_header(&mut prefix, reader.version, "position", position);
    prefix
}

#[cfg(test)]
mod tests {
    use chatcluster_contracts::event::EventType;

    use super::*;

    fn event(seq: u64) -> Arrived {
        Arrived {
            seq: Seq::new(seq),
            event_type: EventType::Message,
            subject: None,
            payload: Bytes::from_static(b"{}"),
            trace: None,
        }
    }

    #[test]
    fn who_subscribed_alike_shares_the_whole_run() {
        let conversation = ConversationId::parse("c1").unwrap();
        let events = [event(4), event(5)];
        let run = Run { conversation: &conversation, events: &events };
        let reader = |subscription| Reader { carrier: Carrier::Tcp, version: Version::V1_2, subscription };
        let (mut frames, topic) = (Frames::default(), SubscribeTo::Conversation(conversation.clone()));
        let one = frames.run(run, &topic, reader(Some("sub-0")));
        let message = |seq| {
            format!(
                "MESSAGE\nsubscription:sub-0\nposition:1;c1={seq}\ndestination:/topic/conversations.c1\nmessage-id:c1/{seq}\n\
                 content-type:application/json\nconversation-id:c1\nseq:{seq}\ntype:MESSAGE\ncontent-length:2\n\n{{}}\0"
            )
        };
        assert_eq!(std::str::from_utf8(&one).unwrap(), message(4) + &message(5));
        assert_eq!(frames.run(run, &topic, reader(Some("sub-0"))).as_ptr(), one.as_ptr());
        assert_ne!(frames.run(run, &topic, reader(Some("sub-1"))).as_ptr(), one.as_ptr());
        let queue = frames.run(run, &SubscribeTo::Messages, reader(Some("sub-0")));
        assert!(std::str::from_utf8(&queue).unwrap().contains("\ndestination:/user/queue/messages\n"));
        let own = frames.event(run, 1, &topic, reader(None), Some(AckId::new(7)), "1;c1=5;c2=9");
        assert!(own.starts_with(b"MESSAGE\nack:7\nposition:1;c1=5;c2=9\ndestination:"), "{own:?}");
    }
}
