//! How pods and operator reach Redis.

use ::redis::IntoConnectionInfo;
use chatcluster_contracts::redis_keys::Keys;
use chatcluster_service::config::Secret;

use super::{
    HostPort, Invalid, Source, UsedBy,
    address::{self, Url},
    secret_use::{SecretUse, Wanted, pem},
};
use crate::{
    crd::{RedisMode, RedisSpec, SecretKeyRef},
    redis::ConnectionOptions,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    pub url: Source,
    pub ca: Option<SecretKeyRef>,
    pub mode: RedisMode,
    pub prefix: String,
    /// About how many entries each gateway's stream keeps.
    pub stream_max_length: u64,
    /// Names of its keys.
    pub keys: Keys,
    /// `None`: the Secret with the URL is missing.
    pub address: Option<HostPort>,
    /// For the operator itself. `None`: a Secret is missing.
    pub connection: Option<ConnectionOptions>,
}

const REDIS_PORT: u16 = 6379;

pub(super) fn redis(spec: &RedisSpec, used: &mut SecretUse<'_>) -> Result<Redis, Invalid> {
    let (source, url) = match (&spec.url, &spec.url_secret_ref) {
        (Some(text), None) => {
            let invalid = |reason: String| Invalid::new("spec.redis.url", reason);
            let parsed = parse(text, spec.mode).map_err(invalid)?;
            if parsed.has_password {
                return Err(invalid("has a password: use urlSecretRef".to_owned()));
            }
            if spec.ca_secret_ref.is_some() && parsed.scheme != "rediss" {
                return Err(Invalid::new("spec.redis.caSecretRef", "is for a rediss:// URL"));
            }
            (Source::Inline(text.clone()), Some((Secret::new(text.as_str()), parsed.address)))
        }
        (None, Some(reference)) => {
            let wanted = Wanted::new(UsedBy::Redis, "spec.redis.urlSecretRef");
            let url =
                used.value(&wanted, reference, |text| Ok((Secret::new(text), parse(text, spec.mode)?.address)))?;
            (Source::Secret(reference.clone()), url)
        }
        _ => return Err(Invalid::new("spec.redis", "needs exactly one of url and urlSecretRef")),
    };
    let ca = spec.ca_secret_ref.as_ref().map(|reference| {
        used.value(&Wanted::new(UsedBy::Redis, "spec.redis.caSecretRef"), reference, pem("CERTIFICATE"))
    });
    // outer: is one wanted; inner: is it there
    let ca_pem: Option<Option<String>> = ca.transpose()?;
    if spec.prefix.len() > 64 || !spec.prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b)) {
        let reason = format!("{:?} must have at most 64 letters, digits, '.', '_', ':' and '-'", spec.prefix);
        return Err(Invalid::new("spec.redis.prefix", reason));
    }
    if !(100..=10_000_000).contains(&spec.stream_max_length) {
        return Err(Invalid::new("spec.redis.streamMaxLength", "must be from 100 to 10000000"));
    }
    let (url, address) = url.unzip();
    let options = |url: Secret, ca_pem| ConnectionOptions {
        url: url.expose().to_owned(),
        username: None,
        password: None,
        ca_pem,
        cluster: spec.mode == RedisMode::Cluster,
    };
    let connection = match (url, ca_pem) {
        (Some(url), None) => Some(options(url, None)),
        (Some(url), Some(Some(pem))) => Some(options(url, Some(pem))),
        _ => None,
    };
    Ok(Redis {
        url: source,
        ca: spec.ca_secret_ref.clone(),
        mode: spec.mode,
        prefix: spec.prefix.clone(),
        stream_max_length: spec.stream_max_length,
        keys: Keys::with_prefix(&spec.prefix),
        address,
        connection,
    })
}

fn parse(text: &str, mode: RedisMode) -> Result<Url, String> {
    const HOW: &str = "write redis://host:port, or rediss:// for TLS";
    let port = |scheme: &str| matches!(scheme, "redis" | "rediss").then_some(REDIS_PORT);
    let url = address::url(text, port).map_err(|reason| format!("{reason}; {HOW}"))?;
    // the client's own opinion, whose words may quote the URL
    let info = text.into_connection_info().map_err(|_| format!("is not a URL of Redis; {HOW}"))?;
    if mode == RedisMode::Cluster && info.redis_settings().db() != 0 {
        return Err("names a database: a Redis Cluster has only number 0".to_owned());
    }
    Ok(url)
}
