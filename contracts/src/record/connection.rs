//! `connection.add` and `connection.remove`, keyed by the user.

use serde::{Deserialize, Serialize};

use crate::ids::{BootId, ConnectionId, Node, UserId, WorkspaceId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionRecord {
    pub connection_id: ConnectionId,
    pub user_id: UserId,
    #[serde(default)]
    pub workspace_id: WorkspaceId,
    pub node: Node,
    pub boot_id: BootId,
    /// Milliseconds since the Unix epoch.
    pub connected_at_ms: i64,
}
