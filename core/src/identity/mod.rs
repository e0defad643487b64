//! Who somebody is: passwords, tokens, tickets, and the subjects of outside issuers.

pub mod attempts;
pub mod keys;
pub mod passwords;
pub(crate) mod revoking;
mod sign_in;
mod tickets;
mod tokens;

use std::{sync::Arc, time::Duration};

use chatcluster_contracts::{
    ids::{UserId, WorkspaceId},
    problem::{Code, Problem},
    revocation::{LoginId, Revocation},
};
use chatcluster_service::tokens::{Claims, JwksSource, Revocations, Verifier, VerifierOptions};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::store::{Store, StoreError, User};
use attempts::Attempts;
use keys::SigningKey;
use passwords::Passwords;
pub use sign_in::{Login, LoginRefused};
pub(crate) use tickets::TICKET_TTL;

/// How tokens are made and whose are accepted.
#[derive(Debug, Clone)]
pub struct IdentityOptions {
    pub issuer: String,
    pub audience: String,
    pub access_ttl: Duration,
    pub refresh_ttl: Duration,
    /// Key sets of outside issuers.
    pub jwks: Vec<JwksSource>,
    /// Accepted `iss` of outside tokens whose key set names none.
    pub issuers: Vec<String>,
}

/// Somebody whose token was verified.
#[derive(Debug, Clone)]
pub struct Caller {
    pub user_id: UserId,
    pub workspace_id: WorkspaceId,
    pub token_id: Option<String>,
    /// Of this platform's own tokens.
    pub login: Option<LoginId>,
    /// Seconds since the Unix epoch.
    pub expires_at: i64,
    /// Names besides the user's whose user events the token may listen to.
    pub user_events: Vec<UserId>,
    /// May look at the figures of everybody.
    pub admin: bool,
}

/// Sign-up, sign-in and the checking of tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Identity {
    store: Store,
    options: Arc<IdentityOptions>,
    key: Arc<SigningKey>,
    verifier: Verifier,
    passwords: Passwords,
    attempts: Arc<Mutex<Attempts>>,
    revocations: Revocations,
    /// To those who are to hear of it at once.
    ended: mpsc::Sender<Revocation>,
    /// Subjects of outside issuers whose row is known to be there and theirs.
    seen: Arc<Mutex<std::collections::HashSet<(String, UserId, WorkspaceId)>>>,
}

/// Outside subjects remembered at most; forgetting one costs a query.
const MAX_SEEN: usize = 10_000;

/// Ended logins that wait to be told; those beyond are found by whoever looks.
const MAX_UNTOLD: usize = 1_024;

impl Identity {
    /// Also answers where ended logins come out that others are to be told of.
    pub fn new(
        store: Store,
        options: IdentityOptions,
        key: SigningKey,
    ) -> anyhow::Result<(Self, mpsc::Receiver<Revocation>)> {
        let verifier_options = VerifierOptions {
            sources: options.jwks.clone(),
            issuers: options.issuers.clone(),
            audience: options.audience.clone(),
            leeway: Duration::from_secs(5),
        };
        let verifier = Verifier::with_keys(&options.issuer, key.jwks(), verifier_options)?;
        let (ended, to_tell) = mpsc::channel(MAX_UNTOLD);
        let identity = Self {
            store,
            options: Arc::new(options),
            key: Arc::new(key),
            verifier,
            passwords: Passwords::new(),
            attempts: Arc::default(),
            revocations: Revocations::default(),
            ended,
            seen: Arc::default(),
        };
        Ok((identity, to_tell))
    }

    /// What this process knows of ended logins.
    pub(crate) fn revocations(&self) -> Revocations {
        self.revocations.clone()
    }

    /// Checks tokens for others in this process, who need no user row.
    pub fn verifier(&self) -> Verifier {
        self.verifier.clone()
    }

    /// The public keys of this platform's own tokens.
    pub fn jwks(&self) -> serde_json::Value {
        self.key.jwks()
    }

    /// Who the token speaks for. A subject of an outside issuer becomes a user at first sight.
    pub async fn verify(&self, token: &str) -> Result<Caller, Problem> {
        let claims = self.verifier.verify(token).await?;
        let is_own = claims.issuer == self.options.issuer;
        if is_own {
            self.revocations.check(claims.login)?;
        } else {
            self.admit(&claims).await?;
        }
        Ok(Caller {
            user_id: claims.user_id,
            workspace_id: claims.workspace_id,
            token_id: claims.token_id,
            login: claims.login.filter(|_| is_own),
            expires_at: claims.expires_at,
            user_events: claims.user_events,
            admin: claims.admin,
        })
    }

    /// An outside subject may not be somebody who signed up here, nor another issuer's, nor change its workspace.
    async fn admit(&self, claims: &Claims) -> Result<(), Problem> {
        let key = (claims.issuer.clone(), claims.user_id.clone(), claims.workspace_id.clone());
        if self.seen.lock().contains(&key) {
            return Ok(());
        }
        let user = match self.store.user(&claims.user_id).await? {
            Some(user) => user,
            None => self.add_outsider(claims).await?,
        };
        if user.issuer.as_deref() != Some(claims.issuer.as_str()) || user.workspace_id != claims.workspace_id {
            return Err(Problem::new(Code::Forbidden, "this subject belongs to another issuer or workspace"));
        }
        let mut seen = self.seen.lock();
        if seen.len() >= MAX_SEEN {
            seen.clear();
        }
        seen.insert(key);
        Ok(())
    }

    async fn add_outsider(&self, claims: &Claims) -> Result<User, Problem> {
        let subject = claims.user_id.as_str();
        let mut user = User {
            id: claims.user_id.clone(),
            workspace_id: claims.workspace_id.clone(),
            username: crate::domain::account::Username::parse(subject).ok().map(|name| name.as_str().to_owned()),
            display_name: subject.to_owned(),
            issuer: Some(claims.issuer.clone()),
        };
        loop {
            match self.store.create_user(&user, None).await {
                Ok(()) => return Ok(user),
                // The name is taken here, or another request was first.
                Err(StoreError::Refused(_)) => match self.store.user(&user.id).await? {
                    Some(user) => return Ok(user),
                    None if user.username.is_some() => user.username = None,
                    None => return Err(Problem::new(Code::Conflict, "this subject cannot become a user here")),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// 256 random bits as URL-safe text.
fn random_token() -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// What is stored of a random token: it has so much entropy that a plain hash is not guessed.
fn hash_token(token: &str) -> String {
    let digest = Sha256::digest(token.as_bytes());
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        use std::fmt::Write;
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
