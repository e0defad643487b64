//! One connection: first a request, then a publisher for good or a socket of 24 bytes.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    rc::Rc,
};

use anyhow::{Result, ensure};

/// A reader so far behind is given up.
const WAITING_LIMIT: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(super) enum Connection {
    Free,
    Requests(Box<Requests>),
    Socket(Socket),
}

/// Not yet known, or a publisher.
#[derive(Debug)]
pub(super) struct Requests {
    pub(super) stream: TcpStream,
    /// The beginning of a request whose end has not come yet.
    pub(super) received: Vec<u8>,
    /// Answers that the peer had no room for.
    pub(super) unsent: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    pub(super) room: u32,
    waiting: Option<Box<Waiting>>,
}

/// What a socket had no room for; the bytes are shared by all sockets of the room.
#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Rc<[u8]>>,
    sent_of_first: usize,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    All,
    /// From now on something waits until the socket is writable.
    Waits,
    /// Something has waited before and still does.
    StillWaits,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, room: u32) -> Self {
        Self { stream, room, waiting: None }
    }

    /// One send(2). `shared` is made at most once per room, for those that are behind.
    pub(super) fn send(&mut self, bytes: &[u8], shared: &mut Option<Rc<[u8]>>) -> Result<Sent> {
        let sent = if self.waiting.is_some() { 0 } else { write(&mut self.stream, bytes)? };
        if sent == bytes.len() {
            return Ok(Sent::All);
        }
        let outcome = if self.waiting.is_some() { Sent::StillWaits } else { Sent::Waits };
        let shared = shared.get_or_insert_with(|| Rc::from(bytes));
        let waiting =
            self.waiting.get_or_insert_with(|| Box::new(Waiting { sent_of_first: sent, ..Waiting::default() }));
        waiting.frames.push_back(Rc::clone(shared));
        waiting.bytes += bytes.len();
        ensure!(waiting.bytes <= WAITING_LIMIT, "a reader is too far behind");
        Ok(outcome)
    }

    /// The socket is writable again.
    pub(super) fn flush(&mut self) -> Result<Sent> {
        let Some(waiting) = &mut self.waiting else { return Ok(Sent::All) };
        while let Some(first) = waiting.frames.front() {
            waiting.sent_of_first += write(&mut self.stream, &first[waiting.sent_of_first..])?;
            if waiting.sent_of_first < first.len() {
                return Ok(Sent::StillWaits);
            }
            waiting.bytes -= first.len();
            waiting.sent_of_first = 0;
            waiting.frames.pop_front();
        }
        self.waiting = None;
        Ok(Sent::All)
    }
}

impl Requests {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, received: Vec::new(), unsent: Vec::new() }
    }

    pub(super) fn answer(&mut self, bytes: &[u8]) -> Result<Sent> {
        let sent = if self.unsent.is_empty() { write(&mut self.stream, bytes)? } else { 0 };
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(if self.unsent.is_empty() { Sent::All } else { Sent::Waits })
    }

    pub(super) fn flush(&mut self) -> Result<Sent> {
        let sent = write(&mut self.stream, &self.unsent)?;
        self.unsent.drain(..sent);
        Ok(if self.unsent.is_empty() { Sent::All } else { Sent::Waits })
    }
}

/// Bytes written; 0 when there is no room.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> Result<usize> {
    match stream.write(bytes) {
        Ok(sent) => Ok(sent),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Bytes read; `None` when there is nothing to read now. The end of the stream is an error.
pub(super) fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<Option<usize>> {
    match stream.read(buffer) {
        Ok(0) => Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
        Ok(length) => Ok(Some(length)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
