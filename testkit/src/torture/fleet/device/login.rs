//! Those who sign in with their password and out again while they are online: their session has to end, and the access
//! token is good no more, though it has minutes to live.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Device;
use crate::torture::fleet::cast::PASSWORD;
use crate::torture::history::Ms;

const REST_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Login {
    token: String,
    refresh_token: String,
    /// When the platform had answered that it is over.
    ended: Option<Ms>,
}

impl Device {
    pub(super) fn is_signed_in(&self) -> bool {
        self.login.as_ref().is_some_and(|login| login.ended.is_none())
    }

    /// The access token, and when its login was ended: that too is tried, until it is refused.
    pub(super) async fn signed_in(&mut self) -> Result<(String, Option<Ms>)> {
        if self.login.is_none() {
            let core = &self.common.cores[self.common.index(self.common.cores.len())];
            let answer = tokio::time::timeout(REST_WITHIN, core.login(&self.username, PASSWORD)).await;
            let (status, login) = answer.context("no answer to a login")??;
            ensure!(status == 200, "signing in {}: {status} {login}", self.username);
            let text = |name: &str| login[name].as_str().map(str::to_owned).context("a login without tokens");
            let (token, refresh_token) = (text("accessToken")?, text("refreshToken")?);
            self.login = Some(Login { token, refresh_token, ended: None });
        }
        let login = self.login.as_ref().context("no login")?;
        Ok((login.token.clone(), login.ended))
    }

    pub(super) async fn sign_out(&mut self, session: usize) {
        let Some(login) = &mut self.login else { return };
        let core = &self.common.cores[self.common.index(self.common.cores.len())];
        let body = json!({"refreshToken": login.refresh_token});
        let answer = tokio::time::timeout(REST_WITHIN, core.post("/v1/logout", body)).await;
        if matches!(answer, Ok(Ok((204, _)))) {
            let at = self.common.recorder.now();
            login.ended = Some(at);
            self.common.recorder.signed_out(session, at);
        }
    }

    /// The token is not taken: a new one is needed.
    pub(super) fn turned_away(&mut self, code: &str) {
        if code.starts_with("token_") || code == "unauthenticated" {
            self.login = None;
        }
    }
}
