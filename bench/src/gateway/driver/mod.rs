//! The load driver: one thread, epoll, any number of sockets in any number of rooms. It looks at frame headers and
//! stamps only, so that it keeps up with servers that do very little.

mod board;
mod body;
mod dialect;
mod frames;
mod handshake;
mod load;
mod publisher;
mod stalled;

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{
    Timespec,
    epoll::{self, CreateFlags, Event, EventData, EventFlags},
};

pub(crate) use dialect::Dialect;
pub(crate) use load::{Load, Pace};

use board::Board;
use publisher::Publisher;

const BUFFER: usize = 256 * 1024;
/// Few enough that what is due is not late because of them.
const EVENTS: usize = 256;
/// Event data from here on are publishers.
const PUBLISHERS: u64 = 1 << 32;

/// Where a server listens and what it speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) dialect: Dialect,
}

/// Sockets in rooms, and the connections that publish to them.
pub(crate) struct Fleet {
    endpoint: Endpoint,
    epoll: OwnedFd,
    sockets: Vec<Socket>,
    publishers: Vec<Publisher>,
    board: Board,
    /// Names, by number.
    rooms: Vec<String>,
    body: Vec<u8>,
    buffer: Vec<u8>,
    events: Vec<Event>,
    start: Instant,
}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    room: u32,
    expected: u32,
    /// The beginning of a frame whose end has not come yet.
    received: Vec<u8>,
}

impl Fleet {
    /// Without sockets. HTTP is published over a few connections, each room over one of them, so order can be checked.
    pub(crate) fn new(endpoint: Endpoint, rooms: usize) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let publishers = if endpoint.dialect.publisher().is_some() { 1 } else { rooms.min(4) };
        let publishers: Vec<Publisher> = (0..publishers)
            .map(|_| {
                let stream = handshake::publisher(endpoint.address, endpoint.dialect)?;
                Ok(Publisher::new(stream, endpoint.dialect))
            })
            .collect::<Result<_>>()?;
        for (data, publisher) in (PUBLISHERS..).zip(&publishers) {
            epoll::add(&epoll, &publisher.stream, EventData::new_u64(data), EventFlags::IN)?;
        }
        Ok(Self {
            endpoint,
            epoll,
            sockets: Vec::new(),
            publishers,
            board: Board::default(),
            rooms: (0..rooms).map(|room| format!("r{room}")).collect(),
            body: Vec::new(),
            buffer: vec![0; BUFFER],
            events: Vec::with_capacity(EVENTS),
            start: Instant::now(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Opens sockets until there are so many, spread evenly over the rooms.
    pub(crate) fn grow(&mut self, sockets: usize) -> Result<()> {
        while self.sockets.len() < sockets {
            let first = self.sockets.len();
            let batch = first..sockets.min(first + handshake::BATCH);
            let names: Vec<String> =
                batch.clone().map(|socket| self.rooms[socket % self.rooms.len()].clone()).collect();
            let opened = handshake::subscribe(self.endpoint.address, self.endpoint.dialect, &names)
                .with_context(|| format!("failed to open socket {first} or one of the next"))?;
            for (socket, opened) in batch.zip(opened) {
                let room = socket % self.rooms.len();
                epoll::add(&self.epoll, &opened.stream, EventData::new_u64(socket as u64), EventFlags::IN)?;
                self.board.add_reader(room);
                let expected = self.board.next(room);
                let room = u32::try_from(room)?;
                self.sockets.push(Socket { stream: opened.stream, room, expected, received: opened.received });
            }
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn publish(&mut self, room: usize, due: u64) {
        let number = self.board.published(room);
        body::write(body::Stamp { due, number }, &mut self.body);
        let publisher = room % self.publishers.len();
        self.publishers[publisher].publish(&self.rooms[room], &self.body);
    }

    fn flush(&mut self) -> Result<()> {
        for (data, publisher) in (PUBLISHERS..).zip(&mut self.publishers) {
            if !publisher.flush()? {
                let flags = EventFlags::IN | EventFlags::OUT;
                epoll::modify(&self.epoll, &publisher.stream, EventData::new_u64(data), flags)?;
            }
        }
        Ok(())
    }

    /// Waits for events, at most so long, and handles them.
    fn turn(&mut self, at_most: Duration) -> Result<()> {
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        let timeout = Timespec::try_from(at_most)?;
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            match event.data.u64().checked_sub(PUBLISHERS) {
                Some(publisher) => self.publisher_ready(usize::try_from(publisher)?, event.flags)?,
                None => self.socket_ready(usize::try_from(event.data.u64())?)?,
            }
        }
        self.events = events;
        Ok(())
    }

    fn publisher_ready(&mut self, index: usize, flags: EventFlags) -> Result<()> {
        let publisher = &mut self.publishers[index];
        if flags.contains(EventFlags::OUT) && publisher.flush()? {
            let data = EventData::new_u64(PUBLISHERS + index as u64);
            epoll::modify(&self.epoll, &publisher.stream, data, EventFlags::IN)?;
        }
        publisher.read(&mut self.buffer)
    }

    fn socket_ready(&mut self, index: usize) -> Result<()> {
        let socket = &mut self.sockets[index];
        let held = socket.received.len();
        self.buffer[..held].copy_from_slice(&socket.received);
        let length = match socket.stream.read(&mut self.buffer[held..]) {
            Ok(0) => bail!("the server closed socket {index}"),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("failed to read from socket {index}")),
        };
        socket.received.clear();
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut rest = &self.buffer[..held + length];
        while let Some((frame, behind)) = frames::next(rest)? {
            rest = behind;
            match frame.opcode {
                frames::TEXT | frames::BINARY => {
                    let bare = self.endpoint.dialect.bare();
                    ensure!(!bare || frame.payload.len() == self.body.len(), "a frame is not the body published");
                    let mut payload = frame.payload;
                    while let Some((stamp, behind)) = body::next(payload, self.body.len())? {
                        self.board.delivered(socket.room as usize, &mut socket.expected, stamp, now)?;
                        payload = behind;
                    }
                }
                frames::PING => {
                    let mut pong = Vec::new();
                    frames::write(frames::PONG, frame.payload, &mut pong);
                    socket.stream.write_all(&pong)?;
                }
                frames::CLOSE => bail!("the server closed socket {index}: {:?}", frame.payload),
                _ => {}
            }
        }
        socket.received.extend_from_slice(rest);
        Ok(())
    }
}
