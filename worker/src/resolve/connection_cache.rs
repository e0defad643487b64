//! What the registry said of users, for as long as nobody changed it. Pure.
//!
//! A registration writes the connection first and the version of the user's slice after it. Who reads the version first
//! and the connections after it, and keeps both, knows as long as the version stays the same that no registration was
//! acknowledged in between that it does not know of.

use std::{collections::HashMap, sync::Arc};

use chatcluster_contracts::{
    ids::{Node, UserId},
    redis_keys::{CONNECTION_SLICES, connection_slice},
};
use chatcluster_transport::gateway_streams::Version;

/// Users remembered in a slice at most; one more, and the slice is forgotten whole.
const MAX_USERS: usize = 2_048;

/// The nodes a user is connected to, each once; most often one.
pub(super) type Nodes = Arc<[Node]>;

#[derive(Debug, Default)]
struct Slice {
    version: Version,
    nodes: HashMap<UserId, Nodes>,
}

/// Bounded: [`MAX_USERS`] a slice.
#[derive(Debug)]
pub(super) struct ConnectionCache(Vec<Slice>);

impl Default for ConnectionCache {
    fn default() -> Self {
        Self((0..CONNECTION_SLICES).map(|_| Slice::default()).collect())
    }
}

impl ConnectionCache {
    /// What was read of the user under this very version.
    pub(super) fn get(&self, user: &UserId, version: Version) -> Option<&Nodes> {
        let slice = self.0.get(usize::from(connection_slice(user)))?;
        if slice.version == version { slice.nodes.get(user) } else { None }
    }

    /// Keeps what was read of the user after `version` was read of its slice.
    pub(super) fn put(&mut self, user: &UserId, version: Version, nodes: &Nodes) {
        let Some(slice) = self.0.get_mut(usize::from(connection_slice(user))) else { return };
        if slice.version != version || slice.nodes.len() >= MAX_USERS {
            slice.version = version;
            slice.nodes.clear();
        }
        slice.nodes.insert(user.clone(), Arc::clone(nodes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn nodes(name: &str) -> Nodes {
        [Node::parse(name).unwrap()].into()
    }

    #[test]
    fn what_was_read_under_another_version_is_not_believed() {
        let mut cache = ConnectionCache::default();
        let ann = user("ann");
        assert_eq!(cache.get(&ann, 0), None, "nothing was read yet, whatever the version");
        cache.put(&ann, 7, &nodes("g1"));
        assert_eq!(cache.get(&ann, 7), Some(&nodes("g1")));
        assert_eq!(cache.get(&ann, 8), None);
        let same_slice =
            (0..1_000).map(|i| user(&format!("u{i}"))).find(|u| connection_slice(u) == connection_slice(&ann));
        cache.put(&same_slice.unwrap(), 8, &nodes("g2"));
        assert_eq!((cache.get(&ann, 7), cache.get(&ann, 8)), (None, None), "the slice is forgotten with its version");
    }

    #[test]
    fn it_stays_within_its_bound() {
        let mut cache = ConnectionCache::default();
        let node = nodes("g1");
        for i in 0..2 * MAX_USERS * usize::from(CONNECTION_SLICES) {
            let user = user(&format!("u{i}"));
            cache.put(&user, 1, &node);
            assert_eq!(cache.get(&user, 1), Some(&node), "the latest is there");
        }
        assert!(cache.0.iter().all(|slice| (1..=MAX_USERS).contains(&slice.nodes.len())));
    }
}
