//! The Ed25519 key that signs access tokens: given as a file, or created once in the data folder.

use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::EncodingKey;
use serde_json::json;
use sha2::{Digest, Sha256};

/// Its name in the data folder.
pub const FILE: &str = "signing-key.pem";

pub struct SigningKey {
    encoding: EncodingKey,
    public: Vec<u8>,
    key_id: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads PKCS#8 PEM.
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        let encoding = EncodingKey::from_ed_pem(pem).context("the signing key is not an Ed25519 key in PKCS#8 PEM")?;
        let pair = Ed25519KeyPair::from_pkcs8(encoding.as_bytes())
            .map_err(|error| anyhow::anyhow!("the signing key is not usable: {error}"))?;
        let public = pair.public_key().as_ref().to_vec();
        // The start of the key's hash: the same in every process that has the key.
        let key_id = URL_SAFE_NO_PAD.encode(&Sha256::digest(&public)[..12]);
        Ok(Self { encoding, public, key_id })
    }

    pub fn from_file(path: &Path) -> Result<Self> {
        let pem = fs::read(path).with_context(|| format!("failed to read the signing key {}", path.display()))?;
        Self::from_pem(&pem).with_context(|| format!("in {}", path.display()))
    }

    /// The key in `folder`, created when there is none. Processes that start together agree on one.
    pub fn load_or_create(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        if !path.exists() {
            fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
            create(&path).with_context(|| format!("failed to write {}", path.display()))?;
        }
        Self::from_file(&path)
    }

    pub(super) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }

    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// RFC 8037: an octet key pair, public half.
    pub fn jwks(&self) -> serde_json::Value {
        let x = URL_SAFE_NO_PAD.encode(&self.public);
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.key_id, "x": x}]})
    }
}

/// Writes a fresh key beside the path and links it into place: whoever comes second keeps the first one's.
fn create(path: &Path) -> Result<()> {
    let document = Ed25519KeyPair::generate()?.to_pkcs8()?;
    ensure!(!document.as_ref().is_empty(), "no key was generated");
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let text = STANDARD.encode(document.as_ref());
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    let fresh = path.with_extension(format!("{}.new", uuid::Uuid::new_v4()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&fresh, path);
    fs::remove_file(&fresh)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_nobody_else_reads_it() {
        let folder = std::env::temp_dir().join(format!("cc-keys-{}", uuid::Uuid::new_v4()));
        let first = SigningKey::load_or_create(&folder).unwrap();
        let second = SigningKey::load_or_create(&folder).unwrap();
        assert_eq!(first.jwks(), second.jwks());
        let mode = fs::metadata(folder.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn other_text_is_no_key() {
        assert!(SigningKey::from_pem(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").is_err());
    }
}
