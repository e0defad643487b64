//! Stable error codes: the same word in problem documents (RFC 9457), ERROR frames, gRPC answers and metrics.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal;)*) => {
        /// What went wrong, by a word that does not change between releases.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status that says the same.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// The bytes are not JSON.
    InvalidJson = "invalid_json", 400;
    /// The request is malformed in another way than its JSON.
    BadRequest = "bad_request", 400;
    /// A frame `type` nobody knows.
    UnknownType = "unknown_type", 400;
    MissingField = "missing_field", 422;
    InvalidField = "invalid_field", 422;
    /// A frame that needs a CONNECT first.
    NotConnected = "not_connected", 400;
    /// A second CONNECT.
    AlreadyConnected = "already_connected", 409;
    Unauthenticated = "unauthenticated", 401;
    TokenExpired = "token_expired", 401;
    TokenRevoked = "token_revoked", 401;
    /// Wrong user name or password; it does not say which.
    BadCredentials = "bad_credentials", 401;
    Forbidden = "forbidden", 403;
    NotAMember = "not_a_member", 403;
    OriginRefused = "origin_refused", 403;
    NotFound = "not_found", 404;
    UnknownConversation = "unknown_conversation", 404;
    UnknownUser = "unknown_user", 404;
    UnknownMessage = "unknown_message", 404;
    MethodNotAllowed = "method_not_allowed", 405;
    Conflict = "conflict", 409;
    UsernameTaken = "username_taken", 409;
    /// The `clientMsgId` was used before with another conversation or content.
    ClientMsgIdReused = "client_msg_id_reused", 409;
    PayloadTooLarge = "payload_too_large", 413;
    UnsupportedMediaType = "unsupported_media_type", 415;
    RateLimited = "rate_limited", 429;
    TooManyConnections = "too_many_connections", 429;
    /// The platform closes this session because it reads too slowly; it may resume.
    SlowConsumer = "slow_consumer", 429;
    /// A part of the platform is away for now: nothing was stored by this attempt that a retry with the same
    /// `clientMsgId` would store again.
    Unavailable = "unavailable", 503;
    Internal = "internal", 500;
}

impl Code {
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal: the code for programs and one sentence for people, which never holds a secret or another user's data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Problem {
    pub code: Code,
    pub detail: String,
}

/// Longest detail, in bytes.
const MAX_DETAIL: usize = 500;

impl Problem {
    /// A detail that quotes somebody's input is cut to what a person reads.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if let Some(end) =
            (0..=MAX_DETAIL).rev().find(|end| detail.is_char_boundary(*end)).filter(|end| *end < detail.len())
        {
            detail.truncate(end);
            detail.push('…');
        }
        Self { code, detail }
    }

    /// The same refusal as gRPC services put it in their answers.
    pub fn to_rpc(&self) -> crate::rpc::Problem {
        crate::rpc::Problem { code: self.code.as_str().into(), detail: self.detail.clone() }
    }

    /// An unknown code of a newer peer counts as internal.
    pub fn from_rpc(problem: crate::rpc::Problem) -> Self {
        Self { code: Code::parse(&problem.code).unwrap_or(Code::Internal), detail: problem.detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_round_trip() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(*code));
            assert!((400..600).contains(&code.status()));
        }
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        assert_eq!(Problem::new(Code::Internal, "short").detail, "short");
        let long = Problem::new(Code::Internal, "é".repeat(1000)).detail;
        assert!(long.len() <= MAX_DETAIL + 3 && long.ends_with('…'), "{} bytes", long.len());
    }
}
