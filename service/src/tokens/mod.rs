//! Access tokens (JWT, RFC 7519) and the key sets (RFC 7517) that verify them. Core and gateway check tokens the same
//! way: here.

mod jwks;
mod revocations;
mod verifier;

pub use jwks::{JwksLocation, JwksSource};
pub use revocations::Revocations;
pub use verifier::{Claims, MAX_USER_EVENTS, Verifier, VerifierOptions};

/// `iss` and `aud` of core's own tokens unless configured otherwise.
pub const DEFAULT_ISSUER: &str = "chatcluster";
pub const DEFAULT_AUDIENCE: &str = "chatcluster";
