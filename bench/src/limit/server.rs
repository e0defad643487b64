//! The loop: wait for events, read requests, send.

use std::{
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    rc::Rc,
};

use anyhow::Result;
use rustix::{
    event::epoll::{self, CreateFlags, Event, EventData, EventFlags},
    net::{SocketFlags, accept_with},
};

use super::{
    connection::{Connection, Requests, Sent, Socket, read},
    request::{ACCEPTED, Request, frame, parse, switching_protocols},
    rooms::Rooms,
};

const LISTENER: u64 = u64::MAX;
const READ_BUFFER: usize = 256 * 1024;
const EVENTS: usize = 1024;

pub(super) struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    batched: bool,
    connections: Vec<Connection>,
    free: Vec<u32>,
    rooms: Rooms,
    buffer: Vec<u8>,
    frame: Vec<u8>,
}

impl Server {
    pub(super) fn new(listener: TcpListener, batched: bool) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        let (connections, free, rooms) = (Vec::new(), Vec::new(), Rooms::default());
        let (buffer, frame) = (vec![0; READ_BUFFER], Vec::new());
        Ok(Self { epoll, listener, batched, connections, free, rooms, buffer, frame })
    }

    pub(super) fn run(mut self) -> Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let slot = event.data.u64();
                if slot == LISTENER {
                    self.accept();
                    continue;
                }
                let slot = u32::try_from(slot)?;
                if self.ready(slot, event.flags).is_err() {
                    self.close(slot);
                }
            }
            while let Some(room) = self.rooms.next_dirty() {
                let mut round = std::mem::take(&mut self.rooms.get(room).round);
                self.deliver(room, &round);
                round.clear();
                self.rooms.get(room).round = round;
            }
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        while let Ok(accepted) = accept_with(&self.listener, flags) {
            let stream = TcpStream::from(accepted);
            let slot = self.free.pop().unwrap_or_else(|| {
                self.connections.push(Connection::Free);
                u32::try_from(self.connections.len() - 1).unwrap_or(u32::MAX)
            });
            let watched = stream.set_nodelay(true).is_ok() && self.watch(&stream, slot, EventFlags::IN, true).is_ok();
            if watched {
                self.connections[slot as usize] = Connection::Requests(Box::new(Requests::new(stream)));
            } else {
                self.free.push(slot);
            }
        }
    }

    fn watch(&self, stream: &TcpStream, slot: u32, flags: EventFlags, new: bool) -> Result<()> {
        let data = EventData::new_u64(slot.into());
        let change = if new { epoll::add } else { epoll::modify };
        Ok(change(&self.epoll, stream, data, flags)?)
    }

    fn ready(&mut self, slot: u32, flags: EventFlags) -> Result<()> {
        if flags.contains(EventFlags::OUT) {
            let (stream, sent) = match &mut self.connections[slot as usize] {
                Connection::Free => return Ok(()),
                Connection::Requests(requests) => (requests.flush().map(|sent| (&requests.stream, sent)))?,
                Connection::Socket(socket) => (socket.flush().map(|sent| (&socket.stream, sent)))?,
            };
            if sent == Sent::All {
                let data = EventData::new_u64(slot.into());
                epoll::modify(&self.epoll, stream, data, EventFlags::IN)?;
            }
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.read(slot)?;
        }
        Ok(())
    }

    fn read(&mut self, slot: u32) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = match &mut self.connections[slot as usize] {
            Connection::Free => Ok(()),
            Connection::Socket(socket) => read(&mut socket.stream, &mut buffer).map(|_| ()),
            Connection::Requests(requests) => {
                let held = requests.received.len();
                buffer[..held].copy_from_slice(&requests.received);
                requests.received.clear();
                match read(&mut requests.stream, &mut buffer[held..]) {
                    Ok(length) => self.requests(slot, &buffer[..held + length.unwrap_or(0)]),
                    Err(error) => Err(error),
                }
            }
        };
        self.buffer = buffer;
        outcome
    }

    /// Serves what is there as a whole and keeps the rest.
    fn requests(&mut self, slot: u32, mut bytes: &[u8]) -> Result<()> {
        let mut accepted = 0;
        while let Some((request, length)) = parse(bytes)? {
            match request {
                Request::Subscribe { room, key } => return self.subscribe(slot, room, key),
                Request::Publish { room, body } => self.publish(room, body),
            }
            accepted += 1;
            bytes = &bytes[length..];
        }
        anyhow::ensure!(bytes.len() < READ_BUFFER / 2, "a request is too long");
        let Connection::Requests(requests) = &mut self.connections[slot as usize] else { return Ok(()) };
        requests.received.extend_from_slice(bytes);
        if accepted > 0 && requests.answer(&ACCEPTED.repeat(accepted))? == Sent::Waits {
            let data = EventData::new_u64(slot.into());
            epoll::modify(&self.epoll, &requests.stream, data, EventFlags::IN | EventFlags::OUT)?;
        }
        Ok(())
    }

    fn subscribe(&mut self, slot: u32, room: &str, key: &str) -> Result<()> {
        let connection = std::mem::replace(&mut self.connections[slot as usize], Connection::Free);
        let Connection::Requests(mut requests) = connection else { return Ok(()) };
        requests.answer(switching_protocols(key).as_bytes())?;
        let room = self.rooms.join(room, slot);
        self.connections[slot as usize] = Connection::Socket(Socket::new(requests.stream, room));
        Ok(())
    }

    fn publish(&mut self, room: &str, body: &[u8]) {
        let Some(room) = self.rooms.number(room) else { return };
        if self.batched {
            frame(body, self.rooms.round(room));
            return;
        }
        let mut bytes = std::mem::take(&mut self.frame);
        bytes.clear();
        frame(body, &mut bytes);
        self.deliver(room, &bytes);
        self.frame = bytes;
    }

    fn deliver(&mut self, room: u32, bytes: &[u8]) {
        let members = std::mem::take(&mut self.rooms.get(room).members);
        let mut shared: Option<Rc<[u8]>> = None;
        let mut gone = Vec::new();
        for slot in &members {
            let Connection::Socket(socket) = &mut self.connections[*slot as usize] else { continue };
            match socket.send(bytes, &mut shared) {
                Ok(Sent::All | Sent::StillWaits) => {}
                Ok(Sent::Waits) => {
                    let data = EventData::new_u64((*slot).into());
                    if epoll::modify(&self.epoll, &socket.stream, data, EventFlags::IN | EventFlags::OUT).is_err() {
                        gone.push(*slot);
                    }
                }
                Err(_) => gone.push(*slot),
            }
        }
        self.rooms.get(room).members = members;
        for slot in gone {
            self.close(slot);
        }
    }

    fn close(&mut self, slot: u32) {
        match std::mem::replace(&mut self.connections[slot as usize], Connection::Free) {
            Connection::Free => return,
            Connection::Requests(_) => {}
            Connection::Socket(socket) => self.rooms.leave(socket.room, slot),
        }
        self.free.push(slot);
    }
}
