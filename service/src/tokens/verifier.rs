//! Verifies access tokens against the configured key sets.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use chatcluster_contracts::{
    ids::{UserId, WorkspaceId},
    problem::{Code, Problem},
    revocation::LoginId,
};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header, errors::ErrorKind};
use parking_lot::Mutex;
use serde::Deserialize;

use super::jwks::{self, JwksLocation, JwksSource, Key, Keys};

/// Whose tokens are accepted.
#[derive(Debug, Clone)]
pub struct VerifierOptions {
    pub sources: Vec<JwksSource>,
    /// Accepted `iss` of tokens whose source names no issuer of its own.
    pub issuers: Vec<String>,
    /// Required `aud`.
    pub audience: String,
    /// How far the clocks of issuer and verifier may be apart when a token is new. Expiry is exact.
    pub leeway: Duration,
}

impl VerifierOptions {
    /// For a process where nobody signs in: no token is valid.
    pub fn none() -> Self {
        Self { sources: Vec::new(), issuers: Vec::new(), audience: String::new(), leeway: Duration::ZERO }
    }
}

/// Who a valid token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    pub user_id: UserId,
    pub workspace_id: WorkspaceId,
    /// Seconds since the Unix epoch.
    pub expires_at: i64,
    pub token_id: Option<String>,
    /// Claim `sid`: the login it came of, if it says so.
    pub login: Option<LoginId>,
    pub issuer: String,
    /// Claim `userEvents`: names besides the subject, such as organisations, whose user events it may listen to.
    pub user_events: Vec<UserId>,
    /// Claim `admin`: may look at the figures of everybody.
    pub admin: bool,
}

/// Names of `userEvents` that count.
pub const MAX_USER_EVENTS: usize = 64;

/// A fetched key set is used this long before it is fetched again in the background…
const REFRESH_AFTER: Duration = Duration::from_mins(5);
/// …and an unknown `kid` makes it fetched at most this often, whoever sends how many of them…
const UNKNOWN_KID_PAUSE: Duration = Duration::from_secs(10);
/// …or this often while there is no key at all.
const NO_KEYS_PAUSE: Duration = Duration::from_secs(1);

struct Source {
    origin: JwksSource,
    keys: ArcSwap<Keys>,
    /// When the last attempt began. Keys outlive failed attempts: an outage of the issuer signs nobody out.
    attempted: Mutex<Option<Instant>>,
    /// One fetch at a time.
    fetching: tokio::sync::Mutex<()>,
}

struct Inner {
    options: VerifierOptions,
    sources: Vec<Source>,
    client: reqwest::Client,
}

/// Cheap to clone; keys are shared.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("options", &self.0.options).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireClaims {
    sub: String,
    iss: String,
    exp: f64,
    jti: Option<String>,
    sid: Option<String>,
    workspace_id: Option<WorkspaceId>,
    #[serde(default)]
    user_events: Vec<String>,
    #[serde(default)]
    admin: bool,
}

fn unauthenticated(detail: &str) -> Problem {
    Problem::new(Code::Unauthenticated, detail)
}

impl Verifier {
    /// Keys are fetched at the first use and kept.
    pub fn new(options: VerifierOptions) -> anyhow::Result<Self> {
        // reqwest's rustls needs the process's provider; whoever came first installed the same one
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        for source in &options.sources {
            if let JwksLocation::File(path) = &source.location
                && let Err(error) = std::fs::metadata(path)
            {
                anyhow::bail!("the key set {} cannot be read: {error}", path.display());
            }
        }
        let sources = options
            .sources
            .iter()
            .map(|source| Source {
                origin: source.clone(),
                keys: ArcSwap::default(),
                attempted: Mutex::new(None),
                fetching: tokio::sync::Mutex::new(()),
            })
            .collect();
        Ok(Self(Arc::new(Inner { options, sources, client: jwks::http_client()? })))
    }

    /// A verifier for keys held by this process, beside other sources.
    pub fn with_keys(issuer: &str, jwks: serde_json::Value, mut options: VerifierOptions) -> anyhow::Result<Self> {
        let own = JwksSource { issuer: Some(issuer.to_owned()), location: JwksLocation::Inline(jwks) };
        options.sources.insert(0, own);
        Self::new(options)
    }

    /// Who the token speaks for, or why it is refused. Never says more than a stranger may know.
    pub async fn verify(&self, token: &str) -> Result<Claims, Problem> {
        let header = decode_header(token).map_err(|_| unauthenticated("the token is not a JWT"))?;
        let kid = header.kid.unwrap_or_default();
        let mut reached = self.0.sources.is_empty();
        for source in &self.0.sources {
            reached |= self.refresh(source, &kid).await;
            if let Some(key) = source.keys.load().get(&kid) {
                return self.check(token, header.alg, key, source.origin.issuer.as_deref());
            }
        }
        Err(if reached {
            unauthenticated("the token is signed with an unknown key")
        } else {
            Problem::new(Code::Unavailable, "the keys to check tokens with cannot be fetched now; try again")
        })
    }

    fn check(&self, token: &str, named: Algorithm, key: &Key, issuer: Option<&str>) -> Result<Claims, Problem> {
        if named != key.algorithm {
            return Err(unauthenticated("the token's algorithm is not that of its key"));
        }
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = self.0.options.leeway.as_secs();
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_audience(&[&self.0.options.audience]);
        validation.validate_nbf = true;
        match issuer {
            Some(issuer) => validation.set_issuer(&[issuer]),
            None => validation.set_issuer(&self.0.options.issuers),
        }
        let claims = decode::<WireClaims>(token, &key.decoding, &validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => Problem::new(Code::TokenExpired, "the token has expired"),
                ErrorKind::InvalidIssuer => unauthenticated("the token's issuer is not accepted here"),
                ErrorKind::InvalidAudience => unauthenticated("the token is meant for another audience"),
                ErrorKind::MissingRequiredClaim(claim) => unauthenticated(&format!("the token has no {claim}")),
                ErrorKind::ImmatureSignature => unauthenticated("the token is not valid yet"),
                _ => unauthenticated("the token is not valid"),
            })?
            .claims;
        #[allow(clippy::cast_possible_truncation, reason = "seconds since 1970 fit; NumericDate may have a fraction")]
        let expires_at = claims.exp as i64;
        // no leeway at the end: a session is closed at the second the token names, so none may begin after it
        if expires_at <= jiff::Timestamp::now().as_second() {
            return Err(Problem::new(Code::TokenExpired, "the token has expired"));
        }
        Ok(Claims {
            user_id: UserId::parse(&claims.sub).map_err(|_| unauthenticated("the token's subject is no user id"))?,
            workspace_id: claims.workspace_id.unwrap_or_default(),
            expires_at,
            token_id: claims.jti,
            // another issuer's may be of any form, and is not ours to end
            login: claims.sid.and_then(|login| login.parse().ok()),
            issuer: claims.iss,
            // what cannot be a name is nobody's
            user_events: claims.user_events.iter().take(MAX_USER_EVENTS).flat_map(|name| name.parse()).collect(),
            admin: claims.admin,
        })
    }

    /// Makes sure the source was asked when `kid` is unknown, within the limits. Returns whether any keys are there.
    async fn refresh(&self, source: &Source, kid: &str) -> bool {
        let age = source.attempted.lock().map(|at| at.elapsed());
        let known = source.keys.load().contains_key(kid);
        let pause = if source.keys.load().is_empty() { NO_KEYS_PAUSE } else { UNKNOWN_KID_PAUSE };
        match age {
            None => self.fetch(source).await,
            Some(age) if !known && age >= pause => self.fetch(source).await,
            Some(age) if known && age >= REFRESH_AFTER => {
                *source.attempted.lock() = Some(Instant::now());
                let (verifier, index) = (self.clone(), self.index_of(source));
                tokio::spawn(async move { verifier.fetch(&verifier.0.sources[index]).await });
            }
            // the first fetch may still be on its way
            Some(_) if source.keys.load().is_empty() => drop(source.fetching.lock().await),
            Some(_) => {}
        }
        !source.keys.load().is_empty()
    }

    fn index_of(&self, source: &Source) -> usize {
        self.0.sources.iter().position(|other| std::ptr::eq(other, source)).unwrap_or_default()
    }

    async fn fetch(&self, source: &Source) {
        let asked = Instant::now();
        let _one = source.fetching.lock().await;
        if source.attempted.lock().is_some_and(|at| at >= asked) {
            return; // somebody fetched while we waited
        }
        *source.attempted.lock() = Some(Instant::now());
        match jwks::load(&source.origin.location, &self.0.client).await {
            Ok(keys) => source.keys.store(Arc::new(keys)),
            Err(error) => {
                tracing::warn!(%error, "key set not refreshed; the keys known so far stay in use");
            }
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("origin", &self.origin).finish_non_exhaustive()
    }
}
