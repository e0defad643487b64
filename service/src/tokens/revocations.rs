//! Logins that were ended before their access tokens expire, as far as this process knows. Short: an access token lives
//! for minutes, and what outlived it is forgotten.

use std::{collections::HashMap, sync::Arc};

use chatcluster_contracts::{
    problem::{Code, Problem},
    revocation::{LoginId, Revocation},
};
use parking_lot::RwLock;

/// Cheap to clone; all clones know the same.
#[derive(Debug, Clone, Default)]
pub struct Revocations(Arc<RwLock<HashMap<LoginId, i64>>>);

impl Revocations {
    /// True: that is news.
    pub fn add(&self, revocation: Revocation) -> bool {
        self.0.write().insert(revocation.login, revocation.until).is_none()
    }

    /// Refuses what came of a login that was ended.
    pub fn check(&self, login: Option<LoginId>) -> Result<(), Problem> {
        match login {
            Some(login) if self.0.read().contains_key(&login) => {
                Err(Problem::new(Code::TokenRevoked, "the login was ended; sign in again"))
            }
            _ => Ok(()),
        }
    }

    /// Forgets those whose tokens have expired by `now`, in seconds since the Unix epoch.
    pub fn prune(&self, now: i64) {
        self.0.write().retain(|_, until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_refused_until_its_last_token_has_expired() {
        let revocations = Revocations::default();
        let login: LoginId = "9b2e7c1c-5a30-4f0f-8a3c-0d8f3f1f4b6e".parse().unwrap();
        assert!(revocations.check(Some(login)).is_ok());
        assert!(revocations.add(Revocation { login, until: 100 }));
        assert!(!revocations.add(Revocation { login, until: 100 }), "no news");
        assert_eq!(revocations.check(Some(login)).unwrap_err().code, Code::TokenRevoked);
        assert!(revocations.check(None).is_ok() && revocations.check(Some(LoginId::MIN)).is_ok());
        revocations.prune(99);
        assert!(revocations.check(Some(login)).is_err());
        revocations.prune(100);
        assert!(revocations.check(Some(login)).is_ok());
    }
}
