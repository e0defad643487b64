//! One queue: messages in order, the subscribers that take turns, and what each of them has not acknowledged.

use std::{collections::VecDeque, sync::Arc};

use super::{
    super::{
        ledger::AckId,
        request::{AckMode, Send},
    },
    Delivery, Subscriber,
};

/// The queue holds as much as it may.
#[derive(Debug)]
pub(super) struct Full;

#[derive(Debug)]
struct Entry {
    /// Its place among the queue's messages; one that comes back goes to its old place.
    order: u64,
    message: Arc<Send>,
    redelivered: bool,
    /// Who refused it last: it goes to somebody else if there is one.
    refused_by: Option<Subscriber>,
}

/// A subscriber's turn at a queue.
#[derive(Debug)]
pub(super) struct Consumer {
    to: Subscriber,
    ack: AckMode,
    prefetch: usize,
    /// By rising tag.
    unacknowledged: VecDeque<(AckId, Entry)>,
}

impl Consumer {
    pub(super) fn new(to: Subscriber, ack: AckMode, prefetch: usize) -> Self {
        Self { to, ack, prefetch, unacknowledged: VecDeque::new() }
    }

    fn position(&self, tag: AckId) -> Option<usize> {
        self.unacknowledged.binary_search_by_key(&tag, |(tag, _)| *tag).ok()
    }
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By rising order.
    waiting: VecDeque<Entry>,
    consumers: Vec<Consumer>,
    /// The consumer whose turn it is.
    turn: usize,
    next_order: u64,
    /// Messages that wait or are not acknowledged, and their bytes.
    held: usize,
    bytes: usize,
}

impl Queue {
    pub(super) fn with(consumer: Consumer) -> Self {
        Self { consumers: vec![consumer], ..Self::default() }
    }

    pub(super) fn add(&mut self, consumer: Consumer) {
        self.consumers.push(consumer);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nobody takes from it and nothing is in it.
    pub(super) fn is_idle(&self) -> bool {
        self.consumers.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn is_only_for(&self, gone: impl Fn(Subscriber) -> bool) -> bool {
        self.consumers.iter().all(|consumer| gone(consumer.to))
    }

    /// Adds a message at the end; `room` is how many bytes may be added. Returns how many were.
    pub(super) fn push(&mut self, message: &Arc<Send>, most: usize, room: usize) -> Result<usize, Full> {
        let bytes = size(message);
        if self.held >= most || bytes > room {
            return Err(Full);
        }
        let message = Arc::clone(message);
        self.waiting.push_back(Entry { order: self.next_order, message, redelivered: false, refused_by: None });
        self.next_order += 1;
        self.held += 1;
        self.bytes += bytes;
        Ok(bytes)
    }

    /// Gives the messages at the front to those who have room for more, in turns.
    pub(super) fn dispatch(&mut self, next_tag: &mut u64, deliveries: &mut Vec<Delivery>) {
        while let Some(front) = self.waiting.front() {
            let Some(at) = self.choose(front.refused_by) else { return };
            let Some(entry) = self.waiting.pop_front() else { return };
            self.turn = at + 1;
            let consumer = &mut self.consumers[at];
            let tag = AckId::new(*next_tag);
            *next_tag += 1;
            let needs_ack = consumer.ack != AckMode::Auto;
            let message = Arc::clone(&entry.message);
            deliveries.push(Delivery { to: consumer.to, tag, message, redelivered: entry.redelivered, needs_ack });
            if needs_ack {
                consumer.unacknowledged.push_back((tag, entry));
            } else {
                self.release(&entry);
            }
        }
    }

    /// The next in turn with room; the one who refused the message only if nobody else has.
    fn choose(&self, refused_by: Option<Subscriber>) -> Option<usize> {
        let count = self.consumers.len();
        let mut free = (0..count)
            .map(|offset| (self.turn + offset) % count)
            .filter(|at| self.consumers[*at].unacknowledged.len() < self.consumers[*at].prefetch);
        let first = free.next()?;
        if Some(self.consumers[first].to) == refused_by { free.next().or(Some(first)) } else { Some(first) }
    }

    pub(super) fn waits_for(&self, to: Subscriber, tag: AckId) -> bool {
        self.consumers.iter().any(|consumer| consumer.to == to && consumer.position(tag).is_some())
    }

    /// Ends the wait for what an acknowledgement by `to` covers; `again` puts it back to be delivered again.
    pub(super) fn settle(&mut self, to: Subscriber, tag: AckId, again: bool) {
        let Some(consumer) = self.consumers.iter_mut().find(|consumer| consumer.to == to) else { return };
        let Some(at) = consumer.position(tag) else { return };
        let first = if consumer.ack == AckMode::Client { 0 } else { at };
        let covered: Vec<_> = consumer.unacknowledged.drain(first..=at).map(|(_, entry)| entry).collect();
        for entry in covered {
            if again {
                self.put_back(entry, Some(to));
            } else {
                self.release(&entry);
            }
        }
    }

    /// Takes consumers out; what they did not acknowledge waits for others.
    pub(super) fn remove(&mut self, gone: impl Fn(Subscriber) -> bool) {
        let mut at = 0;
        while at < self.consumers.len() {
            if !gone(self.consumers[at].to) {
                at += 1;
                continue;
            }
            let consumer = self.consumers.remove(at);
            self.turn -= usize::from(at < self.turn);
            for (_, entry) in consumer.unacknowledged {
                self.put_back(entry, None);
            }
        }
    }

    fn put_back(&mut self, entry: Entry, refused_by: Option<Subscriber>) {
        let at = self.waiting.partition_point(|waiting| waiting.order < entry.order);
        self.waiting.insert(at, Entry { redelivered: true, refused_by, ..entry });
    }

    fn release(&mut self, entry: &Entry) {
        self.held -= 1;
        self.bytes -= size(&entry.message);
    }
}

/// What keeping a message takes, near enough for a limit.
fn size(message: &Send) -> usize {
    size_of::<Entry>() + message.headers.bytes() + message.body.len()
}
