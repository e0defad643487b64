//! The message broker of the conformance mode: plain `/topic/…` and `/queue/…` in memory, as users of other brokers know
//! them. A pure state machine: each call returns the messages that are now to be sent to subscribers.
//!
//! A topic gives a message to every subscriber, a queue to one of them. What is not acknowledged when a subscriber refuses
//! it or goes is delivered again, on a queue to another subscriber. Everything is bounded by [`BrokerLimits`].

mod delivery;
mod queue;

use std::{
    collections::{BTreeMap, HashMap, hash_map},
    sync::Arc,
};

use chatcluster_contracts::problem::Code;

pub use self::delivery::Delivery;
use self::queue::{Consumer, Queue};
use super::{
    ledger::AckId,
    request::{AckMode, AckRef, Send, Verdict},
    subscriptions::Key,
};

/// How much the broker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerLimits {
    /// Topics and queues at a time. One without subscribers and messages is forgotten.
    pub destinations: usize,
    /// Messages of one queue, or of one subscriber to a topic, waiting or not acknowledged yet.
    pub messages: usize,
    /// Bytes of all messages that wait or are not acknowledged yet.
    pub bytes: usize,
    /// Unacknowledged messages of one subscriber that asks for no `prefetch-count`, and the most it may ask for.
    pub prefetch: usize,
}

impl Default for BrokerLimits {
    fn default() -> Self {
        Self { destinations: 1000, messages: 10_000, bytes: 64 << 20, prefetch: 1000 }
    }
}

/// Why a frame cannot be done. The text is fit for an ERROR frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    #[error("unknown destination {0:?}: it must be /topic/ or /queue/ and a name")]
    UnknownDestination(String),
    #[error("there are {0} destinations in use; no other can be added")]
    TooManyDestinations(usize),
    #[error("the queue is full: nobody acknowledges its messages")]
    Full,
    #[error("the subscription exists already")]
    Exists,
    #[error("no message waits for this acknowledgement")]
    UnknownAck,
}

impl BrokerError {
    pub const fn code(&self) -> Code {
        match self {
            Self::UnknownDestination(_) | Self::UnknownAck => Code::NotFound,
            Self::TooManyDestinations(_) | Self::Full => Code::RateLimited,
            Self::Exists => Code::Conflict,
        }
    }
}

/// A subscription of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subscriber {
    pub session: u64,
    pub subscription: Key,
}

/// A topic has a queue for each of its subscribers, a queue has one for all of them.
#[derive(Debug)]
struct Destination {
    is_topic: bool,
    queues: Vec<Queue>,
}

/// All destinations and who listens to them.
#[derive(Debug)]
pub struct Broker {
    limits: BrokerLimits,
    destinations: HashMap<Arc<str>, Destination>,
    /// Ordered, so that one session's subscriptions stand together.
    subscribers: BTreeMap<Subscriber, Arc<str>>,
    next_tag: u64,
    bytes: usize,
}

impl Broker {
    pub fn new(limits: BrokerLimits) -> Self {
        Self { limits, destinations: HashMap::new(), subscribers: BTreeMap::new(), next_tag: 1, bytes: 0 }
    }

    /// From now on `to` receives what is sent to `destination`, and at once what waits in a queue.
    pub fn subscribe(
        &mut self,
        to: Subscriber,
        destination: &str,
        ack: AckMode,
        prefetch: Option<usize>,
    ) -> Result<Vec<Delivery>, BrokerError> {
        if self.subscribers.contains_key(&to) {
            return Err(BrokerError::Exists);
        }
        let name = self.open(destination)?;
        let prefetch = prefetch.unwrap_or(usize::MAX).min(self.limits.prefetch);
        self.subscribers.insert(to, Arc::clone(&name));
        let consumer = Consumer::new(to, ack, prefetch);
        Ok(self.change(&name, |place| match place.queues.first_mut().filter(|_| !place.is_topic) {
            Some(queue) => queue.add(consumer),
            None => place.queues.push(Queue::with(consumer)),
        }))
    }

    /// What the subscriber did not acknowledge goes to others, if it came from a queue.
    pub fn unsubscribe(&mut self, from: Subscriber) -> Vec<Delivery> {
        match self.subscribers.remove(&from) {
            Some(name) => self.change(&name, |place| place.remove(|to| to == from)),
            None => Vec::new(),
        }
    }

    /// As [`Self::unsubscribe`] for all of a session's subscriptions at once: nothing is given from one to the other.
    pub fn gone(&mut self, session: u64) -> Vec<Delivery> {
        let of_session = |key| Subscriber { session, subscription: Key::new(key) };
        let gone = self.subscribers.range(of_session(0)..=of_session(u32::MAX));
        let mut gone: Vec<_> = gone.map(|(to, name)| (*to, Arc::clone(name))).collect();
        for (to, _) in &gone {
            self.subscribers.remove(to);
        }
        gone.sort_by(|(_, a), (_, b)| a.cmp(b));
        gone.dedup_by(|(_, a), (_, b)| a == b);
        gone.iter().flat_map(|(_, name)| self.change(name, |place| place.remove(|to| to.session == session))).collect()
    }

    pub fn send(&mut self, message: Send) -> Result<Vec<Delivery>, BrokerError> {
        let name = self.open(&message.destination)?;
        let (limits, held) = (self.limits, self.bytes);
        let message = Arc::new(message);
        let mut full = false;
        let deliveries = self.change(&name, |place| {
            let mut room = limits.bytes.saturating_sub(held);
            for queue in &mut place.queues {
                // a subscriber to a topic that does not acknowledge holds up nobody: it misses messages
                match queue.push(&message, limits.messages, room) {
                    Ok(added) => room = room.saturating_sub(added),
                    Err(queue::Full) => full |= !place.is_topic,
                }
            }
        });
        if full { Err(BrokerError::Full) } else { Ok(deliveries) }
    }

    /// An ACK, or a NACK: `requeue` says whether a refused message is delivered again.
    pub fn settle(
        &mut self,
        session: u64,
        what: &AckRef,
        verdict: Verdict,
        requeue: bool,
    ) -> Result<Vec<Delivery>, BrokerError> {
        let (AckRef::Ack(tag) | AckRef::Message { message_id: tag, .. }) = what;
        let tag = AckId::parse(tag).ok_or(BrokerError::UnknownAck)?;
        let of_session = |key| Subscriber { session, subscription: Key::new(key) };
        let mut own = self.subscribers.range(of_session(0)..=of_session(u32::MAX));
        let name = own
            .find_map(|(to, name)| {
                let place = self.destinations.get(name)?;
                place.queues.iter().any(|queue| queue.waits_for(*to, tag)).then(|| (*to, Arc::clone(name)))
            })
            .ok_or(BrokerError::UnknownAck)?;
        let (to, name) = name;
        let again = verdict == Verdict::Nack && requeue;
        Ok(self.change(&name, |place| place.queues.iter_mut().for_each(|queue| queue.settle(to, tag, again))))
    }

    /// The destination by its shared name, made if it is not there.
    fn open(&mut self, destination: &str) -> Result<Arc<str>, BrokerError> {
        if let Some((name, _)) = self.destinations.get_key_value(destination) {
            return Ok(Arc::clone(name));
        }
        let unknown = || BrokerError::UnknownDestination(destination.chars().take(100).collect());
        let topic = destination.strip_prefix("/topic/");
        let name = topic.or_else(|| destination.strip_prefix("/queue/")).ok_or_else(unknown)?;
        if name.is_empty() {
            return Err(unknown());
        }
        if self.destinations.len() >= self.limits.destinations {
            return Err(BrokerError::TooManyDestinations(self.limits.destinations));
        }
        let queues = if topic.is_some() { Vec::new() } else { vec![Queue::default()] };
        let name: Arc<str> = destination.into();
        self.destinations.insert(Arc::clone(&name), Destination { is_topic: topic.is_some(), queues });
        Ok(name)
    }

    /// Changes a destination, hands out what can be handed out now, and forgets the destination if nothing is left of it.
    fn change(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Destination)) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        let hash_map::Entry::Occupied(mut entry) = self.destinations.entry(Arc::clone(name)) else { return deliveries };
        let place = entry.get_mut();
        self.bytes -= place.bytes();
        change(place);
        for queue in &mut place.queues {
            queue.dispatch(&mut self.next_tag, &mut deliveries);
        }
        self.bytes += place.bytes();
        if place.queues.iter().all(Queue::is_idle) {
            entry.remove();
        }
        deliveries
    }
}

impl Destination {
    fn bytes(&self) -> usize {
        self.queues.iter().map(Queue::bytes).sum()
    }

    fn remove(&mut self, gone: impl Fn(Subscriber) -> bool) {
        if self.is_topic {
            self.queues.retain(|queue| !queue.is_only_for(&gone));
        } else {
            self.queues.iter_mut().for_each(|queue| queue.remove(&gone));
        }
    }
}
