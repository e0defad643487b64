//! Tokens of an outside issuer: its subjects may chat, and can be nobody who signed up here.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chatcluster_testkit::{Client, Deployment, Resume, WAIT};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

const ISSUER: &str = "https://idp.example";

/// Needs its own settings, so it starts a deployment of its own beside the one it is given.
pub(crate) async fn an_outside_issuers_subject_is_itself_and_nobody_else(_: &Deployment) -> Result<()> {
    let pair = Ed25519KeyPair::generate()?;
    let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("jwks.json");
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": public, "kid": "idp", "alg": "EdDSA"});
    std::fs::write(&path, json!({"keys": [jwk]}).to_string())?;
    let source = format!("{ISSUER}={}", path.display());
    let deployment = Deployment::builder().embedded().env("CHATCLUSTER_JWKS", &source).start().await?;
    let key = EncodingKey::from_ed_der(pair.to_pkcs8v1()?.as_ref());
    let token = |subject: &str, issuer: &str| -> Result<String> {
        let expires = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 600;
        let claims = json!({"iss": issuer, "aud": "chatcluster", "sub": subject, "exp": expires});
        let header = Header { kid: Some("idp".into()), ..Header::new(Algorithm::EdDSA) };
        Ok(encode(&header, &claims, &key)?)
    };

    let ann = deployment.user("ann").await?;
    let url = &deployment.gateway_ws_urls()[0];
    let zoe = token("idp|zoe", ISSUER)?;
    let at_zoe = Client::connect(url, &zoe, Resume::None).await?;
    ensure!(at_zoe.session()["userId"] == "idp|zoe", "{}", at_zoe.session());
    let (status, conversation) = ann.api.create_conversation("dm", &["idp|zoe"]).await?;
    ensure!(status == 201, "{status} {conversation}");
    let id = conversation["id"].as_str().unwrap_or_default();
    ann.api.send(id, "m1", "welcome").await?;
    at_zoe.wait_for(|frame| frame["type"] == "MESSAGE" && frame["content"] == "welcome", WAIT).await?;

    for forged in [token(&ann.id, ISSUER)?, token(&ann.id, "chatcluster")?] {
        let refused = Client::connect(url, &forged, Resume::None).await;
        ensure!(refused.is_err(), "somebody else got ann's session");
        let (status, problem) = ann.api.with_token(&forged).get("/v1/me").await?;
        ensure!(status == 401 || status == 403, "{status} {problem}");
    }
    deployment.stop().await
}
