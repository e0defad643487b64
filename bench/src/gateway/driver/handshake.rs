//! Opening sockets, a few at a time: each step is written to all of a batch before the answers are read.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{
    dialect::{ACCEPT, Dialect, Exchange},
    frames,
};

/// Below every server's accept backlog, so that no handshake waits for a repeated SYN.
pub(super) const BATCH: usize = 64;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A socket that speaks WebSocket now, with what came behind the answers.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stream: TcpStream,
    pub(super) received: Vec<u8>,
}

/// Opens one socket for each of the rooms.
pub(super) fn subscribe(address: SocketAddr, dialect: Dialect, rooms: &[String]) -> Result<Vec<Opened>> {
    let mut batch = Vec::with_capacity(rooms.len());
    for room in rooms {
        batch.push((upgrade(address, dialect, room)?, dialect.subscribe(room)));
    }
    for (opened, _) in &mut batch {
        opened.switched()?;
    }
    for step in 0..batch.first().map_or(0, |(_, steps)| steps.len()) {
        for (opened, steps) in &mut batch {
            opened.send(&steps[step])?;
        }
        for (opened, steps) in &mut batch {
            opened.expect(&steps[step])?;
        }
    }
    batch.into_iter().map(|(opened, _)| opened.ready()).collect()
}

/// Opens a publishing connection: a plain one, to Redis where that is published by, or a WebSocket where the dialect publishes by that.
pub(super) fn publisher(address: SocketAddr, dialect: Dialect) -> Result<TcpStream> {
    let Some(steps) = dialect.publisher() else {
        let stream = connect(dialect.publishes_to().unwrap_or(address))?;
        stream.set_nonblocking(true)?;
        return Ok(stream);
    };
    let mut opened = upgrade(address, dialect, "")?;
    opened.switched()?;
    for step in steps {
        opened.send(&step)?;
        opened.expect(&step)?;
    }
    Ok(opened.ready()?.stream)
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).context("failed to connect")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    Ok(stream)
}

fn upgrade(address: SocketAddr, dialect: Dialect, room: &str) -> Result<Opened> {
    let mut stream = connect(address)?;
    stream.write_all(dialect.upgrade(room).as_bytes())?;
    Ok(Opened { stream, received: Vec::new() })
}

impl Opened {
    fn read(&mut self) -> Result<()> {
        let mut some = [0; 2048];
        let length = self.stream.read(&mut some).context("no answer in time")?;
        ensure!(length > 0, "closed during the handshake after {:?}", String::from_utf8_lossy(&self.received));
        self.received.extend_from_slice(&some[..length]);
        Ok(())
    }

    fn switched(&mut self) -> Result<()> {
        let end = loop {
            if let Some(at) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            self.read()?;
        };
        let head: Vec<u8> = self.received.drain(..end).collect();
        let head = String::from_utf8_lossy(&head);
        ensure!(head.starts_with("HTTP/1.1 101") && head.contains(ACCEPT), "the upgrade was refused: {head}");
        Ok(())
    }

    fn send(&mut self, step: &Exchange) -> Result<()> {
        let mut bytes = Vec::new();
        frames::write(frames::TEXT, step.send.as_bytes(), &mut bytes);
        Ok(self.stream.write_all(&bytes)?)
    }

    /// Reads frames up to the one that contains the answer.
    fn expect(&mut self, step: &Exchange) -> Result<()> {
        loop {
            while let Some((frame, rest)) = frames::next(&self.received)? {
                let text = String::from_utf8_lossy(frame.payload).into_owned();
                let rest = rest.len();
                self.received.drain(..self.received.len() - rest);
                ensure!(!text.starts_with("ERROR"), "refused: {text}");
                if text.contains(step.answer) {
                    return Ok(());
                }
            }
            self.read()?;
        }
    }

    fn ready(self) -> Result<Self> {
        self.stream.set_nonblocking(true)?;
        Ok(self)
    }
}
