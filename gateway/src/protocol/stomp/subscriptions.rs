//! A session's subscriptions. Most sessions have one to four, and a gateway has a million sessions: it is a list without
//! room to spare, and ids of up to 14 bytes need no allocation of their own.

use std::fmt;

use chatcluster_contracts::problem::Code;

use super::request::{AckMode, SubscriptionName};

/// A subscription's number within its session. Not used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u32);

impl Key {
    pub const fn new(number: u32) -> Self {
        Self(number)
    }
}

/// Why a subscription is refused. The text is fit for an ERROR frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    #[error("a subscription with this id exists already")]
    Exists,
    #[error("a session has at most {0} subscriptions")]
    TooMany(usize),
}

impl SubscribeError {
    pub const fn code(self) -> Code {
        match self {
            Self::Exists => Code::Conflict,
            Self::TooMany(_) => Code::RateLimited,
        }
    }
}

/// The name a client gave. `sub-0` and its like stand inline.
#[derive(Clone)]
enum Name {
    Short {
        bytes: u8,
        text: [u8; SHORT],
    },
    // a thin pointer: a fat one would make every name as large as this rare one
    Long(Box<Box<str>>),
    /// A subscription of 1.0 without an id, by its destination.
    Destination(Box<Box<str>>),
}

const SHORT: usize = 14;

impl Name {
    fn new(name: &SubscriptionName) -> Self {
        match name {
            SubscriptionName::Destination(destination) => Self::Destination(Box::new(destination.as_str().into())),
            SubscriptionName::Id(id) => {
                let mut text = [0; SHORT];
                match (text.get_mut(..id.len()), u8::try_from(id.len())) {
                    (Some(start), Ok(bytes)) => {
                        start.copy_from_slice(id.as_bytes());
                        Self::Short { bytes, text }
                    }
                    _ => Self::Long(Box::new(id.as_str().into())),
                }
            }
        }
    }

    fn id(&self) -> Option<&str> {
        match self {
            Self::Short { bytes, text } => std::str::from_utf8(&text[..usize::from(*bytes)]).ok(),
            Self::Long(id) => Some(id),
            Self::Destination(_) => None,
        }
    }

    fn is(&self, name: &SubscriptionName) -> bool {
        match (name, self) {
            (SubscriptionName::Id(id), own) => own.id() == Some(id),
            (SubscriptionName::Destination(destination), Self::Destination(own)) => destination.as_str() == &***own,
            (SubscriptionName::Destination(_), _) => false,
        }
    }
}

/// One subscription to a destination of type `D`.
#[derive(Clone)]
pub struct Subscription<D> {
    name: Name,
    pub destination: D,
    pub key: Key,
    pub ack: AckMode,
}

impl<D> Subscription<D> {
    /// The `subscription` header of its MESSAGE frames. A subscription of 1.0 may have none.
    pub fn id(&self) -> Option<&str> {
        self.name.id()
    }
}

impl<D: fmt::Debug> fmt::Debug for Subscription<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id())
            .field("destination", &self.destination)
            .field("key", &self.key)
            .field("ack", &self.ack)
            .finish_non_exhaustive()
    }
}

/// All subscriptions of a session.
#[derive(Debug, Clone)]
pub struct Subscriptions<D> {
    list: Vec<Subscription<D>>,
    next: u32,
}

impl<D> Default for Subscriptions<D> {
    fn default() -> Self {
        Self { list: Vec::new(), next: 0 }
    }
}

impl<D> Subscriptions<D> {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a subscription if the session has less than `max`.
    pub fn add(
        &mut self,
        name: &SubscriptionName,
        destination: D,
        ack: AckMode,
        max: usize,
    ) -> Result<Key, SubscribeError> {
        if self.find(name).is_some() {
            return Err(SubscribeError::Exists);
        }
        if self.list.len() >= max {
            return Err(SubscribeError::TooMany(max));
        }
        let key = Key(self.next);
        self.next = self.next.wrapping_add(1);
        if self.list.len() == self.list.capacity() {
            // by quarters instead of by twice: few sessions grow on
            self.list.reserve_exact(1 + self.list.len() / 4);
        }
        self.list.push(Subscription { name: Name::new(name), destination, key, ack });
        Ok(key)
    }

    pub fn remove(&mut self, name: &SubscriptionName) -> Option<Subscription<D>> {
        let at = self.list.iter().position(|subscription| subscription.name.is(name))?;
        let removed = self.list.remove(at);
        self.list.shrink_to_fit();
        Some(removed)
    }

    pub fn find(&self, name: &SubscriptionName) -> Option<&Subscription<D>> {
        self.list.iter().find(|subscription| subscription.name.is(name))
    }

    /// As [`Self::find`], by the id in a header.
    pub fn find_id(&self, id: &str) -> Option<&Subscription<D>> {
        self.list.iter().find(|subscription| subscription.id() == Some(id))
    }

    pub fn get(&self, key: Key) -> Option<&Subscription<D>> {
        self.list.iter().find(|subscription| subscription.key == key)
    }

    /// In the order in which they were made.
    pub fn iter(&self) -> std::slice::Iter<'_, Subscription<D>> {
        self.list.iter()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl<'a, D> IntoIterator for &'a Subscriptions<D> {
    type Item = &'a Subscription<D>;
    type IntoIter = std::slice::Iter<'a, Subscription<D>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SubscriptionName {
        SubscriptionName::Id(text.into())
    }

    #[test]
    fn ids_of_any_length_are_found_again_and_forgotten() {
        let mut all = Subscriptions::new();
        let names = ["0", "sub-12", "12345678901234", "123456789012345", "äöüßäöü", "äöüßäöüß"];
        for (number, name) in names.iter().enumerate() {
            all.add(&id(name), number, AckMode::Auto, 10).unwrap();
        }
        for (number, name) in names.iter().enumerate() {
            assert_eq!(all.find_id(name).map(|found| (found.id(), found.destination)), Some((Some(*name), number)));
            assert_eq!(all.add(&id(name), 9, AckMode::Auto, 10), Err(SubscribeError::Exists));
        }
        let removed = all.remove(&id("sub-12")).unwrap();
        assert_eq!((removed.destination, all.len()), (1, 5));
        assert!(all.remove(&id("sub-12")).is_none() && all.get(removed.key).is_none());
        let again = all.add(&id("sub-12"), 9, AckMode::Auto, 10).unwrap();
        assert_ne!(again, removed.key, "an old key never means a new subscription");
        assert_eq!(all.add(&id("more"), 9, AckMode::Auto, 6), Err(SubscribeError::TooMany(6)));
    }

    #[test]
    fn without_an_id_the_destination_stands_for_it() {
        let mut all = Subscriptions::new();
        let by_destination = SubscriptionName::Destination("/x".into());
        all.add(&by_destination, (), AckMode::Client, 2).unwrap();
        all.add(&id("/x"), (), AckMode::Auto, 2).unwrap();
        assert_eq!(all.find(&by_destination).map(|found| (found.id(), found.ack)), Some((None, AckMode::Client)));
        all.remove(&by_destination).unwrap();
        assert_eq!(all.iter().map(Subscription::id).collect::<Vec<_>>(), [Some("/x")]);
    }

    #[test]
    fn a_subscription_is_small() {
        assert_eq!(size_of::<Name>(), 16);
        assert!(size_of::<Subscription<super::super::destination::SubscribeTo>>() <= 48);
        let mut all = Subscriptions::new();
        for (count, room) in [(1, 1), (2, 2), (3, 3), (4, 4)] {
            all.add(&id(&count.to_string()), (), AckMode::Auto, 10).unwrap();
            assert_eq!(all.list.capacity(), room);
        }
    }
}
