//! Limits, origins, cookies, and requests that make no sense.

use http::{StatusCode, header};

use super::{Client, client};
use crate::{
    listen::{Origins, sockjs::Settings},
    protocol::sockjs::{iframe::Page, route::Base},
};

#[tokio::test]
async fn sessions_and_payloads_are_bounded() {
    let client = Client::new(Base::new("/s"), Settings { max_sessions: 1, max_post: 8, ..Settings::default() });
    client.post("/s/0/a/xhr", "").await;
    let full = client.post("/s/0/b/xhr", "").await;
    assert_eq!((full.status, full.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("5")));
    assert_eq!(client.post("/s/0/a/xhr_send", "[\"12345\"]").await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let broken = client.ask("POST", "/s/0/a/jsonp_send", &form, "d=%5B").await;
    assert_eq!(
        (broken.status, broken.text().await.as_str()),
        (StatusCode::INTERNAL_SERVER_ERROR, "Broken JSON encoding.")
    );
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_and_allowed_ones_named() {
    let origins = Origins::Listed(vec!["https://app.example".to_owned()]);
    let page = Some(Page::new("/sockjs.js").unwrap());
    let client = Client::new(Base::new("/s"), Settings { origins, page, ..Settings::default() });
    for (method, path) in
        [("OPTIONS", "/s/0/a/xhr"), ("POST", "/s/0/a/xhr"), ("GET", "/s/info"), ("GET", "/s/iframe.html")]
    {
        for evil in ["https://evil.example", "null"] {
            assert_eq!(client.ask(method, path, &[("origin", evil)], "").await.status, StatusCode::FORBIDDEN, "{path}");
        }
    }
    assert_eq!(client.echo.0.lock().opened, 0);
    let allowed = client.ask("OPTIONS", "/s/0/a/xhr", &[("origin", "https://app.example")], "").await;
    assert_eq!(allowed.status, StatusCode::NO_CONTENT);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(allowed.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(allowed.header("access-control-allow-methods"), Some("OPTIONS, POST"));
    let program = client.ask("GET", "/s/info", &[], "").await;
    assert_eq!(program.header("access-control-allow-origin"), None, "no page reads it");
    let frame = client.ask("GET", "/s/iframe.html", &[], "").await;
    assert_eq!(frame.header("content-security-policy"), Some("frame-ancestors 'self' https://app.example"));
}

#[tokio::test]
async fn the_cookie_a_client_has_is_kept() {
    let client = Client::new(Base::new("/s").with_cookie(), Settings::default());
    let new = client.post("/s/0/a/xhr", "").await;
    assert_eq!(new.header("set-cookie"), Some("JSESSIONID=dummy; path=/"));
    let known = client.ask("POST", "/s/0/b/xhr", &[("cookie", "a=b; JSESSIONID=node-7")], "").await;
    assert_eq!(known.header("set-cookie"), Some("JSESSIONID=node-7; path=/"));
    assert_eq!(client.ask("GET", "/s/info", &[], "").await.header("set-cookie"), None);
}

#[tokio::test]
async fn wrong_methods_and_failed_upgrades_are_told_so() {
    let client = client();
    let wrong = client.ask("GET", "/s/0/a/xhr", &[], "").await;
    assert_eq!((wrong.status, wrong.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("OPTIONS, POST")));
    assert_eq!(wrong.header(header::CONTENT_TYPE.as_str()), None);
    assert_eq!(client.post("/s/0/a/websocket", "").await.header("allow"), Some("GET"));
    let plain = client.ask("GET", "/s/0/a/websocket", &[], "").await;
    assert_eq!(plain.status, StatusCode::BAD_REQUEST);
    assert_eq!(plain.text().await, "Can \"Upgrade\" only to \"WebSocket\".");
    let cut = [("upgrade", "WebSocket"), ("connection", "close")];
    assert_eq!(client.ask("GET", "/s/websocket", &cut, "").await.text().await, "\"Connection\" must be \"Upgrade\".");
    let off = Client::new(Base::new("/s").without_websocket(), Settings::default());
    for nothing in ["/s/0/a/websocket", "/s/iframe.html"] {
        assert_eq!(off.ask("GET", nothing, &[], "").await.status, StatusCode::NOT_FOUND, "{nothing}");
    }
}
