//! What comes out of a client's bytes: messages and control frames, or the rule that was broken.

use chatcluster_contracts::close::CloseReason;

/// What is accepted; the same for all sessions of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message, over all of its frames and after decompression.
    pub max_message: usize,
    /// Binary messages are spoken here; where they are not, they are refused (1003).
    pub binary: bool,
    /// permessage-deflate was agreed on: messages may be compressed.
    pub deflate: bool,
}

/// One message or control frame, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    /// The peer's close code, if it sent one.
    Close(Option<u16>),
}

/// The peer broke the protocol; nothing after this can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("a reserved bit is set that nothing agreed on gives a meaning")]
    ReservedBit,
    #[error("an unknown opcode")]
    Opcode,
    #[error("a client's frame must be masked")]
    Unmasked,
    #[error("a control frame is fragmented or longer than 125 bytes")]
    Control,
    #[error("the length is not in its shortest form")]
    Length,
    #[error("a continuation without a beginning, or a beginning within a message")]
    Fragmentation,
    #[error("a close frame with an invalid code")]
    CloseCode,
    #[error("the text is not UTF-8")]
    NotUtf8,
    #[error("binary messages are not spoken here")]
    Binary,
    #[error("the message is longer than is accepted")]
    TooBig,
    #[error("the compressed message cannot be decompressed")]
    Deflate,
}

impl Violation {
    pub const fn close_reason(self) -> CloseReason {
        match self {
            Self::NotUtf8 | Self::Deflate => CloseReason::InvalidPayload,
            Self::Binary => CloseReason::UnsupportedData,
            Self::TooBig => CloseReason::TooBig,
            _ => CloseReason::ProtocolError,
        }
    }
}
