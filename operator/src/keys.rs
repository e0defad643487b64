//! The Secret that the operator makes once for each `ChatCluster`: the key that signs tokens and the secret by which the
//! services know each other. Made, and never changed: to rotate it, delete it.

use std::collections::BTreeMap;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use rand::RngExt;

use crate::secrets::{SERVICE_TOKEN, SIGNING_KEY};

/// A fresh Secret. `metadata` carries name, namespace, labels and owner.
pub(crate) fn generate(metadata: ObjectMeta) -> Result<Secret, aws_lc_rs::error::Unspecified> {
    let der = Ed25519KeyPair::generate()?.to_pkcs8()?;
    let token: String = rand::rng().sample_iter(rand::distr::Alphanumeric).take(48).map(char::from).collect();
    let data = BTreeMap::from([
        (SIGNING_KEY.to_owned(), ByteString(pem(der.as_ref()).into_bytes())),
        (SERVICE_TOKEN.to_owned(), ByteString(token.into_bytes())),
    ]);
    Ok(Secret {
        metadata,
        data: Some(data),
        immutable: Some(true),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    })
}

fn pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_is_another_and_holds_a_key_that_can_be_read() {
        let (one, two) = (generate(ObjectMeta::default()).unwrap(), generate(ObjectMeta::default()).unwrap());
        assert_ne!(one.data, two.data);
        let pem = String::from_utf8(one.data.unwrap()[SIGNING_KEY].0.clone()).unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        Ed25519KeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap();
    }
}
