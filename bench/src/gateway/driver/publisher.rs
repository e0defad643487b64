//! A connection that publishes, with as many publishes in flight as the driver likes.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use anyhow::{Context, Result, bail, ensure};

use super::{dialect::Dialect, frames};

#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) stream: TcpStream,
    dialect: Dialect,
    /// Publishes that are not written yet.
    out: Vec<u8>,
    received: Vec<u8>,
    /// Answers that have to come.
    outstanding: u64,
}

impl Publisher {
    pub(super) fn new(stream: TcpStream, dialect: Dialect) -> Self {
        Self { stream, dialect, out: Vec::new(), received: Vec::new(), outstanding: 0 }
    }

    pub(super) fn publish(&mut self, room: &str, body: &[u8]) {
        self.dialect.publish(room, body, &mut self.out);
        self.outstanding += 1;
    }

    /// Writes what the server takes; false when some is left.
    pub(super) fn flush(&mut self) -> Result<bool> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(sent) => drop(self.out.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("failed to publish"),
            }
        }
        Ok(true)
    }

    /// Reads answers; a refusal is an error.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<()> {
        match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed a publishing connection"),
            Ok(length) => self.received.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("failed to read what came of publishes"),
        }
        let mut rest = self.received.as_slice();
        if self.dialect.publisher().is_some() {
            while let Some((frame, behind)) = frames::next(rest)? {
                let refused = frame.opcode == frames::CLOSE || frame.payload.starts_with(b"ERROR");
                ensure!(!refused, "publishing was refused: {}", String::from_utf8_lossy(frame.payload));
                rest = behind;
            }
        } else {
            let answer = if self.dialect.publishes_to().is_some() { redis_answer } else { answer };
            while let Some(behind) = answer(rest)? {
                self.outstanding = self.outstanding.checked_sub(1).context("more answers than publishes")?;
                rest = behind;
            }
        }
        let read = self.received.len() - rest.len();
        self.received.drain(..read);
        Ok(())
    }
}

/// The bytes behind the first answer; `None` while it is not there as a whole.
fn answer(bytes: &[u8]) -> Result<Option<&[u8]>> {
    let mut headers = [httparse::EMPTY_HEADER; 24];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    let code = response.code.unwrap_or(0);
    ensure!((200..300).contains(&code), "a publish was answered by {code}");
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length =
        length.map_or(Ok(0), |header| std::str::from_utf8(header.value)?.parse().map_err(anyhow::Error::from))?;
    Ok(bytes.get(head + length..))
}

/// The bytes behind Redis's first answer: how many heard it.
fn redis_answer(bytes: &[u8]) -> Result<Option<&[u8]>> {
    let Some(end) = bytes.windows(2).position(|end| end == b"\r\n") else { return Ok(None) };
    ensure!(bytes[0] == b':', "a publish was answered by {}", String::from_utf8_lossy(&bytes[..end]));
    Ok(Some(&bytes[end + 2..]))
}
