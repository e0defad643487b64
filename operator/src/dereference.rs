//! Reads the Secrets that a `ChatCluster` names, by name and one by one: the operator may neither list nor watch them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use crate::{keys, secrets::Secrets};

#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("failed to read Secret {name}: {source}")]
    Read { name: String, source: kube::Error },
    #[error("failed to make Secret {name}: {source}")]
    Make { name: String, source: kube::Error },
    #[error("failed to generate keys")]
    Generate,
}

type Data = BTreeMap<String, Vec<u8>>;

fn data(secret: Secret) -> Data {
    secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()
}

pub(crate) async fn read(
    client: &Client,
    namespace: &str,
    names: impl IntoIterator<Item = String>,
) -> Result<Secrets, SecretError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut secrets = Secrets::default();
    for name in names {
        let found = api.get_opt(&name).await.map_err(|source| SecretError::Read { name: name.clone(), source })?;
        secrets.insert(&name, found.map(data));
    }
    Ok(secrets)
}

/// Reads the Secret of the operator's own making; makes it when it is not there and `metadata` says how.
pub(crate) async fn own_keys(
    client: &Client,
    namespace: &str,
    name: &str,
    metadata: Option<ObjectMeta>,
) -> Result<(Option<Data>, bool), SecretError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let read = |source| SecretError::Read { name: name.to_owned(), source };
    if let Some(found) = api.get_opt(name).await.map_err(read)? {
        return Ok((Some(data(found)), false));
    }
    let Some(metadata) = metadata else { return Ok((None, false)) };
    let fresh = keys::generate(metadata).map_err(|_| SecretError::Generate)?;
    match api.create(&PostParams::default(), &fresh).await {
        Ok(made) => Ok((Some(data(made)), true)),
        // another operator was faster: its keys count
        Err(kube::Error::Api(status)) if status.code == 409 => {
            Ok((api.get_opt(name).await.map_err(read)?.map(data), false))
        }
        Err(source) => Err(SecretError::Make { name: name.to_owned(), source }),
    }
}
