//! Logins that were ended before their access tokens were: what core says on the channel `auth-revoked`, and what it
//! answers to whoever may have missed that.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// One sign-in of one user and everything that came of it by refresh: the claim `sid` of its access tokens. Sixteen bytes,
/// as every session keeps one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginId(Uuid);

impl LoginId {
    /// The lowest and the highest there are, for ranges.
    pub const MIN: Self = Self(Uuid::nil());
    pub const MAX: Self = Self(Uuid::max());
}

impl FromStr for LoginId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl fmt::Display for LoginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for LoginId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LoginId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The access tokens of a login are good no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    pub login: LoginId,
    /// By then its last access token has expired, and nobody need remember this. Seconds since the Unix epoch.
    pub until: i64,
}

impl Revocation {
    pub fn to_json(&self) -> String {
        format!(r#"{{"login":"{}","until":{}}}"#, self.login, self.until)
    }

    /// Whatever else the message says is for later releases.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_went_and_may_say_more() {
        let revocation =
            Revocation { login: "9b2e7c1c-5a30-4f0f-8a3c-0d8f3f1f4b6e".parse().unwrap(), until: 1_700_000_000 };
        assert_eq!(Revocation::from_json(revocation.to_json().as_bytes()).unwrap(), revocation);
        let more = revocation.to_json().replace('{', r#"{"reason":"logout","#);
        assert_eq!(Revocation::from_json(more.as_bytes()).unwrap(), revocation);
        assert!(Revocation::from_json(br#"{"login":"all of them","until":1}"#).is_err());
        assert!(LoginId::MIN < revocation.login && revocation.login < LoginId::MAX);
    }
}
