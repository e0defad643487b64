//! A client's bytes to frames. Whatever pieces the bytes come in, the same frames come out.
//!
//! A frame that is complete in the bytes at hand is read straight from them; only an incomplete one is kept, and an idle
//! decoder keeps nothing. [`head`] says what the bytes before the body may look like.

mod head;

use std::fmt;

use bytes::Bytes;
use chatcluster_contracts::problem::Code;

use self::head::{Head, Scan};
use super::frame::{Command, Frame, Version};

/// How large a frame may be. Servers may set limits (chapter "Size Limits"); who passes one is told and cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Headers of one frame.
    pub headers: usize,
    /// Bytes of one line, as sent, without its LF.
    pub line_bytes: usize,
    /// Bytes of command and headers together, as sent.
    pub head_bytes: usize,
    pub body_bytes: usize,
}

impl Default for Limits {
    /// A line has room for the position of a user with a thousand conversations.
    fn default() -> Self {
        Self { headers: 64, line_bytes: 64 << 10, head_bytes: 80 << 10, body_bytes: 256 << 10 }
    }
}

/// What came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    Frame(Frame),
    /// A line end between frames: a sign of life.
    HeartBeat,
}

/// The peer does not speak STOMP, or too much of it; nothing after this can be read. The text is fit for an ERROR frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("{0:?} is not a command of a STOMP client")]
    Command(String),
    #[error("the frame ends within its headers: the blank line before the body is missing")]
    EndInHead,
    #[error("a frame has at most {0} headers")]
    Headers(usize),
    #[error("a line has at most {0} bytes")]
    Line(usize),
    #[error("the headers of a frame have at most {0} bytes")]
    HeadBytes(usize),
    #[error("the headers are not UTF-8")]
    NotUtf8,
    #[error("header line {0} has no name and colon")]
    NoColon(usize),
    #[error("header line {0} has an escape that this version does not define")]
    Escape(usize),
    #[error("header line {0} has a carriage return that is not escaped")]
    CarriageReturn(usize),
    #[error("the content-length is not a number")]
    ContentLength,
    #[error("a body has at most {0} bytes")]
    BodyBytes(usize),
    #[error("{0} must not have a body")]
    Body(Command),
    #[error("the body does not end with NUL after the {0} bytes of its content-length")]
    NoNul(usize),
}

impl Malformed {
    pub const fn code(&self) -> Code {
        match self {
            Self::Headers(_) | Self::Line(_) | Self::HeadBytes(_) | Self::BodyBytes(_) => Code::PayloadTooLarge,
            _ => Code::BadRequest,
        }
    }
}

/// The frame that is being read.
enum Partial {
    Head { bytes: Vec<u8>, scan: Scan },
    Body { head: Head, bytes: Vec<u8> },
}

/// Reads the frames of one connection.
pub struct Decoder {
    partial: Option<Box<Partial>>,
    version: Version,
}

/// What was read so far may hold a token and stays out of logs.
impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("idle", &self.is_idle()).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Reads CONNECT in whatever version it is written, and other frames as 1.2 until told otherwise.
    pub const fn new() -> Self {
        Self { partial: None, version: Version::V1_2 }
    }

    /// The version that CONNECT settled, for every frame from the next one on.
    pub const fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// True between frames: silence here is not an unfinished frame.
    pub const fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    /// Reads from the front of `input` up to the end of the next frame or heart-beat and takes what it read off `input`.
    /// `None`: all of `input` was read and more is needed.
    pub fn next(&mut self, input: &mut &[u8], limits: &Limits) -> Result<Option<Incoming>, Malformed> {
        let (head, bytes) = match self.partial.take().map(|partial| *partial) {
            None => {
                // CR is half of a line end between frames; alone it means nothing
                let start = input.iter().position(|byte| *byte != b'\r').unwrap_or(input.len());
                *input = &input[start..];
                match input.split_first() {
                    None => return Ok(None),
                    Some((b'\n', rest)) => {
                        *input = rest;
                        return Ok(Some(Incoming::HeartBeat));
                    }
                    Some(_) => {}
                }
                let mut scan = Scan::default();
                let Some(end) = scan.find_end(input, limits)? else {
                    self.keep(Partial::Head { bytes: take_all(input).to_vec(), scan });
                    return Ok(None);
                };
                let (head, rest) = input.split_at(end);
                *input = rest;
                (Head::parse(head, self.version, limits)?, Vec::new())
            }
            Some(Partial::Head { mut bytes, mut scan }) => {
                if !read_head(&mut bytes, &mut scan, input, limits)? {
                    self.keep(Partial::Head { bytes, scan });
                    return Ok(None);
                }
                (Head::parse(&bytes, self.version, limits)?, Vec::new())
            }
            Some(Partial::Body { head, bytes }) => (head, bytes),
        };
        self.read_body(head, bytes, input, limits)
    }

    fn read_body(
        &mut self,
        head: Head,
        mut bytes: Vec<u8>,
        input: &mut &[u8],
        limits: &Limits,
    ) -> Result<Option<Incoming>, Malformed> {
        let end = match head.content_length {
            Some(length) => Some(length - bytes.len()).filter(|end| *end < input.len()),
            None => input.iter().position(|byte| *byte == 0),
        };
        let piece = &input[..end.unwrap_or(input.len())];
        if head.content_length.is_none() && bytes.len() + piece.len() > head.body_limit(limits) {
            return Err(head.body_too_long(limits));
        }
        let Some(end) = end else {
            bytes.extend_from_slice(take_all(input));
            self.keep(Partial::Body { head, bytes });
            return Ok(None);
        };
        if input[end] != 0 {
            return Err(Malformed::NoNul(bytes.len() + end));
        }
        let body = if bytes.is_empty() {
            Bytes::copy_from_slice(piece)
        } else {
            bytes.extend_from_slice(piece);
            Bytes::from(bytes)
        };
        *input = &input[end + 1..];
        Ok(Some(Incoming::Frame(Frame { command: head.command, headers: head.headers, body })))
    }

    fn keep(&mut self, partial: Partial) {
        self.partial = Some(Box::new(partial));
    }
}

/// Goes on with a head line by line, so that no byte of the body is taken. True: the head is complete.
fn read_head(bytes: &mut Vec<u8>, scan: &mut Scan, input: &mut &[u8], limits: &Limits) -> Result<bool, Malformed> {
    while !input.is_empty() {
        let line = input.iter().position(|byte| matches!(byte, b'\n' | 0)).map_or(input.len(), |end| end + 1);
        let (line, rest) = input.split_at(line);
        bytes.extend_from_slice(line);
        *input = rest;
        if scan.find_end(bytes, limits)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn take_all<'a>(input: &mut &'a [u8]) -> &'a [u8] {
    std::mem::take(input)
}
