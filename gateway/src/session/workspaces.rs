//! One copy of each workspace's id: a million sessions belong to a few of them.

use std::collections::HashSet;

use chatcluster_contracts::ids::WorkspaceId;
use parking_lot::Mutex;

/// Ids kept; of the others each session has its own.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Workspaces(Mutex<HashSet<WorkspaceId>>);

impl Workspaces {
    /// The id, shared with whoever asked before.
    pub(crate) fn same(&self, id: WorkspaceId) -> WorkspaceId {
        let mut known = self.0.lock();
        if let Some(known) = known.get(&id) {
            return known.clone();
        }
        if known.len() < MOST {
            known.insert(id.clone());
        }
        id
    }
}
