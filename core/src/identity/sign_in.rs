//! Sign-up, login, refresh, logout.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use chatcluster_contracts::{
    ids::{UserId, WorkspaceId},
    problem::{Code, Problem},
};
use uuid::Uuid;

use super::{Identity, hash_token, random_token};
use crate::{
    clock,
    domain::account::{self, Username},
    store::{RefreshUse, User},
};

/// What a login or refresh hands out.
#[derive(Debug, Clone)]
pub struct Login {
    pub access_token: String,
    pub refresh_token: String,
    /// Of the access token.
    pub expires_in: Duration,
}

/// Why a login was refused; a limit says how long to wait.
#[derive(Debug)]
pub enum LoginRefused {
    Problem(Problem),
    TooMany { retry_after: Duration },
}

impl<E: Into<Problem>> From<E> for LoginRefused {
    fn from(error: E) -> Self {
        Self::Problem(error.into())
    }
}

impl Identity {
    pub async fn sign_up(&self, username: &str, password: String, display_name: &str) -> Result<User, Problem> {
        let name = Username::parse(username)?;
        account::check_password(&password)?;
        let user = User {
            // A UUID consists of characters an id may have.
            id: UserId::parse(&Uuid::now_v7().to_string())
                .map_err(|error| Problem::new(Code::Internal, error.to_string()))?,
            workspace_id: WorkspaceId::default(),
            username: Some(name.as_str().to_owned()),
            display_name: account::display_name(display_name)?,
            issuer: None,
        };
        let hash = self.passwords.hash(password).await?;
        self.store.create_user(&user, Some(&hash)).await?;
        Ok(user)
    }

    /// `address` is where the attempt comes from, as far as known.
    pub async fn login(
        &self,
        username: &str,
        password: String,
        address: Option<IpAddr>,
    ) -> Result<Login, LoginRefused> {
        let wrong = || Problem::new(Code::BadCredentials, "the username or the password is wrong");
        // A text that cannot be a name is nobody's; a password longer than any is not worth hashing.
        let name = Username::parse(username).map_err(|_| wrong())?;
        if let Some(retry_after) = self.attempts.lock().blocked(name.as_str(), address, Instant::now()) {
            return Err(LoginRefused::TooMany { retry_after });
        }
        account::check_password(&password).map_err(|_| wrong())?;
        let found = self.store.user_by_name(&WorkspaceId::default(), &name).await?;
        let (user, hash) = match found {
            Some(credentials) => (Some(credentials.user), credentials.password_hash),
            None => (None, None),
        };
        let matches = self.passwords.verify(password, hash).await?;
        let Some(user) = user.filter(|_| matches) else {
            self.attempts.lock().failed(name.as_str(), address, Instant::now());
            return Err(wrong().into());
        };
        self.attempts.lock().succeeded(name.as_str(), address);
        Ok(self.hand_out(&user, &Uuid::new_v4().to_string()).await?)
    }

    /// A new pair for an old refresh token, which is used up. Using one twice ends the login it belongs to.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Login, Problem> {
        let invalid = || Problem::new(Code::Unauthenticated, "the refresh token is unknown, expired or revoked");
        let (family, user_id) =
            match self.store.spend_refresh_token(&hash_token(refresh_token), self.options.access_ttl).await? {
                RefreshUse::Spent { family, user_id } => (family, user_id),
                RefreshUse::Reused { family } => {
                    self.ended(&[family]);
                    tracing::warn!("refresh token used twice; its login was ended");
                    return Err(Problem::new(Code::TokenRevoked, "the refresh token was used before; sign in again"));
                }
                RefreshUse::Invalid => return Err(invalid()),
            };
        let user = self.store.user(&user_id).await?.ok_or_else(invalid)?;
        let login = self.hand_out(&user, &family).await?;
        if self.store.is_family_revoked(&family).await? {
            return Err(Problem::new(Code::TokenRevoked, "the login was ended; sign in again"));
        }
        Ok(login)
    }

    /// Ends the login of a refresh token, or all logins of its user: refresh tokens, access tokens and open sessions.
    pub async fn logout(&self, refresh_token: &str, everywhere: bool) -> Result<(), Problem> {
        let (hash, ttl) = (hash_token(refresh_token), self.options.access_ttl);
        self.ended(&self.store.revoke_by_refresh_token(&hash, everywhere, ttl).await?);
        Ok(())
    }

    async fn hand_out(&self, user: &User, family: &str) -> Result<Login, Problem> {
        let refresh_token = random_token();
        let lifetime = i64::try_from(self.options.refresh_ttl.as_millis()).unwrap_or(i64::MAX);
        let expires = clock::now_ms().saturating_add(lifetime);
        self.store.add_refresh_token(&hash_token(&refresh_token), family, &user.id, expires).await?;
        Ok(Login { access_token: self.access_token(user, family)?, refresh_token, expires_in: self.options.access_ttl })
    }
}
