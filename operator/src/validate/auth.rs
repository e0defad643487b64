//! Whose tokens are accepted, and the secrets that the services share.

use super::{
    HostPort, Invalid, ObjectNames, UsedBy, address,
    component::Component,
    secret_use::{SecretUse, Wanted, pem},
};
use crate::{
    crd::{AuthSpec, SecretKeyRef},
    secrets::{SERVICE_TOKEN, SIGNING_KEY},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Key sets of outside issuers, each for one issuer.
    pub key_sets: Vec<KeySet>,
    pub audience: String,
    pub signing_key: SecretKeyRef,
    pub service_token: SecretKeyRef,
    /// Does the manifest leave one of the two to the operator?
    pub own_keys: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    pub issuer: String,
    pub url: String,
    pub address: HostPort,
}

pub(super) fn auth(spec: &AuthSpec, objects: &ObjectNames, used: &mut SecretUse<'_>) -> Result<Auth, Invalid> {
    if spec.audience.is_empty() || spec.audience.len() > 255 {
        return Err(Invalid::new("spec.auth.audience", "must have 1 to 255 characters"));
    }
    let own = |key: &str| SecretKeyRef { name: objects.keys().into(), key: key.to_owned() };
    let signing_key = spec.signing_key_secret_ref.clone().unwrap_or_else(|| own(SIGNING_KEY));
    let service_token = spec.service_token_secret_ref.clone().unwrap_or_else(|| own(SERVICE_TOKEN));
    let wanted = Wanted { only: Some(Component::Core), ..Wanted::new(UsedBy::Auth, "spec.auth.signingKeySecretRef") };
    used.value(&wanted, &signing_key, pem("PRIVATE KEY"))?;
    let wanted = Wanted { verbatim: true, ..Wanted::new(UsedBy::Auth, "spec.auth.serviceTokenSecretRef") };
    used.value(&wanted, &service_token, |text| {
        chatcluster_service::config::service_token(text).map_err(|reason| format!("cannot be used: {reason}"))
    })?;
    Ok(Auth {
        key_sets: key_sets(spec)?,
        audience: spec.audience.clone(),
        own_keys: spec.signing_key_secret_ref.is_none() || spec.service_token_secret_ref.is_none(),
        signing_key,
        service_token,
    })
}

/// A URL that names no issuer stands for each of `issuers`: core and gateways then need no rule of their own for it.
fn key_sets(spec: &AuthSpec) -> Result<Vec<KeySet>, Invalid> {
    for (index, issuer) in spec.issuers.iter().enumerate() {
        if issuer.is_empty() || issuer.contains(',') {
            return Err(Invalid::new(format!("spec.auth.issuers[{index}]"), "must be a name without commas"));
        }
    }
    let mut sets = Vec::new();
    for (index, text) in spec.jwks.iter().enumerate() {
        let field = format!("spec.auth.jwks[{index}]");
        let invalid = |reason: String| Invalid::new(field.clone(), reason);
        if text.contains(',') {
            return Err(invalid("has a comma, which would end it".to_owned()));
        }
        // as the services read it: issuers are URLs themselves and may contain '='
        let split = ["=https://", "=http://"].iter().filter_map(|mark| text.rfind(mark)).max();
        let (issuer, url) = match split {
            Some(at) if !text[..at].contains('?') => (Some(&text[..at]), &text[at + 1..]),
            _ => (None, text.as_str()),
        };
        let address =
            address::http(url).map_err(|reason| invalid(format!("{reason}; write issuer=https://host/path")))?;
        let issuers = match issuer {
            Some(issuer) => vec![issuer.to_owned()],
            None => spec.issuers.clone(),
        };
        if issuers.is_empty() || issuers.contains(&String::new()) {
            return Err(invalid("names no issuer: write issuer=https://host/path, or fill auth.issuers".to_owned()));
        }
        sets.extend(issuers.into_iter().map(|issuer| KeySet { issuer, url: url.to_owned(), address: address.clone() }));
    }
    Ok(sets)
}
