//! `revoked_logins`: logins that were ended while access tokens of theirs may still be good.

use std::time::Duration;

use chatcluster_contracts::{ids::UserId, revocation::Revocation};
use chatcluster_transport::ended_logins::Page;

use super::{
    Result, Store,
    sql::{id, integer, query, text},
};
use crate::clock;

/// Rows of one answer.
const MAX_ROWS: usize = 10_000;
/// A row may be this long between its time and its commit, and clocks of cores this far apart, ms.
const OVERLAP: i64 = 60_000;

impl Store {
    /// Ends a login: first its access tokens, which expire within `ttl`, then its refresh tokens. Whoever fails in
    /// between has not told anybody that it is done, and does it again.
    pub(super) async fn revoke_login(&self, login: &str, ttl: Duration) -> Result<()> {
        let expire = (clock::now_ms() / 1000).saturating_add_unsigned(ttl.as_secs()) + OVERLAP / 1000;
        let (ignoring, now) = (self.0.context.dialect.insert_ignore(), self.0.context.dialect.now_ms());
        let inserting =
            query(format!("{ignoring} revoked_logins (login, revoked_at, tokens_expire_at) VALUES (?,{now},?)"));
        inserting.bind(login).bind(expire).execute(&self.0.write).await?;
        let revoking = sqlx::query("UPDATE refresh_tokens SET revoked = 1 WHERE family = ?");
        revoking.bind(login).execute(&self.0.write).await?;
        Ok(())
    }

    /// The logins of a user that can still be refreshed.
    pub(super) async fn logins(&self, user: &UserId) -> Result<Vec<String>> {
        let asking = sqlx::query(
            "SELECT DISTINCT family FROM refresh_tokens WHERE user_id = ? AND revoked = 0 AND expires_at > ?",
        );
        let rows = asking.bind(user.as_str()).bind(clock::now_ms()).fetch_all(&self.0.write).await?;
        Ok(rows.iter().map(|row| text(row, "family")).collect::<Result<_, _>>()?)
    }

    /// What was revoked since `next_since` of an earlier page; 0: all that counts.
    pub async fn revocations(&self, since: i64) -> Result<Page> {
        // the database's clock, as several cores write and are asked
        let asking = query(format!("SELECT {} AS time", self.0.context.dialect.now_ms()));
        let now = integer(&asking.fetch_one(&self.0.write).await?, "time")?;
        let asking = query(format!(
            "SELECT login, revoked_at, tokens_expire_at FROM revoked_logins WHERE revoked_at >= ? AND tokens_expire_at > ? \
             ORDER BY revoked_at LIMIT {MAX_ROWS}"
        ));
        let rows = asking.bind(since).bind(clock::now_ms() / 1000).fetch_all(&self.0.write).await?;
        let more = rows.len() == MAX_ROWS;
        let next_since = match rows.last() {
            Some(last) if more => integer(last, "revoked_at")?.max(since + 1),
            _ => since.max(now - OVERLAP),
        };
        let read = rows
            .iter()
            .map(|row| Ok(Revocation { login: id(row, "login")?, until: integer(row, "tokens_expire_at")? }));
        Ok(Page { revocations: read.collect::<Result<_, sqlx::Error>>()?, next_since, more })
    }

    pub(super) async fn prune_revocations(&self) -> Result<()> {
        let pruning = sqlx::query("DELETE FROM revoked_logins WHERE tokens_expire_at < ?");
        pruning.bind(clock::now_ms() / 1000).execute(&self.0.write).await?;
        Ok(())
    }
}
