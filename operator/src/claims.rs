//! Who has which topic: two `ChatCluster`s on one topic would read each other's records. The older one keeps it.

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

/// (Kafka, topic) -> who has it.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<BTreeMap<(String, String), Claimant>>);

impl Claims {
    /// Claims exactly these topics on this Kafka, and answers those that an older one has, with its name.
    pub(crate) fn claim(&self, kafka: &str, topics: &BTreeSet<String>, me: &Claimant) -> Vec<(String, String)> {
        let mut claims = self.0.lock();
        claims.retain(|(k, topic), holder| holder.uid != me.uid || (k == kafka && topics.contains(topic)));
        let mut taken = Vec::new();
        for topic in topics {
            let key = (kafka.to_owned(), topic.clone());
            match claims.get(&key) {
                Some(holder) if holder < me => taken.push((topic.clone(), holder.name.clone())),
                _ => drop(claims.insert(key, me.clone())),
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
        let (old, new) = (claimant("2026-01-01", "old"), claimant("2026-01-02", "new"));
        let topics = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert!(claims.claim("k", &topics, &new).is_empty());
        assert!(claims.claim("k", &BTreeSet::from(["a".to_owned()]), &old).is_empty());
        assert_eq!(claims.claim("k", &topics, &new), [("a".to_owned(), "ns/old".to_owned())]);
        assert!(claims.claim("another kafka", &topics, &new).is_empty());
        assert!(claims.claim("k", &BTreeSet::new(), &old).is_empty());
        assert!(claims.claim("k", &topics, &new).is_empty(), "the older one does not want it any more");
        claims.claim("k", &topics, &old);
        claims.forget(&["old".to_owned()]);
        assert!(claims.claim("k", &topics, &new).is_empty());
    }
}
