//! Which channels are wanted, and which of them are listened to. No connection in here.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::super::Subscriptions;

/// Channels in one command.
const AT_ONCE: usize = 1000;

type Name = Arc<str>;

#[derive(Default)]
pub(super) struct Wishes {
    state: Mutex<State>,
    /// Something changed that the connection does not know.
    pub(super) changed: Notify,
    progress: Notify,
}

#[derive(Default)]
struct State {
    /// The wanted, and whether they are listened to.
    wanted: HashMap<Name, bool>,
    /// To be compared with what the connection has.
    dirty: HashSet<Name>,
}

/// What a connection is to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) subscribe: Vec<Name>,
    pub(super) unsubscribe: Vec<Name>,
}

impl Wishes {
    /// A new connection listens to nothing yet.
    pub(super) fn begin_anew(&self) {
        let mut state = self.state.lock();
        let State { wanted, dirty } = &mut *state;
        for listening in wanted.values_mut() {
            *listening = false;
        }
        dirty.clear();
        dirty.extend(wanted.keys().cloned());
    }

    /// What differs from `here`, the channels that the connection was told of; they are as wanted after that. `None`:
    /// nothing does.
    pub(super) fn changes(&self, here: &mut HashSet<Name>) -> Option<Changes> {
        let mut state = self.state.lock();
        let looked_at: Vec<Name> = state.dirty.iter().take(AT_ONCE).cloned().collect();
        let mut changes = Changes::default();
        let mut early = false;
        for name in looked_at {
            state.dirty.remove(&name);
            match state.wanted.get_mut(&name) {
                // given up and wanted again before the connection was told
                Some(listening) if here.contains(&name) => {
                    *listening = true;
                    early = true;
                }
                Some(_) => {
                    here.insert(name.clone());
                    changes.subscribe.push(name);
                }
                None if here.remove(&name) => changes.unsubscribe.push(name),
                None => {}
            }
        }
        drop(state);
        if early {
            self.progress.notify_waiters();
        }
        (changes != Changes::default()).then_some(changes)
    }

    /// These are not listened to any more, and wanted all the same.
    pub(super) fn lost(&self, names: &[Name]) {
        let mut state = self.state.lock();
        for name in names {
            if let Some(listening) = state.wanted.get_mut(name) {
                *listening = false;
                state.dirty.insert(name.clone());
            }
        }
    }

    pub(super) fn is_wanted(&self, channel: &str) -> bool {
        self.state.lock().wanted.contains_key(channel)
    }

    /// Is everything looked at?
    pub(super) fn is_settled(&self) -> bool {
        self.state.lock().dirty.is_empty()
    }

    /// The server has confirmed these.
    pub(super) fn confirm(&self, subscribed: &[Name]) {
        let mut state = self.state.lock();
        for name in subscribed {
            // one that changed meanwhile is looked at again
            if !state.dirty.contains(name)
                && let Some(listening) = state.wanted.get_mut(name)
            {
                *listening = true;
            }
        }
        drop(state);
        self.progress.notify_waiters();
    }
}

#[async_trait]
impl Subscriptions for Wishes {
    fn subscribe(&self, channel: &str) {
        let mut state = self.state.lock();
        if !state.wanted.contains_key(channel) {
            let name: Name = channel.into();
            state.wanted.insert(name.clone(), false);
            state.dirty.insert(name);
            drop(state);
            self.changed.notify_one();
        }
    }

    fn unsubscribe(&self, channel: &str) {
        let mut state = self.state.lock();
        if let Some((name, _)) = state.wanted.remove_entry(channel) {
            state.dirty.insert(name);
            drop(state);
            self.changed.notify_one();
        }
    }

    async fn listening(&self, channel: &str) {
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if self.state.lock().wanted.get(channel).is_some_and(|listening| *listening) {
                return;
            }
            progress.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[Name]) -> Vec<&str> {
        let mut names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn only_differences_are_told() {
        let (wishes, mut here) = (Wishes::default(), HashSet::new());
        wishes.subscribe("a");
        wishes.subscribe("a");
        wishes.subscribe("b");
        wishes.subscribe("c");
        wishes.unsubscribe("c");
        let changes = wishes.changes(&mut here).unwrap();
        assert_eq!((names(&changes.subscribe), changes.unsubscribe.len()), (vec!["a", "b"], 0));
        assert_eq!(wishes.changes(&mut here), None);
        wishes.unsubscribe("a");
        wishes.unsubscribe("nobody");
        assert_eq!(names(&wishes.changes(&mut here).unwrap().unsubscribe), ["a"]);
        wishes.begin_anew();
        assert_eq!(names(&wishes.changes(&mut HashSet::new()).unwrap().subscribe), ["b"]);
    }

    #[tokio::test]
    async fn a_wish_is_fulfilled_by_its_confirmation_or_by_what_is_there() {
        let (wishes, mut here) = (Wishes::default(), HashSet::new());
        wishes.subscribe("a");
        let changes = wishes.changes(&mut here).unwrap();
        let listens = async || tokio::time::timeout(std::time::Duration::ZERO, wishes.listening("a")).await.is_ok();
        assert!(!listens().await);
        wishes.confirm(&changes.subscribe);
        assert!(listens().await);
        wishes.unsubscribe("a");
        wishes.subscribe("a");
        assert!(!listens().await, "not before it is known what becomes of the first");
        assert_eq!(wishes.changes(&mut here), None);
        assert!(listens().await);
    }

    #[test]
    fn a_confirmation_that_came_too_late_counts_for_nothing() {
        let (wishes, mut here) = (Wishes::default(), HashSet::new());
        wishes.subscribe("a");
        let first = wishes.changes(&mut here).unwrap();
        wishes.unsubscribe("a");
        assert_eq!(names(&wishes.changes(&mut here).unwrap().unsubscribe), ["a"]);
        wishes.subscribe("a");
        wishes.confirm(&first.subscribe);
        assert!(wishes.state.lock().wanted.values().all(|listening| !listening));
    }
}
