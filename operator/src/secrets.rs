//! The values of Secrets that a `ChatCluster` names, as they were read.

use std::collections::{BTreeMap, BTreeSet};

use crate::crd::{ChatClusterSpec, SecretKeyRef};

/// Keys of the Secret that `kafka.credentialsSecretRef` names.
pub const USERNAME: &str = "username";
pub const PASSWORD: &str = "password";
/// Keys of the Secret that the operator makes.
pub const SERVICE_TOKEN: &str = "service-token";
pub const SIGNING_KEY: &str = "signing-key.pem";

/// What was read of each Secret: `None`, there is no such Secret.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, Option<BTreeMap<String, Vec<u8>>>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why a value is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    #[error("Secret {0} does not exist")]
    Secret(String),
    #[error("Secret {secret} has no key {key}")]
    Key { secret: String, key: String },
    #[error("key {key} of Secret {secret} is not text")]
    Text { secret: String, key: String },
    #[error("key {key} of Secret {secret} {reason}")]
    Unusable { secret: String, key: String, reason: String },
}

impl Secrets {
    pub fn insert(&mut self, name: &str, data: Option<BTreeMap<String, Vec<u8>>>) {
        self.0.insert(name.to_owned(), data);
    }

    /// The text of one key, without white space around it: files end with a newline that nobody meant.
    pub fn text(&self, secret: &str, key: &str) -> Result<&str, Missing> {
        let data = self.0.get(secret).and_then(Option::as_ref).ok_or_else(|| Missing::Secret(secret.to_owned()))?;
        let missing = || Missing::Key { secret: secret.to_owned(), key: key.to_owned() };
        let value = data.get(key).ok_or_else(missing)?;
        let text = std::str::from_utf8(value)
            .map_err(|_| Missing::Text { secret: secret.to_owned(), key: key.to_owned() })?
            .trim();
        if text.is_empty() { Err(missing()) } else { Ok(text) }
    }

    /// Is there white space around the text of this key, which [`text`](Self::text) leaves out?
    pub fn is_padded(&self, secret: &str, key: &str) -> bool {
        let value = self.0.get(secret).and_then(Option::as_ref).and_then(|data| data.get(key));
        value.is_some_and(|value| value.trim_ascii().len() != value.len())
    }
}

/// Names of the Secrets that a spec names, besides those the operator makes.
pub fn named(spec: &ChatClusterSpec) -> BTreeSet<String> {
    let keys: [Option<&SecretKeyRef>; 6] = [
        spec.kafka.tls.as_ref().and_then(|tls| tls.ca_secret_ref.as_ref()),
        spec.redis.url_secret_ref.as_ref(),
        spec.redis.ca_secret_ref.as_ref(),
        spec.database.url_secret_ref.as_ref(),
        spec.auth.signing_key_secret_ref.as_ref(),
        spec.auth.service_token_secret_ref.as_ref(),
    ];
    let names = keys.into_iter().flatten().map(|reference| reference.name.clone());
    names.chain(spec.kafka.credentials_secret_ref.iter().map(|reference| reference.name.clone())).collect()
}
