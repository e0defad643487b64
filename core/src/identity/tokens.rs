//! Access tokens of this platform: JWT, `EdDSA`, short-lived.

use chatcluster_contracts::problem::{Code, Problem};
use jsonwebtoken::{Algorithm, Header, encode};
use serde::Serialize;
use uuid::Uuid;

use super::Identity;
use crate::{clock, store::User};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    /// The login, as the session id of `OpenID` Connect.
    sid: &'a str,
    workspace_id: &'a str,
}

impl Identity {
    /// A fresh access token for a user of this platform, by one of its logins.
    pub(super) fn access_token(&self, user: &User, login: &str) -> Result<String, Problem> {
        let now = clock::now().as_second();
        let claims = AccessClaims {
            iss: &self.options.issuer,
            aud: &self.options.audience,
            sub: user.id.as_str(),
            iat: now,
            exp: now.saturating_add_unsigned(self.options.access_ttl.as_secs()),
            jti: Uuid::new_v4().to_string(),
            sid: login,
            workspace_id: user.workspace_id.as_str(),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.key.key_id().to_owned());
        encode(&header, &claims, self.key.encoding()).map_err(|error| {
            tracing::error!(%error, "access token not signed");
            Problem::new(Code::Internal, "something went wrong here; it was logged")
        })
    }
}
