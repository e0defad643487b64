//! Every session of this gateway, and those of each user.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use chatcluster_contracts::{ids::UserId, revocation::LoginId};
use parking_lot::{Mutex, RwLock};

use super::Session;

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    all: Mutex<HashMap<u64, Arc<Session>>>,
    by_user: RwLock<HashMap<UserId, Vec<Arc<Session>>>>,
    /// Keys of the sessions that came of each login.
    by_login: Mutex<BTreeSet<(LoginId, u64)>>,
    next_key: AtomicU64,
    count: AtomicUsize,
}

impl Sessions {
    pub(crate) fn next_key(&self) -> u64 {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, session: Arc<Session>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.all.lock().insert(session.key, session);
    }

    /// Files a session under its user. False: the user has `limit` sessions already.
    pub(crate) fn identified(&self, session: &Arc<Session>, limit: usize) -> bool {
        let Some(identity) = session.identity() else { return false };
        let mut by_user = self.by_user.write();
        match by_user.get_mut(&identity.user) {
            Some(sessions) if sessions.len() >= limit => return false,
            Some(sessions) => sessions.push(session.clone()),
            None => drop(by_user.insert(identity.user.clone(), vec![session.clone()])),
        }
        drop(by_user);
        self.logged_in(session);
        true
    }

    /// Files a session under its login only: nothing that is meant for a user is for it.
    pub(crate) fn logged_in(&self, session: &Session) {
        if let Some(login) = session.identity().and_then(|identity| identity.login) {
            self.by_login.lock().insert((login, session.key));
        }
    }

    /// Those that live by tokens of this login.
    pub(crate) fn of_login(&self, login: LoginId) -> Vec<Arc<Session>> {
        let keys: Vec<u64> =
            self.by_login.lock().range((login, 0)..=(login, u64::MAX)).map(|(_, session)| *session).collect();
        let all = self.all.lock();
        keys.iter().filter_map(|key| all.get(key).cloned()).collect()
    }

    /// The connection is gone for good.
    pub(crate) fn remove(&self, session: &Session) {
        if self.all.lock().remove(&session.key).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The session is over: its user does not have it any more, while its connection says goodbye.
    pub(crate) fn retire(&self, session: &Arc<Session>) {
        let Some(identity) = session.identity() else { return };
        if let Some(login) = identity.login {
            self.by_login.lock().remove(&(login, session.key));
        }
        let mut by_user = self.by_user.write();
        if let Some(sessions) = by_user.get_mut(&identity.user) {
            sessions.retain(|other| !Arc::ptr_eq(other, session));
            if sessions.is_empty() {
                by_user.remove(&identity.user);
            }
        }
    }

    pub(crate) fn of_user(&self, user: &str) -> Vec<Arc<Session>> {
        self.by_user.read().get(user).cloned().unwrap_or_default()
    }

    pub(crate) fn has_user(&self, user: &str) -> bool {
        self.by_user.read().contains_key(user)
    }

    /// One session of every user: who is here.
    pub(crate) fn one_per_user(&self) -> Vec<Arc<Session>> {
        self.by_user.read().values().filter_map(|sessions| sessions.first().cloned()).collect()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.all.lock().values().cloned().collect()
    }
}
