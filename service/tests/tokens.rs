//! Whose tokens are accepted, and what happens while the issuer is away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{Ed25519KeyPair, KeyPair},
};
use axum::{Json, Router, http::StatusCode, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use chatcluster_contracts::problem::Code;
use chatcluster_service::tokens::{JwksSource, Verifier, VerifierOptions};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

struct Issuer {
    key: EncodingKey,
    jwk: Value,
    algorithm: Algorithm,
}

fn ed25519(kid: &str) -> Issuer {
    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": BASE64.encode(pair.public_key().as_ref())});
    let key = EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref());
    Issuer { key, jwk, algorithm: Algorithm::EdDSA }
}

fn rsa(kid: &str) -> Issuer {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let number = |bytes: &[u8]| BASE64.encode(bytes);
    let (n, e) = (public.modulus(), public.exponent());
    let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
    let jwk = json!({"kty": "RSA", "kid": kid, "alg": "RS256", "n": number(n), "e": number(e)});
    // jsonwebtoken reads PKCS#1; that is the last OCTET STRING of PKCS#8
    let pkcs8 = AsDer::as_der(&pair).unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(pkcs8.as_ref())
    );
    Issuer { key: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), jwk, algorithm: Algorithm::RS256 }
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn claims() -> Value {
    json!({"sub": "ann", "iss": "chatcluster", "aud": "chatcluster", "exp": now() + 60, "workspaceId": "acme"})
}

impl Issuer {
    fn sign(&self, kid: &str, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(kid.into());
        encode(&header, claims, &self.key).unwrap()
    }
}

fn options(sources: Vec<JwksSource>) -> VerifierOptions {
    VerifierOptions {
        sources,
        issuers: vec!["chatcluster".into()],
        audience: "chatcluster".into(),
        leeway: Duration::from_secs(1),
    }
}

async fn code(verifier: &Verifier, token: &str) -> Code {
    verifier.verify(token).await.unwrap_err().code
}

#[tokio::test]
async fn a_good_token_speaks_for_its_subject() {
    for issuer in [ed25519("k1"), rsa("k1")] {
        let keys = json!({"keys": [issuer.jwk]});
        let verifier = Verifier::with_keys("chatcluster", keys, options(vec![])).unwrap();
        let claims = verifier.verify(&issuer.sign("k1", &claims())).await.unwrap();
        assert_eq!((claims.user_id.as_str(), claims.workspace_id.as_str()), ("ann", "acme"));
    }
}

#[tokio::test]
async fn everything_else_is_refused() {
    let issuer = ed25519("k1");
    let verifier = Verifier::with_keys("chatcluster", json!({"keys": [issuer.jwk]}), options(vec![])).unwrap();
    for (member, value) in [
        ("exp", Value::Null),
        ("iss", json!("somebody else")),
        ("iss", Value::Null),
        ("aud", json!("another service")),
        ("aud", Value::Null),
        ("sub", Value::Null),
        ("sub", json!("a b")),
        ("nbf", json!(now() + 600)),
    ] {
        let mut claims = claims();
        claims[member] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(member);
        }
        assert_eq!(code(&verifier, &issuer.sign("k1", &claims)).await, Code::Unauthenticated, "{member} {value}");
    }
    let mut old = claims();
    for age in [0, 1, 10, 100_000] {
        old["exp"] = json!(now() - age);
        assert_eq!(code(&verifier, &issuer.sign("k1", &old)).await, Code::TokenExpired, "{age} s ago");
    }
    assert_eq!(code(&verifier, &ed25519("k1").sign("k1", &claims())).await, Code::Unauthenticated, "another key");
    assert_eq!(code(&verifier, &issuer.sign("k2", &claims())).await, Code::Unauthenticated, "an unknown kid");
    // the public key as an HMAC secret, and no signature at all
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("k1".into());
    let secret = BASE64.decode(issuer.jwk["x"].as_str().unwrap()).unwrap();
    let confused = encode(&header, &claims(), &EncodingKey::from_secret(&secret)).unwrap();
    assert_eq!(code(&verifier, &confused).await, Code::Unauthenticated);
    let none = format!("{}.{}.", BASE64.encode(r#"{"alg":"none","kid":"k1"}"#), BASE64.encode(claims().to_string()));
    assert_eq!(code(&verifier, &none).await, Code::Unauthenticated);
    for text in ["", ".", "..", "a.b.c", &"x".repeat(10_000)] {
        assert_eq!(code(&verifier, text).await, Code::Unauthenticated);
    }
}

/// A key server that counts who asks, and can be broken.
async fn key_server(keys: Value) -> (String, Arc<AtomicU32>, Arc<AtomicBool>) {
    let (asked, up) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(true)));
    let (count, works) = (Arc::clone(&asked), Arc::clone(&up));
    let app = Router::new().route(
        "/keys",
        get(move || async move {
            count.fetch_add(1, Ordering::Relaxed);
            if works.load(Ordering::Relaxed) { Ok(Json(keys)) } else { Err(StatusCode::BAD_GATEWAY) }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, asked, up)
}

#[tokio::test]
async fn unknown_kids_do_not_flood_the_issuer_and_known_keys_survive_its_outage() {
    let issuer = ed25519("k1");
    let (url, asked, up) = key_server(json!({"keys": [issuer.jwk]})).await;
    let verifier = Verifier::new(options(vec![url.parse().unwrap()])).unwrap();
    assert!(verifier.verify(&issuer.sign("k1", &claims())).await.is_ok());
    up.store(false, Ordering::Relaxed);
    for i in 0..200 {
        assert_eq!(code(&verifier, &issuer.sign(&format!("flood-{i}"), &claims())).await, Code::Unauthenticated);
    }
    assert!(asked.load(Ordering::Relaxed) <= 2, "asked {} times", asked.load(Ordering::Relaxed));
    assert!(verifier.verify(&issuer.sign("k1", &claims())).await.is_ok(), "a known key is kept");
}

#[tokio::test]
async fn keys_that_cannot_be_had_at_all_are_no_fault_of_the_token() {
    let issuer = ed25519("k1");
    let verifier = Verifier::new(options(vec!["http://127.0.0.1:1/keys".parse().unwrap()])).unwrap();
    assert_eq!(code(&verifier, &issuer.sign("k1", &claims())).await, Code::Unavailable);
}

#[tokio::test]
async fn a_source_bound_to_an_issuer_speaks_for_no_other() {
    let (own, outside) = (ed25519("own"), ed25519("outside"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, json!({"keys": [outside.jwk]}).to_string()).unwrap();
    let bound = format!("https://idp.example={}", path.display()).parse().unwrap();
    let verifier = Verifier::with_keys("chatcluster", json!({"keys": [own.jwk]}), options(vec![bound])).unwrap();
    let mut from_outside = claims();
    from_outside["iss"] = json!("https://idp.example");
    assert!(verifier.verify(&outside.sign("outside", &from_outside)).await.is_ok());
    assert_eq!(code(&verifier, &outside.sign("outside", &claims())).await, Code::Unauthenticated, "as chatcluster");
    assert_eq!(code(&verifier, &own.sign("own", &from_outside)).await, Code::Unauthenticated, "as the outside issuer");
}
