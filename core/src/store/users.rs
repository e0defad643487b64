//! `users`: people who signed up here, and subjects of outside issuers.

use chatcluster_contracts::{
    ids::{UserId, WorkspaceId},
    problem::{Code, Problem},
};
use sqlx::any::AnyRow;

use super::{
    Result, Store, StoreError,
    sql::{id, optional_text, padded, padded_len, query, repeat, text},
};
use crate::{clock, domain::account::Username};

#[derive(Debug, Clone)]
pub struct User {
    pub id: UserId,
    pub workspace_id: WorkspaceId,
    /// Subjects of outside issuers may have none.
    pub username: Option<String>,
    pub display_name: String,
    /// Who vouches for them; `None`: they signed up here.
    pub issuer: Option<String>,
}

/// What a login is checked against.
#[derive(Debug)]
pub struct Credentials {
    pub user: User,
    /// PHC string; a user of an outside issuer has none.
    pub password_hash: Option<String>,
}

const COLUMNS: &str = "id, workspace_id, username, display_name, issuer";

impl Store {
    /// Refuses a name that is taken with `username_taken`.
    pub async fn create_user(&self, user: &User, password_hash: Option<&str>) -> Result<()> {
        let inserting = sqlx::query(
            "INSERT INTO users (id, workspace_id, username, display_name, password_hash, issuer, created_at) \
             VALUES (?,?,?,?,?,?,?)",
        );
        let inserted = inserting
            .bind(user.id.as_str())
            .bind(user.workspace_id.as_str())
            .bind(user.username.as_deref())
            .bind(user.display_name.as_str())
            .bind(password_hash)
            .bind(user.issuer.as_deref())
            .bind(clock::now_ms())
            .execute(&self.0.write)
            .await;
        match inserted.map_err(StoreError::from) {
            Ok(_) => Ok(()),
            Err(error) if error.is_duplicate() => {
                Err(StoreError::Refused(Problem::new(Code::UsernameTaken, "this username is taken")))
            }
            Err(error) => Err(error),
        }
    }

    pub async fn user(&self, id: &UserId) -> Result<Option<User>> {
        let asking = query(format!("SELECT {COLUMNS} FROM users WHERE id = ?")).bind(id.as_str());
        Ok(asking.fetch_optional(&self.0.read).await?.as_ref().map(user).transpose()?)
    }

    pub async fn user_by_name(&self, workspace: &WorkspaceId, name: &Username) -> Result<Option<Credentials>> {
        let asking =
            query(format!("SELECT {COLUMNS}, password_hash FROM users WHERE workspace_id = ? AND username = ?"));
        let row = asking.bind(workspace.as_str()).bind(name.as_str()).fetch_optional(&self.0.read).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Credentials { user: user(&row)?, password_hash: optional_text(&row, "password_hash")? }))
    }

    /// Those of `ids` that exist in the workspace.
    pub async fn users(&self, workspace: &WorkspaceId, ids: &[UserId]) -> Result<Vec<User>> {
        let mut found = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(256) {
            let list = repeat("?", padded_len(chunk.len()), ",");
            let mut asking = query(format!("SELECT {COLUMNS} FROM users WHERE workspace_id = ? AND id IN ({list})"))
                .bind(workspace.as_str());
            for id in padded(chunk) {
                asking = asking.bind(id.as_str());
            }
            for row in asking.fetch_all(&self.0.read).await? {
                found.push(user(&row)?);
            }
        }
        Ok(found)
    }
}

pub(super) fn user(row: &AnyRow) -> Result<User, sqlx::Error> {
    Ok(User {
        id: id(row, "id")?,
        workspace_id: id(row, "workspace_id")?,
        username: optional_text(row, "username")?,
        display_name: text(row, "display_name")?,
        issuer: optional_text(row, "issuer")?,
    })
}
