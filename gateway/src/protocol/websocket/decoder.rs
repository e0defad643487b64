//! Frames from client to server. Whatever pieces the bytes come in, the same messages come out.
//!
//! An idle decoder holds no buffer: a message's bytes are kept from its first to its last and given away whole.

use chatcluster_contracts::close::CloseReason;

use super::{MAX_CONTROL_BYTES, opcode, utf8::Utf8Progress};

/// One message or control frame, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    Text(String),
    Ping(Vec<u8>),
    Pong,
    /// The peer's close code, if it sent one.
    Close(Option<u16>),
}

/// The peer broke the protocol; nothing after this can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("a reserved bit is set without an extension")]
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
}

impl Violation {
    pub const fn close_reason(self) -> CloseReason {
        match self {
            Self::NotUtf8 => CloseReason::InvalidPayload,
            Self::Binary => CloseReason::UnsupportedData,
            Self::TooBig => CloseReason::TooBig,
            _ => CloseReason::ProtocolError,
        }
    }
}

/// The frame whose payload is being read.
#[derive(Debug)]
struct Frame {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Bytes read of the payload.
    read: usize,
    length: usize,
}

/// Reads the frames of one connection.
#[derive(Debug)]
pub struct Decoder {
    max_message: usize,
    header: [u8; 14],
    header_length: usize,
    frame: Option<Frame>,
    /// The text message so far, over all of its frames.
    message: Vec<u8>,
    in_message: bool,
    utf8: Utf8Progress,
    /// The control frame so far; it may stand between two frames of a message.
    control: Vec<u8>,
}

impl Decoder {
    /// Messages of more than `max_message` bytes are refused as soon as their length is known.
    pub fn new(max_message: usize) -> Self {
        Self {
            max_message,
            header: [0; 14],
            header_length: 0,
            frame: None,
            message: Vec::new(),
            in_message: false,
            utf8: Utf8Progress::default(),
            control: Vec::new(),
        }
    }

    /// Reads from the front of `input` up to the end of the next message or control frame and takes what it read off
    /// `input`. `None`: all of `input` was read and more is needed.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>, Violation> {
        loop {
            if self.frame.is_none() && !self.read_header(input)? {
                return Ok(None);
            }
            let Some(frame) = &mut self.frame else { return Ok(None) };
            let take = input.len().min(frame.length - frame.read);
            let (bytes, rest) = input.split_at(take);
            *input = rest;
            let is_control = frame.opcode >= opcode::CLOSE;
            let target = if is_control { &mut self.control } else { &mut self.message };
            unmask_into(target, bytes, frame.mask, frame.read);
            frame.read += take;
            let complete = frame.read == frame.length;
            if !is_control {
                let last = complete && frame.fin;
                self.utf8.advance(&self.message, last).map_err(|_| Violation::NotUtf8)?;
            }
            if !complete {
                return Ok(None);
            }
            if let Some(incoming) = self.end_frame()? {
                return Ok(Some(incoming));
            }
        }
    }

    /// Collects and checks a frame's header. False: more bytes are needed.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<bool, Violation> {
        loop {
            let have = self.header_length;
            if have >= 2 {
                self.check_start()?;
                if have == self.full_header_length() {
                    self.header_length = 0;
                    self.frame = Some(self.parse_header(have)?);
                    return Ok(true);
                }
            }
            let Some((byte, rest)) = input.split_first() else { return Ok(false) };
            self.header[have] = *byte;
            self.header_length += 1;
            *input = rest;
        }
    }

    fn full_header_length(&self) -> usize {
        match self.header[1] & 0x7f {
            126 => 8,
            127 => 14,
            _ => 6,
        }
    }

    /// What the first two bytes must satisfy (sections 5.1, 5.2, 5.4 and 5.5).
    fn check_start(&self) -> Result<(), Violation> {
        let [first, second, ..] = self.header;
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBit);
        }
        if second & 0x80 == 0 {
            return Err(Violation::Unmasked);
        }
        match first & 0x0f {
            opcode::CONTINUATION if !self.in_message => Err(Violation::Fragmentation),
            opcode::TEXT | opcode::BINARY if self.in_message => Err(Violation::Fragmentation),
            opcode::BINARY => Err(Violation::Binary),
            opcode::CONTINUATION | opcode::TEXT => Ok(()),
            opcode::CLOSE | opcode::PING | opcode::PONG => {
                let short = usize::from(second & 0x7f) <= MAX_CONTROL_BYTES;
                if first & 0x80 != 0 && short { Ok(()) } else { Err(Violation::Control) }
            }
            _ => Err(Violation::Opcode),
        }
    }

    fn parse_header(&mut self, length_of_header: usize) -> Result<Frame, Violation> {
        let header = &self.header[..length_of_header];
        let (lengths, mask) = header[1..].split_at(length_of_header - 5);
        let length = match lengths {
            [short] => u64::from(short & 0x7f),
            [_, extended @ ..] => {
                let length = extended.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
                if length < if extended.len() == 2 { 126 } else { 0x1_0000 } || length >> 63 != 0 {
                    return Err(Violation::Length);
                }
                length
            }
            [] => 0,
        };
        let opcode = header[0] & 0x0f;
        let length = usize::try_from(length).map_err(|_| Violation::TooBig)?;
        if opcode < opcode::CLOSE {
            if length > self.max_message - self.message.len() {
                return Err(Violation::TooBig);
            }
            self.in_message = true;
        }
        let mask = [mask[0], mask[1], mask[2], mask[3]];
        Ok(Frame { fin: header[0] & 0x80 != 0, opcode, mask, read: 0, length })
    }

    fn end_frame(&mut self) -> Result<Option<Incoming>, Violation> {
        let Some(frame) = self.frame.take() else { return Ok(None) };
        match frame.opcode {
            opcode::PING => Ok(Some(Incoming::Ping(std::mem::take(&mut self.control)))),
            opcode::PONG => {
                self.control = Vec::new();
                Ok(Some(Incoming::Pong))
            }
            opcode::CLOSE => parse_close(&std::mem::take(&mut self.control)).map(|code| Some(Incoming::Close(code))),
            _ if frame.fin => {
                self.in_message = false;
                self.utf8 = Utf8Progress::default();
                let text = String::from_utf8(std::mem::take(&mut self.message)).map_err(|_| Violation::NotUtf8)?;
                Ok(Some(Incoming::Text(text)))
            }
            _ => Ok(None),
        }
    }
}

/// Section 5.3: byte `i` of the payload is masked with byte `i % 4` of the key.
fn unmask_into(target: &mut Vec<u8>, bytes: &[u8], mask: [u8; 4], offset: usize) {
    let key = [0, 1, 2, 3].map(|i| mask[(offset + i) % 4]);
    target.reserve(bytes.len());
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        target.extend_from_slice(&[chunk[0] ^ key[0], chunk[1] ^ key[1], chunk[2] ^ key[2], chunk[3] ^ key[3]]);
    }
    target.extend(chunks.remainder().iter().zip(key).map(|(byte, key)| byte ^ key));
}

/// Section 7.4: a code that may stand in a frame, and a reason that is UTF-8.
fn parse_close(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        [_] => return Err(Violation::CloseCode),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::CloseCode);
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Violation::NotUtf8);
    }
    Ok(Some(code))
}
