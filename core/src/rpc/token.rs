//! The service token: a shared secret in `authorization: Bearer`, compared in constant time.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use chatcluster_service::config::Secret;
use sha2::{Digest, Sha256};
use tonic::{Request, Status, service::Interceptor};

#[derive(Debug, Clone)]
pub(super) struct Check {
    /// Of the hash, so that not even the length is told by the time it takes.
    expected: [u8; 32],
}

impl Check {
    pub(super) fn new(token: &Secret) -> Self {
        Self { expected: Sha256::digest(token.expose().as_bytes()).into() }
    }

    fn accepts(&self, given: &str) -> bool {
        verify_slices_are_equal(&Sha256::digest(given.as_bytes()), &self.expected).is_ok()
    }
}

impl Interceptor for Check {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let value = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        match value.and_then(|value| value.strip_prefix("Bearer ")) {
            Some(token) if self.accepts(token) => Ok(request),
            _ => Err(Status::unauthenticated("a service token is needed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_is_accepted() {
        let check = Check::new(&Secret::new("s3cret"));
        assert!(check.accepts("s3cret"));
        assert!(!check.accepts("s3cre") && !check.accepts("") && !check.accepts("s3crets"));
    }
}
