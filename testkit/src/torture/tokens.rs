//! Access tokens made with core's own key: hundreds of sign-ins would only measure the hashing of passwords, and some
//! tokens have to be short.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use crate::Api;

pub(crate) struct Tokens {
    key: EncodingKey,
    key_id: String,
}

impl Tokens {
    /// `folder`: where core keeps its key.
    pub(crate) async fn load(folder: &Path, api: &Api) -> Result<Self> {
        let path = folder.join("signing-key.pem");
        let pem = std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
        Self::of_key(&pem, api).await
    }

    /// `pem`: core's key; its name is asked for at `api`.
    pub(crate) async fn of_key(pem: &[u8], api: &Api) -> Result<Self> {
        let key = EncodingKey::from_ed_pem(pem).context("failed to read core's key")?;
        let (_, keys) = api.get("/.well-known/jwks.json").await?;
        let key_id = keys["keys"][0]["kid"].as_str().context("core names no key")?.to_owned();
        Ok(Self { key, key_id })
    }

    pub(crate) fn issue(&self, user: &str, lifetime: Duration) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let claims = json!({
            "iss": "chatcluster", "aud": "chatcluster", "sub": user, "workspaceId": "default",
            "iat": now, "exp": now + lifetime.as_secs(),
        });
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, &claims, &self.key).context("failed to sign a token")
    }
}
