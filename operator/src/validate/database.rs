//! Where the database is, and who publishes its outbox. The operator does not talk to it; pods do.

use super::{
    HostPort, Invalid, Source, UsedBy,
    address::{self, Url},
    secret_use::{SecretUse, Wanted},
};
use crate::crd::{DatabaseSpec, OutboxRelay, OutboxSpec};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    pub url: Source,
    /// `None`: the Secret with the URL is missing.
    pub address: Option<HostPort>,
    pub connections_per_pod: u32,
}

const MYSQL_PORT: u16 = 3306;

pub(super) fn database(spec: &DatabaseSpec, used: &mut SecretUse<'_>) -> Result<Database, Invalid> {
    if !(2..=1000).contains(&spec.connections_per_pod) {
        return Err(Invalid::new("spec.database.connectionsPerPod", "must be from 2 to 1000"));
    }
    let (url, address) = match (&spec.url, &spec.url_secret_ref) {
        (Some(url), None) => {
            let parsed = parse(url).map_err(|reason| Invalid::new("spec.database.url", reason))?;
            if parsed.has_password {
                return Err(Invalid::new("spec.database.url", "has a password: use urlSecretRef"));
            }
            (Source::Inline(url.clone()), Some(parsed.address))
        }
        (None, Some(reference)) => {
            let wanted = Wanted::new(UsedBy::Database, "spec.database.urlSecretRef");
            let address = used.value(&wanted, reference, |url| parse(url).map(|url| url.address))?;
            (Source::Secret(reference.clone()), address)
        }
        _ => return Err(Invalid::new("spec.database", "needs exactly one of url and urlSecretRef")),
    };
    Ok(Database { url, address, connections_per_pod: spec.connections_per_pod })
}

fn parse(text: &str) -> Result<Url, String> {
    let port = |scheme: &str| matches!(scheme, "mysql" | "mariadb").then_some(MYSQL_PORT);
    let url = address::url(text, port).map_err(|reason| format!("{reason}; write mysql://user@host:port/database"))?;
    let name = url.rest.strip_prefix('/').unwrap_or_default().split(['?', '#']).next().unwrap_or_default();
    if name.is_empty() { Err("names no database: write mysql://user@host:port/database".to_owned()) } else { Ok(url) }
}

/// How long rows of the outbox stay for an external relay; `None`: core publishes them.
pub(super) fn outbox_keep(spec: &OutboxSpec) -> Result<Option<String>, Invalid> {
    chatcluster_service::config::duration(&spec.keep).map_err(|reason| Invalid::new("spec.outbox.keep", reason))?;
    Ok((spec.relay == OutboxRelay::External).then(|| spec.keep.clone()))
}
