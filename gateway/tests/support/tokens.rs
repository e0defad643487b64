//! An issuer of access tokens with a key made for the one test.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chatcluster_service::tokens::{DEFAULT_AUDIENCE, DEFAULT_ISSUER, Verifier, VerifierOptions};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

pub struct Issuer {
    key: EncodingKey,
    jwks: serde_json::Value,
}

impl Issuer {
    pub fn new() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": public, "kid": "k1", "alg": "EdDSA", "use": "sig"});
        Self { key: EncodingKey::from_ed_der(pkcs8.as_ref()), jwks: json!({"keys": [jwk]}) }
    }

    pub fn verifier(&self) -> Verifier {
        let options = VerifierOptions {
            sources: Vec::new(),
            issuers: vec![DEFAULT_ISSUER.into()],
            audience: DEFAULT_AUDIENCE.into(),
            leeway: std::time::Duration::ZERO,
        };
        Verifier::with_keys(DEFAULT_ISSUER, self.jwks.clone(), options).unwrap()
    }

    pub fn token(&self, user: &str) -> String {
        self.token_for(user, 3600)
    }

    /// Valid for so many seconds from now.
    pub fn token_for(&self, user: &str, seconds: i64) -> String {
        self.signed(user, seconds, &json!({}))
    }

    /// With further claims.
    pub fn token_with(&self, user: &str, further: &serde_json::Value) -> String {
        self.signed(user, 3600, further)
    }

    fn signed(&self, user: &str, seconds: i64, further: &serde_json::Value) -> String {
        let now = jiff::Timestamp::now().as_second();
        let mut claims = json!({
            "iss": DEFAULT_ISSUER, "aud": DEFAULT_AUDIENCE, "sub": user, "iat": now - 10, "exp": now + seconds,
        });
        for (name, value) in further.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, &claims, &self.key).unwrap()
    }
}
