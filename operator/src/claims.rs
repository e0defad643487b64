//! Who has which topic, and which prefix in Redis: two `ChatCluster`s on one topic would read each other's records, and on
//! one prefix take each other's gateways for their own. The older one keeps it.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use parking_lot::Mutex;

use crate::crd::ChatCluster;

/// A `ChatCluster` that claims topics. Ordered by age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claimant {
    /// RFC 3339, so that text order is time order.
    pub(crate) created: String,
    pub(crate) uid: String,
    /// `namespace/name`.
    pub(crate) name: String,
}

impl Claimant {
    pub(crate) fn of(cluster: &ChatCluster) -> Self {
        Self {
            created: cluster.creation_timestamp().map(|at| at.0.to_string()).unwrap_or_default(),
            uid: cluster.uid().unwrap_or_default(),
            name: format!("{}/{}", cluster.namespace().unwrap_or_default(), cluster.name_any()),
        }
    }
}

/// (server, topic or prefix) -> who has it.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<BTreeMap<(String, String), Claimant>>);

impl Claims {
    /// Claims exactly these names on these servers, and answers those that an older one has on any of them, with who that
    /// is.
    pub(crate) fn claim(&self, servers: &[String], names: &BTreeSet<String>, me: &Claimant) -> Vec<(String, String)> {
        let mut claims = self.0.lock();
        claims.retain(|(at, name), holder| holder.uid != me.uid || (servers.contains(at) && names.contains(name)));
        let mut taken = Vec::new();
        for name in names {
            let keys = || servers.iter().map(|server| (server.clone(), name.clone()));
            let holder = keys().find_map(|key| claims.get(&key).filter(|holder| *holder < me).cloned());
            match holder {
                Some(holder) => taken.push((name.clone(), holder.name)),
                None => claims.extend(keys().map(|key| (key, me.clone()))),
            }
        }
        taken
    }

    /// Forgets what those claimed that are no more.
    pub(crate) fn forget(&self, uids: &[String]) {
        self.0.lock().retain(|_, holder| !uids.contains(&holder.uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimant(created: &str, uid: &str) -> Claimant {
        Claimant { created: created.into(), uid: uid.into(), name: format!("ns/{uid}") }
    }

    #[test]
    fn the_older_one_keeps_a_topic_whoever_asks_first() {
        let claims = Claims::default();
        let (k, both, other) = (["k:1".to_owned()], ["k:1".to_owned(), "k:2".to_owned()], ["other:1".to_owned()]);
        let (old, new) = (claimant("2026-01-01", "old"), claimant("2026-01-02", "new"));
        let topics = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert!(claims.claim(&k, &topics, &new).is_empty());
        assert!(claims.claim(&k, &BTreeSet::from(["a".to_owned()]), &old).is_empty());
        assert_eq!(claims.claim(&k, &topics, &new), [("a".to_owned(), "ns/old".to_owned())]);
        assert_eq!(claims.claim(&both, &topics, &new).len(), 1, "one broker in common is enough");
        assert!(claims.claim(&other, &topics, &new).is_empty());
        assert!(claims.claim(&k, &BTreeSet::new(), &old).is_empty());
        assert!(claims.claim(&k, &topics, &new).is_empty(), "the older one does not want it any more");
        claims.claim(&k, &topics, &old);
        claims.forget(&["old".to_owned()]);
        assert!(claims.claim(&k, &topics, &new).is_empty());
    }
}
