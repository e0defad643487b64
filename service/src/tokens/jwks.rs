//! Where keys come from, and the set as last fetched.

use std::{collections::HashMap, convert::Infallible, path::PathBuf, str::FromStr, time::Duration};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksLocation {
    File(PathBuf),
    Url(String),
    /// Keys of this very process.
    Inline(serde_json::Value),
}

/// One key set: `<file or URL>`, or `<issuer>=<file or URL>` to accept only that issuer's tokens from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksSource {
    pub issuer: Option<String>,
    pub location: JwksLocation,
}

impl FromStr for JwksSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        // the last "=http(s)://" or "=/" separates: issuers are URLs themselves and may contain '='
        let split = ["=https://", "=http://", "=/", "=./"].iter().filter_map(|mark| text.rfind(mark)).max();
        let (issuer, location) = match split {
            // a query string's `?x=/y` of a bare URL is no issuer
            Some(at) if !text[..at].contains('?') => (Some(text[..at].to_owned()), &text[at + 1..]),
            _ => (None, text),
        };
        let is_url = location.starts_with("http://") || location.starts_with("https://");
        let location = if is_url { JwksLocation::Url(location.into()) } else { JwksLocation::File(location.into()) };
        Ok(Self { issuer, location })
    }
}

/// A key with the one algorithm it may be used with.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// Keys by `kid`; a key without one is found under the empty text.
pub(super) type Keys = HashMap<String, Key>;

#[derive(Debug, thiserror::Error)]
pub(super) enum JwksError {
    #[error("failed to read the key set: {0}")]
    Io(#[from] std::io::Error),
    #[error("failed to fetch the key set: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the key set is not a JWKS: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the key set has no usable signing key")]
    Empty,
}

pub(super) fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().timeout(Duration::from_secs(5)).redirect(reqwest::redirect::Policy::none()).build()
}

/// Largest key set read, in bytes.
const MAX_BYTES: usize = 256 * 1024;

pub(super) async fn load(location: &JwksLocation, client: &reqwest::Client) -> Result<Keys, JwksError> {
    let set: JwkSet = match location {
        JwksLocation::File(path) => serde_json::from_slice(&tokio::fs::read(path).await?)?,
        JwksLocation::Url(url) => {
            let mut answer = client.get(url).send().await?.error_for_status()?;
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await? {
                body.extend_from_slice(&chunk);
                if body.len() > MAX_BYTES {
                    return Err(JwksError::Empty);
                }
            }
            serde_json::from_slice(&body)?
        }
        JwksLocation::Inline(value) => serde_json::from_value(value.clone())?,
    };
    let keys: Keys = set.keys.iter().filter_map(usable).collect();
    if keys.is_empty() { Err(JwksError::Empty) } else { Ok(keys) }
}

/// Keys of kinds we do not verify with are passed over, as RFC 7517 section 5 asks.
fn usable(jwk: &Jwk) -> Option<(String, Key)> {
    let algorithm = algorithm(jwk)?;
    let decoding = DecodingKey::from_jwk(jwk).ok()?;
    Some((jwk.common.key_id.clone().unwrap_or_default(), Key { algorithm, decoding }))
}

/// One algorithm per key, from the key and never from the token. Symmetric keys are not accepted.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    let named = match jwk.common.key_algorithm {
        None => None,
        Some(KeyAlgorithm::RS256) => Some(Algorithm::RS256),
        Some(KeyAlgorithm::ES256) => Some(Algorithm::ES256),
        Some(KeyAlgorithm::EdDSA) => Some(Algorithm::EdDSA),
        Some(_) => return None,
    };
    let natural = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    (named.is_none() || named == Some(natural)).then_some(natural)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> JwksSource {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_is_a_place_with_or_without_its_issuer() {
        assert_eq!(source("/etc/jwks.json").location, JwksLocation::File("/etc/jwks.json".into()));
        assert_eq!(source("https://a/k?x=1").issuer, None);
        let bound = source("https://issuer.example/=https://issuer.example/keys");
        assert_eq!(bound.issuer.as_deref(), Some("https://issuer.example/"));
        assert_eq!(bound.location, JwksLocation::Url("https://issuer.example/keys".into()));
    }
}
