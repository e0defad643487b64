//! `connections` and `gateway_boots`: which client connections live, as their gateways report them. A boot that was not
//! heard of for [`BOOT_TTL`] takes its connections with it.

use std::{collections::BTreeSet, time::Duration};

use chatcluster_contracts::{
    ids::{BootId, ConnectionId, Node, UserId, WorkspaceId},
    record::ConnectionRecord,
};
use sqlx::any::AnyRow;

use super::{
    Result, Store,
    sql::{id, integer, padded, padded_len, query, repeat, text},
    transaction::retrying,
};
use crate::clock;

const BOOT_TTL: Duration = Duration::from_secs(30);
/// Who closes a page and opens another is not offline in between.
const RETURN_WITHIN: Duration = Duration::from_secs(5);
/// Rows in one statement.
const CHUNK: usize = 128;

#[derive(Debug, Clone)]
pub struct LiveConnection {
    pub record: ConnectionRecord,
    /// Milliseconds since the Unix epoch: when its gateway was last heard of.
    pub last_ping_ms: i64,
}

/// SQL: of the boots `b`, those that live; its value is [`alive_since`].
pub(super) const BOOT_LIVES: &str = "b.last_ping > ?";

const LIVE: &str = "SELECT c.id, c.user_id, c.workspace_id, c.boot_id, c.connected_at, b.node, b.last_ping \
     FROM connections c JOIN gateway_boots b ON b.boot_id = c.boot_id WHERE b.last_ping > ?";

/// Boots heard of after this are alive.
pub(super) fn alive_since() -> i64 {
    clock::now_ms() - ttl_ms()
}

fn ttl_ms() -> i64 {
    i64::try_from(BOOT_TTL.as_millis()).unwrap_or(i64::MAX)
}

impl Store {
    /// Adds connections of one boot, which thereby lives.
    pub async fn add_connections(&self, node: &Node, boot: &BootId, connections: &[ConnectionRecord]) -> Result<()> {
        retrying(|| self.add_connections_once(node, boot, connections)).await
    }

    async fn add_connections_once(&self, node: &Node, boot: &BootId, connections: &[ConnectionRecord]) -> Result<()> {
        let mut write = self.write().await?;
        sqlx::query("REPLACE INTO gateway_boots (boot_id, node, last_ping) VALUES (?,?,?)")
            .bind(boot.as_str())
            .bind(node.as_str())
            .bind(clock::now_ms())
            .execute(write.connection())
            .await?;
        for chunk in connections.chunks(CHUNK) {
            let mut inserting = query(format!(
                "REPLACE INTO connections (id, user_id, workspace_id, boot_id, connected_at) VALUES {}",
                repeat("(?,?,?,?,?)", chunk.len(), ",")
            ));
            for connection in chunk {
                inserting = inserting
                    .bind(connection.connection_id.as_str())
                    .bind(connection.user_id.as_str())
                    .bind(connection.workspace_id.as_str())
                    .bind(boot.as_str())
                    .bind(connection.connected_at_ms);
            }
            inserting.execute(write.connection()).await?;
        }
        let came = write.came_online(connections).await?;
        write.commit().await?;
        if came {
            self.0.context.presence.notify_one();
        }
        Ok(())
    }

    /// Removes connections of one boot and answers those that were there.
    pub async fn remove_connections(&self, boot: &BootId, ids: &[ConnectionId]) -> Result<Vec<LiveConnection>> {
        let mut removed = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let list = repeat("?", padded_len(chunk.len()), ",");
            let mut asking =
                query(format!("{LIVE} AND c.boot_id = ? AND c.id IN ({list})")).bind(0_i64).bind(boot.as_str());
            let mut deleting =
                query(format!("DELETE FROM connections WHERE boot_id = ? AND id IN ({list})")).bind(boot.as_str());
            for id in padded(chunk) {
                asking = asking.bind(id.as_str());
                deleting = deleting.bind(id.as_str());
            }
            removed.extend(live(&asking.fetch_all(&self.0.read).await?)?);
            deleting.execute(&self.0.write).await?;
        }
        let users: BTreeSet<&UserId> = removed.iter().map(|gone| &gone.record.user_id).collect();
        self.look_at_presence(&users.into_iter().collect::<Vec<_>>(), RETURN_WITHIN).await?;
        Ok(removed)
    }

    /// Renews a boot; `false`: it is not known here, or had expired, and must register everything again.
    pub async fn ping_boot(&self, boot: &BootId) -> Result<bool> {
        let now = clock::now_ms();
        let renewing = sqlx::query("UPDATE gateway_boots SET last_ping = ? WHERE boot_id = ? AND last_ping > ?");
        // A driver may count a row left as it was as not affected: two pings in one millisecond.
        let renewed = renewing.bind(now).bind(boot.as_str()).bind(now - ttl_ms()).execute(&self.0.write).await?;
        if renewed.rows_affected() > 0 {
            return Ok(true);
        }
        let asking = sqlx::query("SELECT last_ping FROM gateway_boots WHERE boot_id = ? AND last_ping >= ?");
        Ok(asking.bind(boot.as_str()).bind(now).fetch_optional(&self.0.write).await?.is_some())
    }

    pub async fn connections_of(&self, user: &UserId) -> Result<Vec<LiveConnection>> {
        let asking = query(format!("{LIVE} AND c.user_id = ?"));
        live(&asking.bind(clock::now_ms() - ttl_ms()).bind(user.as_str()).fetch_all(&self.0.read).await?)
    }

    /// Users of the workspace with a live connection.
    pub async fn online_users(&self, workspace: &WorkspaceId) -> Result<Vec<String>> {
        let asking = sqlx::query(
            "SELECT DISTINCT c.user_id FROM connections c JOIN gateway_boots b ON b.boot_id = c.boot_id \
             WHERE b.last_ping > ? AND c.workspace_id = ?",
        );
        let rows = asking.bind(clock::now_ms() - ttl_ms()).bind(workspace.as_str()).fetch_all(&self.0.read).await?;
        Ok(rows.iter().map(|row| text(row, "user_id")).collect::<Result<_, sqlx::Error>>()?)
    }

    /// All live connections, a page at a time in the order of their ids.
    pub async fn all_connections(&self, after: &str, limit: u32) -> Result<Vec<LiveConnection>> {
        let asking = query(format!("{LIVE} AND c.id > ? ORDER BY c.id LIMIT ?"));
        let asking = asking.bind(clock::now_ms() - ttl_ms()).bind(after).bind(i64::from(limit));
        live(&asking.fetch_all(&self.0.read).await?)
    }

    /// Removes boots that were not heard of for twice their time, with what they held; answers that.
    pub async fn prune_boots(&self) -> Result<Vec<LiveConnection>> {
        let before = clock::now_ms() - 2 * ttl_ms();
        let asking = sqlx::query("SELECT boot_id FROM gateway_boots WHERE last_ping < ? LIMIT 16").bind(before);
        let mut gone = Vec::new();
        for row in asking.fetch_all(&self.0.read).await? {
            let boot = text(&row, "boot_id")?;
            let listing = query(format!("{LIVE} AND c.boot_id = ?")).bind(0_i64).bind(boot.as_str());
            gone.extend(live(&listing.fetch_all(&self.0.read).await?)?);
            // By the condition again: a gateway that came back in this moment keeps its row.
            let deleting = sqlx::query("DELETE FROM gateway_boots WHERE boot_id = ? AND last_ping < ?");
            if deleting.bind(boot.as_str()).bind(before).execute(&self.0.write).await?.rows_affected() > 0 {
                let deleting = sqlx::query("DELETE FROM connections WHERE boot_id = ?");
                deleting.bind(boot.as_str()).execute(&self.0.write).await?;
            }
        }
        Ok(gone)
    }
}

fn live(rows: &[AnyRow]) -> Result<Vec<LiveConnection>> {
    rows.iter()
        .map(|row| {
            Ok(LiveConnection {
                record: ConnectionRecord {
                    connection_id: id(row, "id")?,
                    user_id: id(row, "user_id")?,
                    workspace_id: id(row, "workspace_id")?,
                    node: id(row, "node")?,
                    boot_id: id(row, "boot_id")?,
                    connected_at_ms: integer(row, "connected_at")?,
                },
                last_ping_ms: integer(row, "last_ping")?,
            })
        })
        .collect()
}
