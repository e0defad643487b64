//! WebSocket close codes of the native protocol.

use crate::problem::Code;

/// Why the server closes a connection. Codes below 4000 are those of RFC 6455 section 7.4 and the IANA registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// 1000: the client asked for it.
    Normal,
    /// 1002
    ProtocolError,
    /// 1003: a binary message where text is spoken.
    UnsupportedData,
    /// 1007: text that is not UTF-8.
    InvalidPayload,
    /// 1009
    TooBig,
    /// 1011
    Internal,
    /// 1012: the gateway restarts; connect again and resume.
    ServiceRestart,
    /// 1013: too busy for new connections; connect again after a pause.
    TryAgainLater,
    /// 4401: no valid token.
    Unauthenticated,
    /// 4408: no CONNECT in time, or silence past the heartbeat.
    Timeout,
    /// 4410: the token's time is over; connect again with a new one and resume.
    TokenExpired,
    /// 4411
    TokenRevoked,
    /// 4429: the client read too slowly for its queue; connect again and resume.
    SlowConsumer,
    /// 4430: more connections than this user or address may have.
    TooManyConnections,
}

impl CloseReason {
    pub const fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::ProtocolError => 1002,
            Self::UnsupportedData => 1003,
            Self::InvalidPayload => 1007,
            Self::TooBig => 1009,
            Self::Internal => 1011,
            Self::ServiceRestart => 1012,
            Self::TryAgainLater => 1013,
            Self::Unauthenticated => 4401,
            Self::Timeout => 4408,
            Self::TokenExpired => 4410,
            Self::TokenRevoked => 4411,
            Self::SlowConsumer => 4429,
            Self::TooManyConnections => 4430,
        }
    }

    /// The reason phrase sent beside the code; also the metrics label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::ProtocolError => "protocol_error",
            Self::UnsupportedData => "unsupported_data",
            Self::InvalidPayload => "invalid_payload",
            Self::TooBig => Code::PayloadTooLarge.as_str(),
            Self::Internal => Code::Internal.as_str(),
            Self::ServiceRestart => "service_restart",
            Self::TryAgainLater => "try_again_later",
            Self::Unauthenticated => Code::Unauthenticated.as_str(),
            Self::Timeout => "timeout",
            Self::TokenExpired => Code::TokenExpired.as_str(),
            Self::TokenRevoked => Code::TokenRevoked.as_str(),
            Self::SlowConsumer => Code::SlowConsumer.as_str(),
            Self::TooManyConnections => Code::TooManyConnections.as_str(),
        }
    }
}
