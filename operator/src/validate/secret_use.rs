//! Which secret values are used by whom: what is missing is noted, what is there is fingerprinted.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{Component, Invalid, names};
use crate::{
    crd::SecretKeyRef,
    secrets::{Missing, Secrets},
};

/// What cannot work without a value of a Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UsedBy {
    Kafka,
    Redis,
    Database,
    Auth,
}

impl UsedBy {
    /// Do pods of this component get the value, and roll when it changes?
    const fn concerns(self, component: Component) -> bool {
        matches!((self, component), (Self::Database, Component::Core) | (Self::Kafka | Self::Redis | Self::Auth, _))
    }
}

/// Where pods get a setting from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Written in the manifest; no secret.
    Inline(String),
    Secret(SecretKeyRef),
}

/// The first 16 hex digits of the SHA-256 of `parts`, each with its length, so that no two lists look the same.
pub(crate) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    let first = hash.finalize().iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("{first:016x}")
}

/// Fingerprints of the secret values in use: other keys of a Secret do not change them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHashes {
    components: BTreeMap<Component, String>,
    /// Of the database's URL alone.
    pub database: String,
}

impl SecretHashes {
    pub fn of(&self, component: Component) -> &str {
        self.components.get(&component).map_or("", String::as_str)
    }
}

/// Hands out values and takes notes.
pub(super) struct SecretUse<'a> {
    secrets: &'a Secrets,
    missing: Vec<(UsedBy, Missing)>,
    used: Vec<Used>,
}

struct Used {
    by: UsedBy,
    only: Option<Component>,
    /// Secret, key, value.
    what: [String; 3],
}

/// A value that was asked for.
pub(super) struct Wanted<'a> {
    pub(super) by: UsedBy,
    /// By these components' pods only; `None`: by all that `by` has.
    pub(super) only: Option<Component>,
    pub(super) field: &'a str,
    /// Pods get the value as it is, and none of its readers would take white space around it away.
    pub(super) verbatim: bool,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(by: UsedBy, field: &'a str) -> Self {
        Self { by, only: None, field, verbatim: false }
    }
}

impl<'a> SecretUse<'a> {
    pub(super) fn new(secrets: &'a Secrets) -> Self {
        Self { secrets, missing: Vec::new(), used: Vec::new() }
    }

    /// The value of `reference`, when it is there and `check` takes it. `check` says what it should be, and never
    /// quotes it.
    pub(super) fn value<T>(
        &mut self,
        wanted: &Wanted<'_>,
        reference: &SecretKeyRef,
        check: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Invalid> {
        let SecretKeyRef { name, key } = reference;
        names::object_name(&format!("{}.name", wanted.field), name)?;
        let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if key.is_empty() || key.len() > 253 || !key.bytes().all(is_key) {
            let reason = format!("{key:?} cannot be a key of a Secret: letters, digits, '-', '_' and '.'");
            return Err(Invalid::new(format!("{}.key", wanted.field), reason));
        }
        let found = self.secrets.text(name, key).and_then(|text| {
            let malformed = |reason| Missing::Unusable { secret: name.clone(), key: key.clone(), reason };
            if wanted.verbatim && self.secrets.is_padded(name, key) {
                return Err(malformed(
                    "has white space at its begin or end, which pods would take as part of it".to_owned(),
                ));
            }
            Ok((text, check(text).map_err(malformed)?))
        });
        match found {
            Ok((text, value)) => {
                let what = [name.clone(), key.clone(), text.to_owned()];
                self.used.push(Used { by: wanted.by, only: wanted.only, what });
                Ok(Some(value))
            }
            Err(missing) => {
                let note = (wanted.by, missing);
                if !self.missing.contains(&note) {
                    self.missing.push(note);
                }
                Ok(None)
            }
        }
    }

    /// What is missing, and the fingerprints.
    pub(super) fn finish(self) -> (Vec<(UsedBy, Missing)>, SecretHashes) {
        let hash = |is_used: &dyn Fn(&Used) -> bool| {
            fingerprint(self.used.iter().filter(|used| is_used(used)).flat_map(|used| &used.what).map(String::as_str))
        };
        let component = |component| {
            let is_used = |used: &Used| used.by.concerns(component) && used.only.is_none_or(|only| only == component);
            (component, hash(&is_used))
        };
        let components = Component::ALL.into_iter().map(component).collect();
        let hashes = SecretHashes { components, database: hash(&|used| used.by == UsedBy::Database) };
        (self.missing, hashes)
    }
}

/// PEM with a block of this name.
pub(super) fn pem(block: &'static str) -> impl Fn(&str) -> Result<String, String> {
    move |text| {
        let begin = format!("-----BEGIN {block}-----");
        if text.contains(&begin) { Ok(text.to_owned()) } else { Err(format!("is no PEM: it has no {begin}")) }
    }
}
