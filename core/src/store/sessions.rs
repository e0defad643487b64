//! What signs people in: `refresh_tokens` and `tickets`. Only hashes are stored; both are spent atomically.

use std::time::Duration;

use chatcluster_contracts::{
    ids::{UserId, WorkspaceId},
    revocation::LoginId,
};

use super::{
    Result, Store,
    sql::{id, integer, optional_id, optional_text, text},
};
use crate::clock;

/// What using a refresh token brought.
#[derive(Debug, PartialEq, Eq)]
pub enum RefreshUse {
    /// It was good and is used up now; the next of its family may be issued.
    Spent { family: String, user_id: UserId },
    /// It had been used before: somebody has a copy, so the whole family is revoked.
    Reused { family: String },
    /// Unknown, expired or revoked.
    Invalid,
}

/// What a ticket stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    pub user_id: UserId,
    pub workspace_id: WorkspaceId,
    pub token_id: Option<String>,
    pub login: Option<LoginId>,
    /// Seconds since the Unix epoch: the end of the access token that asked for it.
    pub token_expires_at: i64,
    /// Names besides the user's whose user events the token may listen to.
    pub user_events: Vec<UserId>,
}

/// A ticket that was good and is gone now.
pub type Redeemed = Option<Ticket>;

impl Store {
    pub async fn add_refresh_token(&self, hash: &str, family: &str, user: &UserId, expires_ms: i64) -> Result<()> {
        sqlx::query("INSERT INTO refresh_tokens (hash, family, user_id, expires_at) VALUES (?,?,?,?)")
            .bind(hash)
            .bind(family)
            .bind(user.as_str())
            .bind(expires_ms)
            .execute(&self.0.write)
            .await?;
        Ok(())
    }

    /// Uses a refresh token up. Of two concurrent uses one wins and the other counts as a reuse, which ends the login;
    /// its access tokens live for `access_ttl` at most.
    pub async fn spend_refresh_token(&self, hash: &str, access_ttl: Duration) -> Result<RefreshUse> {
        let now = clock::now_ms();
        let spending = sqlx::query(
            "UPDATE refresh_tokens SET used_at = ? WHERE hash = ? AND used_at IS NULL AND revoked = 0 AND expires_at > ?",
        );
        let spent = spending.bind(now).bind(hash).bind(now).execute(&self.0.write).await?.rows_affected() == 1;
        let asking = sqlx::query("SELECT family, user_id, used_at, revoked FROM refresh_tokens WHERE hash = ?");
        let Some(row) = asking.bind(hash).fetch_optional(&self.0.write).await? else { return Ok(RefreshUse::Invalid) };
        let family = text(&row, "family")?;
        if spent {
            // A concurrent reuse may have revoked the family between the two statements.
            let revoked = integer(&row, "revoked")? != 0;
            return Ok(if revoked {
                RefreshUse::Invalid
            } else {
                RefreshUse::Spent { family, user_id: id(&row, "user_id")? }
            });
        }
        if integer(&row, "used_at").is_ok() {
            self.revoke_login(&family, access_ttl).await?;
            return Ok(RefreshUse::Reused { family });
        }
        Ok(RefreshUse::Invalid)
    }

    /// Ends the login that `hash` belongs to, or all of its user, and answers which; access tokens live for `access_ttl`
    /// at most.
    pub async fn revoke_by_refresh_token(
        &self,
        hash: &str,
        everywhere: bool,
        access_ttl: Duration,
    ) -> Result<Vec<String>> {
        let asking = sqlx::query("SELECT family, user_id FROM refresh_tokens WHERE hash = ?");
        let Some(row) = asking.bind(hash).fetch_optional(&self.0.write).await? else { return Ok(Vec::new()) };
        let mut logins = if everywhere { self.logins(&id(&row, "user_id")?).await? } else { Vec::new() };
        let own = text(&row, "family")?;
        if !logins.contains(&own) {
            logins.push(own);
        }
        for login in &logins {
            self.revoke_login(login, access_ttl).await?;
        }
        Ok(logins)
    }

    /// Has the family been revoked? Asked after its next token was issued, so that a revocation in between counts.
    pub async fn is_family_revoked(&self, family: &str) -> Result<bool> {
        let asking = sqlx::query("SELECT COUNT(*) AS revoked FROM refresh_tokens WHERE family = ? AND revoked = 1");
        let row = asking.bind(family).fetch_one(&self.0.write).await?;
        if integer(&row, "revoked")? == 0 {
            return Ok(false);
        }
        let revoking = sqlx::query("UPDATE refresh_tokens SET revoked = 1 WHERE family = ?");
        revoking.bind(family).execute(&self.0.write).await?;
        Ok(true)
    }

    pub async fn add_ticket(&self, hash: &str, ticket: &Ticket, expires_ms: i64) -> Result<()> {
        let inserting = sqlx::query(
            "INSERT INTO tickets (hash, user_id, workspace_id, token_id, login, token_expires_at, user_events, expires_at) \
             VALUES (?,?,?,?,?,?,?,?)",
        );
        inserting
            .bind(hash)
            .bind(ticket.user_id.as_str())
            .bind(ticket.workspace_id.as_str())
            .bind(ticket.token_id.as_deref())
            .bind(ticket.login.map(|login| login.to_string()))
            .bind(ticket.token_expires_at)
            .bind(names(&ticket.user_events))
            .bind(expires_ms)
            .execute(&self.0.write)
            .await?;
        Ok(())
    }

    /// Spends a ticket: whoever deletes the row has it.
    pub async fn redeem_ticket(&self, hash: &str) -> Result<Redeemed> {
        let asking = sqlx::query(
            "SELECT user_id, workspace_id, token_id, login, token_expires_at, user_events, expires_at FROM tickets \
             WHERE hash = ?",
        );
        let Some(row) = asking.bind(hash).fetch_optional(&self.0.write).await? else { return Ok(None) };
        let deleting = sqlx::query("DELETE FROM tickets WHERE hash = ?").bind(hash);
        let won = deleting.execute(&self.0.write).await?.rows_affected() == 1;
        if !won || integer(&row, "expires_at")? <= clock::now_ms() {
            return Ok(None);
        }
        Ok(Some(Ticket {
            user_id: id(&row, "user_id")?,
            workspace_id: id(&row, "workspace_id")?,
            token_id: optional_text(&row, "token_id")?,
            login: optional_id(&row, "login")?,
            token_expires_at: integer(&row, "token_expires_at")?,
            user_events: named(optional_text(&row, "user_events")?.as_deref()),
        }))
    }

    /// Removes what has expired.
    pub async fn prune_sessions(&self) -> Result<()> {
        let now = clock::now_ms();
        for pruning in ["DELETE FROM tickets WHERE expires_at < ?", "DELETE FROM refresh_tokens WHERE expires_at < ?"] {
            sqlx::query(pruning).bind(now).execute(&self.0.write).await?;
        }
        self.prune_revocations().await
    }
}

/// A list in one column; names contain no commas.
fn names(names: &[UserId]) -> Option<String> {
    let list: Vec<&str> = names.iter().map(UserId::as_str).collect();
    Some(list.join(",")).filter(|list| !list.is_empty())
}

fn named(list: Option<&str>) -> Vec<UserId> {
    list.into_iter().flat_map(|list| list.split(',')).flat_map(str::parse).collect()
}
