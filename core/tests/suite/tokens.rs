//! Sign-in: rotation, reuse, limits, tickets, outside issuers.

use chatcluster_contracts::rpc::{
    ListRevocationsRequest, RedeemTicketRequest, VerifyAccessTokenRequest, auth_service_client::AuthServiceClient,
};
use chatcluster_core::identity::keys::{self, SigningKey};
use chatcluster_service::tokens::{JwksLocation, JwksSource};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use crate::platform::Platform;

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_good_once_and_its_reuse_ends_the_login() {
    let platform = Platform::ready().await;
    let (api, ann) = (platform.api(), platform.api().user("ann").await.unwrap());
    let refresh = async |token: &str| api.post("/v1/token/refresh", json!({"refreshToken": token})).await.unwrap();
    let (status, second) = refresh(&ann.refresh_token).await;
    assert_eq!(status, 200, "{second}");
    let second = second["refreshToken"].as_str().unwrap().to_owned();
    let (status, reused) = refresh(&ann.refresh_token).await;
    assert_eq!((status, &reused["code"]), (401, &json!("token_revoked")));
    let (status, revoked) = refresh(&second).await;
    assert_eq!(status, 401, "the family outlived a reuse: {revoked}");
    // another login is another family, ended by its own logout
    let (_, login) = api.login("ann", "a long password of ann").await.unwrap();
    let token = login["refreshToken"].as_str().unwrap().to_owned();
    assert_eq!(api.post("/v1/logout", json!({"refreshToken": token})).await.unwrap().0, 204);
    assert_eq!(refresh(&token).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_ends_takes_its_access_tokens_along() {
    let platform = Platform::ready().await;
    let (api, ann) = (platform.api(), platform.api().user("ann").await.unwrap());
    let sign_in = async || {
        let (_, login) = api.login("ann", "a long password of ann").await.unwrap();
        let text = |name: &str| login[name].as_str().unwrap().to_owned();
        (text("accessToken"), text("refreshToken"))
    };
    let status = async |token: &str| {
        let (status, answer) = api.with_token(token).get("/v1/me").await.unwrap();
        (status, answer["code"].as_str().unwrap_or_default().to_owned())
    };
    let revoked = (401, "token_revoked".to_owned());
    let (access, refresh) = sign_in().await;
    let (_, issued) = api.with_token(&access).post("/v1/tickets", json!({})).await.unwrap();
    let (other, _) = sign_in().await;
    assert_eq!(status(&access).await.0, 200);
    assert_eq!(api.post("/v1/logout", json!({"refreshToken": refresh})).await.unwrap().0, 204);
    assert_eq!(status(&access).await, revoked);
    assert_eq!((status(&other).await.0, status(&ann.token).await.0), (200, 200), "other logins go on");

    // whoever asks by gRPC is told the same, of a ticket too
    let mut auth = AuthServiceClient::new(platform.service());
    let request = VerifyAccessTokenRequest { access_token: access.clone() };
    let verified = auth.verify_access_token(request).await.unwrap().into_inner();
    assert_eq!((verified.valid, verified.code.as_str()), (false, "token_revoked"));
    let ticket = issued["ticket"].as_str().unwrap().to_owned();
    let redeemed = auth.redeem_ticket(RedeemTicketRequest { ticket }).await.unwrap().into_inner();
    assert_eq!((redeemed.valid, redeemed.code.as_str()), (false, "token_revoked"));
    let request = VerifyAccessTokenRequest { access_token: other.clone() };
    let login = auth.verify_access_token(request).await.unwrap().into_inner().login;

    // and who signs out everywhere, does
    let body = json!({"refreshToken": ann.refresh_token, "everywhere": true});
    assert_eq!(api.post("/v1/logout", body).await.unwrap().0, 204);
    assert_eq!((status(&other).await, status(&ann.token).await), (revoked.clone(), revoked));
    let listed = auth.list_revocations(ListRevocationsRequest { since_ms: 0 }).await.unwrap().into_inner();
    assert_eq!(listed.revocations.len(), 3);
    let found = listed.revocations.iter().find(|ended| ended.login == login).unwrap();
    assert!(found.until >= verified_end(&other), "remembered as long as its token is good");
    assert!(!listed.more && listed.next_since_ms > 0);
}

fn verified_end(token: &str) -> i64 {
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    serde_json::from_slice::<serde_json::Value>(&claims).unwrap()["exp"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_logins_are_limited() {
    let platform = Platform::ready().await;
    let api = platform.api();
    api.user("ann").await.unwrap();
    for _ in 0..10 {
        assert_eq!(api.login("ann", "a wrong password").await.unwrap().0, 401);
    }
    let body = json!({"username": "ann", "password": "a long password of ann"});
    let answer = reqwest::Client::new().post(format!("{}/v1/login", platform.base)).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=300).contains(&wait));
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["code"], "rate_limited");
    api.user("bob").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_stands_for_its_token_once() {
    let platform = Platform::ready().await;
    let ann = platform.api().user("ann").await.unwrap();
    let (status, issued) = ann.api.post("/v1/tickets", json!({})).await.unwrap();
    assert_eq!(status, 201);
    let ticket = issued["ticket"].as_str().unwrap().to_owned();
    let mut auth = AuthServiceClient::new(platform.service());
    let redeemed = auth.redeem_ticket(RedeemTicketRequest { ticket: ticket.clone() }).await.unwrap().into_inner();
    assert!(redeemed.valid && redeemed.user_id == ann.id);
    let request = VerifyAccessTokenRequest { access_token: ann.token.clone() };
    let verified = auth.verify_access_token(request).await.unwrap().into_inner();
    assert_eq!((verified.expires_at, &verified.token_id), (redeemed.expires_at, &redeemed.token_id));
    let again = auth.redeem_ticket(RedeemTicketRequest { ticket }).await.unwrap().into_inner();
    assert_eq!((again.valid, again.code.as_str()), (false, "unauthenticated"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outside_subject_becomes_a_user_but_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::load_or_create(folder.path()).unwrap();
    let jwks = key.jwks();
    let pem = std::fs::read(folder.path().join(keys::FILE)).unwrap();
    let token = |subject: &str| {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(jwks["keys"][0]["kid"].as_str().unwrap().into());
        let claims =
            json!({"iss": "https://issuer.example/", "aud": "chatcluster", "sub": subject, "exp": 4_000_000_000_u64});
        encode(&header, &claims, &EncodingKey::from_ed_pem(&pem).unwrap()).unwrap()
    };
    let source =
        JwksSource { issuer: Some("https://issuer.example/".into()), location: JwksLocation::Inline(jwks.clone()) };
    let platform = Platform::start_with(|options| options.tokens.jwks = vec![source]).await;
    platform.core.migrated().await;
    let ann = platform.api().user("ann").await.unwrap();
    let dora = platform.api().with_token(&token("auth0|dora"));
    let (status, me) = dora.get("/v1/me").await.unwrap();
    assert_eq!((status, &me["id"]), (200, &json!("auth0|dora")), "{me}");
    let (status, room) = ann.api.create_conversation("group", &["auth0|dora"]).await.unwrap();
    assert_eq!(status, 201);
    assert_eq!(dora.send(room["id"].as_str().unwrap(), "m1", "hello").await.unwrap().0, 201);
    // the issuer may not speak for people who signed up here
    let forged = platform.api().with_token(&token(&ann.id));
    let (status, problem) = forged.get("/v1/me").await.unwrap();
    assert_eq!((status, &problem["code"]), (403, &json!("forbidden")));
}
