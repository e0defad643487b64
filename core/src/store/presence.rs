//! `presence`: who is online. It follows from the connections that live; a change is kept with the time by which others
//! are to be told, so that a core that dies leaves nobody online for ever, nor anybody untold.

use std::{collections::BTreeSet, time::Duration};

use chatcluster_contracts::{
    ids::{UserId, WorkspaceId},
    record::{ConnectionRecord, UserChange, UserRecord},
};
use jiff::Timestamp;

use super::{
    Result, Store,
    connections::{BOOT_LIVES, alive_since},
    sql::{id, integer, padded, padded_len, query, repeat, text, time},
    transaction::{Write, retrying},
};
use crate::clock;

/// Users in one answer at most.
pub const MAX_PRESENCES: usize = 500;
/// Members of a group that are told of each other's coming and going.
const MAX_GROUP: i64 = 50;
/// Users looked at, or told of, in one go.
const AT_ONCE: u32 = 256;
/// A change taken to be told that is not on its topic by then is told again.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// Somebody as others see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    pub user_id: UserId,
    pub online: bool,
    /// Since when; `None`: never seen.
    pub since: Option<Timestamp>,
}

/// Changes that this process tells of, and by when it must have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Untold {
    pub(crate) records: Vec<UserRecord>,
    until: i64,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn among(count: usize) -> String {
    repeat("?", padded_len(count), ",")
}

/// Sets columns of these users.
async fn mark(write: &mut Write, columns: &str, values: &[i64], users: &[&String]) -> Result<()> {
    if users.is_empty() {
        return Ok(());
    }
    let mut marking = query(format!("UPDATE presence SET {columns} WHERE user_id IN ({})", among(users.len())));
    for value in values {
        marking = marking.bind(*value);
    }
    for user in padded(users) {
        marking = marking.bind(user.as_str());
    }
    marking.execute(write.connection()).await?;
    Ok(())
}

impl Write {
    /// The users of these connections are online. `true`: some were not before.
    pub(super) async fn came_online(&mut self, connections: &[ConnectionRecord]) -> Result<bool> {
        let users: BTreeSet<(&UserId, &WorkspaceId)> =
            connections.iter().map(|connection| (&connection.user_id, &connection.workspace_id)).collect();
        let users: Vec<_> = users.into_iter().collect();
        let (now, mut came) = (clock::now_ms(), false);
        for chunk in users.chunks(128) {
            // in the order of their ids, as everybody locks them
            let mut adding = query(format!(
                "{} presence (user_id, workspace_id, is_online, changed_at) VALUES {}",
                self.dialect().insert_ignore(),
                repeat("(?,?,0,0)", chunk.len(), ",")
            ));
            for (user, workspace) in chunk {
                adding = adding.bind(user.as_str()).bind(workspace.as_str());
            }
            adding.execute(self.connection()).await?;
            let mut coming = query(format!(
                "UPDATE presence SET is_online = 1, changed_at = ?, tell_at = ? WHERE is_online = 0 AND user_id IN ({})",
                among(chunk.len())
            ));
            let mut keeping = query(format!(
                "UPDATE presence SET check_at = NULL WHERE check_at IS NOT NULL AND user_id IN ({})",
                among(chunk.len())
            ));
            coming = coming.bind(now).bind(now);
            for (user, _) in padded(chunk) {
                coming = coming.bind(user.as_str());
                keeping = keeping.bind(user.as_str());
            }
            came |= coming.execute(self.connection()).await?.rows_affected() > 0;
            keeping.execute(self.connection()).await?;
        }
        Ok(came)
    }
}

impl Store {
    /// Connections of these users ended: whether they were the last is found out after `within`.
    pub(super) async fn look_at_presence(&self, users: &[&UserId], within: Duration) -> Result<()> {
        for chunk in users.chunks(128) {
            let mut marking = query(format!(
                "UPDATE presence SET check_at = ? WHERE is_online = 1 AND user_id IN ({})",
                among(chunk.len())
            ))
            .bind(clock::now_ms() + millis(within));
            for user in padded(chunk) {
                marking = marking.bind(user.as_str());
            }
            marking.execute(&self.0.write).await?;
        }
        Ok(())
    }

    /// Those connected to gateways that are not heard of any more are to be looked at, too.
    pub(crate) async fn look_at_silent_boots(&self) -> Result<()> {
        // A LIMIT is not needed: who is to be looked at already is not found again.
        let marking = query(format!(
            "UPDATE presence SET check_at = ? WHERE is_online = 1 AND check_at IS NULL AND user_id IN \
             (SELECT c.user_id FROM connections c JOIN gateway_boots b ON b.boot_id = c.boot_id WHERE NOT ({BOOT_LIVES}))"
        ));
        let marking = marking.bind(clock::now_ms()).bind(alive_since());
        marking.execute(&self.0.write).await?;
        Ok(())
    }

    /// Decides who of those to be looked at is offline. `true`: there may be more.
    pub(crate) async fn settle_presence(&self) -> Result<bool> {
        let now = clock::now_ms();
        let asking = sqlx::query("SELECT user_id FROM presence WHERE check_at <= ? ORDER BY user_id LIMIT ?");
        let due = asking.bind(now).bind(i64::from(AT_ONCE)).fetch_all(&self.0.read).await?;
        let due: Vec<String> = due.iter().map(|row| text(row, "user_id")).collect::<Result<_, sqlx::Error>>()?;
        if due.is_empty() {
            return Ok(false);
        }
        if retrying(|| self.settle_once(&due, now)).await? {
            self.0.context.presence.notify_one();
        }
        Ok(due.len() >= AT_ONCE as usize)
    }

    async fn settle_once(&self, due: &[String], now: i64) -> Result<bool> {
        let mut write = self.write().await?;
        let list = among(due.len());
        // Locked before the connections are read: a registration that commits in between would be overlooked.
        let mut locking = query(format!(
            "SELECT user_id FROM presence WHERE check_at <= ? AND user_id IN ({list}) ORDER BY user_id{}",
            write.dialect().for_update()
        ))
        .bind(now);
        for user in padded(due) {
            locking = locking.bind(user.as_str());
        }
        let locked = locking.fetch_all(write.connection()).await?;
        let locked: Vec<String> = locked.iter().map(|row| text(row, "user_id")).collect::<Result<_, sqlx::Error>>()?;
        let mut asking = query(format!(
            "SELECT DISTINCT c.user_id FROM connections c JOIN gateway_boots b ON b.boot_id = c.boot_id \
             WHERE {BOOT_LIVES} AND c.user_id IN ({list})"
        ))
        .bind(alive_since());
        for user in padded(due) {
            asking = asking.bind(user.as_str());
        }
        let live = asking.fetch_all(write.connection()).await?;
        let live: BTreeSet<String> = live.iter().map(|row| text(row, "user_id")).collect::<Result<_, sqlx::Error>>()?;
        let (stayed, gone): (Vec<&String>, Vec<&String>) = locked.iter().partition(|user| live.contains(*user));
        mark(&mut write, "check_at = NULL", &[], &stayed).await?;
        mark(&mut write, "check_at = NULL, is_online = 0, changed_at = ?, tell_at = ?", &[now, now], &gone).await?;
        write.commit().await?;
        Ok(!gone.is_empty())
    }

    /// Waits until somebody's presence changed by this process's doing.
    pub(crate) async fn presence_changed(&self) {
        self.0.context.presence.notified().await;
    }

    /// Takes changes that are to be told: nobody else does before their time is over.
    pub(crate) async fn untold_presence(&self) -> Result<Untold> {
        retrying(|| self.untold_once()).await
    }

    async fn untold_once(&self) -> Result<Untold> {
        let now = clock::now_ms();
        let due = sqlx::query("SELECT COUNT(*) AS due FROM presence WHERE tell_at <= ?").bind(now);
        if integer(&due.fetch_one(&self.0.read).await?, "due")? == 0 {
            return Ok(Untold::default());
        }
        let mut write = self.write().await?;
        let taking = query(format!(
            "SELECT user_id, workspace_id, is_online, changed_at FROM presence WHERE tell_at <= ? \
             ORDER BY user_id LIMIT ?{}",
            write.dialect().for_update()
        ));
        let rows = taking.bind(now).bind(i64::from(AT_ONCE)).fetch_all(write.connection()).await?;
        let until = now + millis(TOLD_WITHIN);
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            records.push(UserRecord {
                change: if integer(row, "is_online")? == 1 { UserChange::UserOnline } else { UserChange::UserOffline },
                user_id: id(row, "user_id")?,
                workspace_id: id(row, "workspace_id")?,
                conversation_id: None,
                timestamp: time(row, "changed_at")?,
            });
        }
        if !records.is_empty() {
            let mut claiming =
                query(format!("UPDATE presence SET tell_at = ? WHERE user_id IN ({})", among(records.len())))
                    .bind(until);
            for record in padded(&records) {
                claiming = claiming.bind(record.user_id.as_str());
            }
            claiming.execute(write.connection()).await?;
            write.commit().await?;
        }
        Ok(Untold { records, until })
    }

    /// These are on their topic. What changed meanwhile is told as well.
    pub(crate) async fn told_presence(&self, told: &Untold) -> Result<()> {
        if told.records.is_empty() {
            return Ok(());
        }
        let mut marking = query(format!(
            "UPDATE presence SET tell_at = NULL WHERE tell_at = ? AND user_id IN ({})",
            among(told.records.len())
        ))
        .bind(told.until);
        for record in padded(&told.records) {
            marking = marking.bind(record.user_id.as_str());
        }
        marking.execute(&self.0.write).await?;
        Ok(())
    }

    /// How those of `users` are who exist in the workspace: online while one of their connections lives.
    pub async fn presence_of(&self, workspace: &WorkspaceId, users: &[UserId]) -> Result<Vec<Presence>> {
        let mut found = Vec::with_capacity(users.len());
        for chunk in users.chunks(128) {
            let mut asking = query(format!(
                "SELECT u.id, p.changed_at, (SELECT COUNT(*) FROM connections c JOIN gateway_boots b \
                 ON b.boot_id = c.boot_id WHERE {BOOT_LIVES} AND c.user_id = u.id) AS live \
                 FROM users u LEFT JOIN presence p ON p.user_id = u.id \
                 WHERE u.workspace_id = ? AND u.id IN ({}) ORDER BY u.id",
                among(chunk.len())
            ))
            .bind(alive_since())
            .bind(workspace.as_str());
            for user in padded(chunk) {
                asking = asking.bind(user.as_str());
            }
            for row in asking.fetch_all(&self.0.read).await? {
                let since = integer(&row, "changed_at").ok().filter(|since| *since > 0);
                found.push(Presence {
                    user_id: id(&row, "id")?,
                    online: integer(&row, "live")? > 0,
                    since: since.and_then(|since| Timestamp::from_millisecond(since).ok()),
                });
            }
        }
        Ok(found)
    }

    /// Pairs of a user and one who shares a dm or a small group with them. A channel is no acquaintance.
    pub async fn contacts(&self, users: &[UserId]) -> Result<Vec<(UserId, UserId)>> {
        let mut pairs = Vec::new();
        for chunk in users.chunks(128) {
            let mut asking = query(format!(
                "SELECT DISTINCT m.user_id AS user_id, o.user_id AS contact_id FROM conversation_members m \
                 JOIN conversations c ON c.id = m.conversation_id \
                 JOIN conversation_members o ON o.conversation_id = m.conversation_id AND o.left_seq IS NULL \
                 WHERE m.left_seq IS NULL AND o.user_id <> m.user_id AND c.kind <> 'channel' AND m.user_id IN ({}) \
                 AND (SELECT COUNT(*) FROM conversation_members x \
                      WHERE x.conversation_id = c.id AND x.left_seq IS NULL) <= ?",
                among(chunk.len())
            ));
            for user in padded(chunk) {
                asking = asking.bind(user.as_str());
            }
            for row in asking.bind(MAX_GROUP).fetch_all(&self.0.read).await? {
                pairs.push((id(&row, "user_id")?, id(&row, "contact_id")?));
            }
        }
        Ok(pairs)
    }
}
