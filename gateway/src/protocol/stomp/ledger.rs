//! What a session was sent and has not acknowledged yet. Ack ids are numbers that count up over the session, so that they
//! are short and one is never given twice.

use std::{collections::VecDeque, fmt};

use chatcluster_contracts::problem::Code;

use super::{
    request::{AckMode, AckRef},
    subscriptions::{Key, Subscriptions},
};

/// The `ack` header of a MESSAGE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckId(u64);

impl AckId {
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Only what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self).filter(|id| id.to_string() == text)
    }
}

impl fmt::Display for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The session must acknowledge before it may receive more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {0} messages are not acknowledged")]
pub struct LedgerFull(pub usize);

/// Nothing by this name waits: it was never sent, acknowledged before, or its subscription is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no message waits for this acknowledgement")]
pub struct UnknownAck;

impl UnknownAck {
    pub const fn code(self) -> Code {
        Code::NotFound
    }
}

#[derive(Debug, Clone)]
struct Entry<T> {
    id: AckId,
    subscription: Key,
    /// An acknowledgement of this one covers those before it.
    cumulative: bool,
    item: T,
}

#[derive(Debug, Clone)]
struct Entries<T> {
    next: u64,
    /// By rising id.
    waiting: VecDeque<Entry<T>>,
}

/// Unacknowledged messages of a session; `T` is what an acknowledgement tells the platform. A session that never
/// acknowledges holds 8 bytes here.
#[derive(Debug, Clone)]
pub struct Ledger<T>(Option<Box<Entries<T>>>);

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Ledger<T> {
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a message that is about to be sent, if less than `max` wait. [`AckMode::Auto`] has no business here: it counts
    /// as individual.
    pub fn deliver(&mut self, subscription: Key, mode: AckMode, item: T, max: usize) -> Result<AckId, LedgerFull> {
        let entries = self.0.get_or_insert_with(|| Box::new(Entries { next: 1, waiting: VecDeque::new() }));
        if entries.waiting.len() >= max {
            return Err(LedgerFull(max));
        }
        let id = AckId(entries.next);
        entries.next += 1;
        entries.waiting.push_back(Entry { id, subscription, cumulative: mode == AckMode::Client, item });
        Ok(id)
    }

    /// Takes out what an ACK or NACK covers, oldest first. `is` tells whether an item was sent with a `message-id`; by that
    /// 1.0 and 1.1 name it.
    pub fn settle<D>(
        &mut self,
        what: &AckRef,
        subscriptions: &Subscriptions<D>,
        is: impl Fn(&T, &str) -> bool,
    ) -> Result<Vec<T>, UnknownAck> {
        let waiting = &mut self.0.as_deref_mut().ok_or(UnknownAck)?.waiting;
        let at = match what {
            AckRef::Ack(id) => {
                let id = AckId::parse(id).ok_or(UnknownAck)?;
                waiting.binary_search_by_key(&id, |entry| entry.id).ok()
            }
            AckRef::Message { message_id, subscription } => {
                let key = match subscription {
                    Some(id) => Some(subscriptions.find_id(id).ok_or(UnknownAck)?.key),
                    None => None,
                };
                waiting
                    .iter()
                    .position(|entry| key.is_none_or(|key| key == entry.subscription) && is(&entry.item, message_id))
            }
        };
        let at = at.ok_or(UnknownAck)?;
        if !waiting[at].cumulative {
            return Ok(waiting.remove(at).map(|entry| entry.item).into_iter().collect());
        }
        let (id, subscription) = (waiting[at].id, waiting[at].subscription);
        Ok(take_where(waiting, |entry| entry.subscription == subscription && entry.id <= id))
    }

    /// Takes out everything of a subscription that ended, oldest first.
    pub fn forget(&mut self, subscription: Key) -> Vec<T> {
        match self.0.as_deref_mut() {
            Some(entries) => take_where(&mut entries.waiting, |entry| entry.subscription == subscription),
            None => Vec::new(),
        }
    }

    /// What waits, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|entries| &entries.waiting).map(|entry| &entry.item)
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.0.as_deref().map_or(0, |entries| entries.waiting.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn take_where<T>(waiting: &mut VecDeque<Entry<T>>, covered: impl Fn(&Entry<T>) -> bool) -> Vec<T> {
    let (taken, kept): (VecDeque<_>, _) = std::mem::take(waiting).into_iter().partition(covered);
    *waiting = kept;
    taken.into_iter().map(|entry| entry.item).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::request::SubscriptionName, *};

    const MAX: usize = 4;

    fn session() -> (Subscriptions<()>, Key, Key) {
        let mut all = Subscriptions::new();
        let mut add = |id: &str| all.add(&SubscriptionName::Id(id.into()), (), AckMode::Client, 9).unwrap();
        let (a, b) = (add("a"), add("b"));
        (all, a, b)
    }

    fn ack(text: &str) -> AckRef {
        AckRef::Ack(text.into())
    }

    fn message(id: &str, subscription: Option<&str>) -> AckRef {
        AckRef::Message { message_id: id.into(), subscription: subscription.map(str::to_owned) }
    }

    #[test]
    fn client_is_cumulative_within_its_subscription() {
        let (all, a, b) = session();
        let mut ledger = Ledger::new();
        for (subscription, item) in [(a, "a1"), (b, "b2"), (a, "a3"), (a, "a4")] {
            ledger.deliver(subscription, AckMode::Client, item, MAX).unwrap();
        }
        assert_eq!(ledger.deliver(a, AckMode::Client, "a5", MAX), Err(LedgerFull(MAX)));
        let is = |_: &&str, _: &str| false;
        assert_eq!(ledger.settle(&ack("3"), &all, is), Ok(vec!["a1", "a3"]));
        assert_eq!(ledger.settle(&ack("3"), &all, is), Err(UnknownAck));
        assert_eq!(ledger.settle(&ack("1"), &all, is), Err(UnknownAck));
        assert_eq!(ledger.deliver(a, AckMode::Client, "a5", MAX).unwrap().to_string(), "5");
        assert_eq!(ledger.iter().copied().collect::<Vec<_>>(), ["b2", "a4", "a5"]);
        assert_eq!(ledger.forget(a), ["a4", "a5"]);
        assert_eq!(ledger.len(), 1);
    }

    #[test]
    fn client_individual_is_one_message() {
        let (all, a, _) = session();
        let mut ledger = Ledger::new();
        for item in 1..=3 {
            ledger.deliver(a, AckMode::ClientIndividual, item, MAX).unwrap();
        }
        let is = |_: &i32, _: &str| false;
        assert_eq!(ledger.settle(&ack("2"), &all, is), Ok(vec![2]));
        for bad in ["2", "", "+1", "01", "x", "99999999999999999999999"] {
            assert_eq!(ledger.settle(&ack(bad), &all, is), Err(UnknownAck), "{bad:?}");
        }
        assert_eq!(ledger.forget(a), [1, 3]);
    }

    #[test]
    fn older_versions_name_the_message() {
        let (all, a, b) = session();
        let mut ledger = Ledger::new();
        // the same message reached both subscriptions
        for subscription in [a, b] {
            ledger.deliver(subscription, AckMode::Client, ("m1", subscription), MAX).unwrap();
            ledger.deliver(subscription, AckMode::Client, ("m2", subscription), MAX).unwrap();
        }
        let is = |item: &(&str, Key), id: &str| item.0 == id;
        assert_eq!(ledger.settle(&message("m2", Some("b")), &all, is), Ok(vec![("m1", b), ("m2", b)]));
        assert_eq!(ledger.settle(&message("m2", Some("b")), &all, is), Err(UnknownAck));
        assert_eq!(ledger.settle(&message("m2", Some("c")), &all, is), Err(UnknownAck));
        assert_eq!(ledger.settle(&message("m1", None), &all, is), Ok(vec![("m1", a)]));
        assert_eq!(ledger.len(), 1);
    }

    #[test]
    fn an_unused_ledger_is_a_pointer() {
        assert_eq!(size_of::<Ledger<[u64; 4]>>(), 8);
    }
}
