//! REST as a user calls it. Every call answers the status and the JSON body, also for refusals: tests assert on both.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// No call that works takes this long; a frozen server must not hang a test.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Status and body; a body that is no JSON is a string, an empty one is null.
pub type Answer = (u16, Value);

/// A base URL and whose token goes with each call.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// Someone who has signed up and logged in.
#[derive(Clone, Debug)]
pub struct User {
    pub id: String,
    pub username: String,
    /// The access token, for the WebSocket.
    pub token: String,
    pub refresh_token: String,
    /// Calls with this user's token.
    pub api: Api,
}

impl Api {
    /// `base` without a slash at the end, e.g. `http://127.0.0.1:8081`.
    pub fn new(base: &str) -> Result<Self> {
        let http =
            reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build().context("failed to build a client")?;
        Ok(Self { base: base.to_owned(), token: None, http })
    }

    /// The same server as someone else.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same user at another core.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// Any call; `path` starts with a slash and carries its query.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, &url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.with_context(|| format!("failed to call {url}"))?;
        let status = response.status();
        let text = response.text().await.with_context(|| format!("failed to read the answer of {url}"))?;
        Ok((status.as_u16(), if text.is_empty() { Value::Null } else { parse(text) }))
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Answer> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn sign_up(&self, username: &str, password: &str, display_name: &str) -> Result<Answer> {
        self.post("/v1/users", json!({"username": username, "password": password, "displayName": display_name})).await
    }

    pub async fn login(&self, username: &str, password: &str) -> Result<Answer> {
        self.post("/v1/login", json!({"username": username, "password": password})).await
    }

    /// Signs up and logs in.
    pub async fn user(&self, username: &str) -> Result<User> {
        let password = format!("a long password of {username}");
        let (status, user) = self.sign_up(username, &password, username).await?;
        ensure!(status == StatusCode::CREATED.as_u16(), "signing up {username}: {status} {user}");
        let (status, login) = self.login(username, &password).await?;
        ensure!(status == StatusCode::OK.as_u16(), "logging in {username}: {status} {login}");
        let token = text(&login, "accessToken")?;
        Ok(User {
            id: text(&user, "id")?,
            username: username.to_owned(),
            refresh_token: text(&login, "refreshToken")?,
            api: self.with_token(&token),
            token,
        })
    }

    /// `kind` is `channel`, `group` or `dm`; the caller becomes a member without being named.
    pub async fn create_conversation(&self, kind: &str, members: &[&str]) -> Result<Answer> {
        let name = format!("a {kind}");
        self.post("/v1/conversations", json!({"kind": kind, "name": name, "memberIds": members})).await
    }

    pub async fn conversations(&self) -> Result<Answer> {
        self.get("/v1/conversations").await
    }

    pub async fn add_member(&self, conversation: &str, user: &str) -> Result<Answer> {
        self.post(&format!("/v1/conversations/{conversation}/members"), json!({"userId": user})).await
    }

    pub async fn remove_member(&self, conversation: &str, user: &str) -> Result<Answer> {
        self.call(Method::DELETE, &format!("/v1/conversations/{conversation}/members/{user}"), None).await
    }

    /// 201 for a new message, 200 for a repeat of the same `client_msg_id`.
    pub async fn send(&self, conversation: &str, client_msg_id: &str, content: &str) -> Result<Answer> {
        let body = json!({"clientMsgId": client_msg_id, "content": content});
        self.post(&format!("/v1/conversations/{conversation}/messages"), body).await
    }

    /// Messages with a seq above `after`, oldest first.
    pub async fn history(&self, conversation: &str, after: u64, limit: u32) -> Result<Answer> {
        self.get(&format!("/v1/conversations/{conversation}/messages?after={after}&limit={limit}")).await
    }

    /// The ordered log above seq `after`.
    pub async fn events(&self, conversation: &str, after: u64, limit: u32) -> Result<Answer> {
        self.get(&format!("/v1/conversations/{conversation}/events?after={after}&limit={limit}")).await
    }

    pub async fn set_receipts(&self, conversation: &str, delivered_seq: u64, read_seq: u64) -> Result<Answer> {
        let body = json!({"deliveredSeq": delivered_seq, "readSeq": read_seq});
        self.post(&format!("/v1/conversations/{conversation}/receipts"), body).await
    }

    /// Watermarks per member.
    pub async fn receipts(&self, conversation: &str) -> Result<Answer> {
        self.get(&format!("/v1/conversations/{conversation}/receipts")).await
    }
}

fn parse(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn text(value: &Value, field: &str) -> Result<String> {
    value[field].as_str().map(str::to_owned).with_context(|| format!("no {field} in {value}"))
}
