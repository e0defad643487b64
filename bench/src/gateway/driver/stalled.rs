//! Readers that stop reading.

use std::{
    io::{ErrorKind, Read},
    time::{Duration, Instant},
};

use anyhow::Result;
use rustix::event::{
    Timespec,
    epoll::{self, CreateFlags, Event, EventData, EventFlags},
};

use super::Fleet;

/// After so long without a byte nothing more is coming.
const SILENCE: Duration = Duration::from_millis(300);
const READ_WITHIN: Duration = Duration::from_secs(10);

/// Sockets of a fleet that are not read from any more.
#[derive(Debug)]
pub(crate) struct Stalled(Vec<usize>);

impl Fleet {
    /// Every so-manieth socket is not read from any more; publishes are not waited for there.
    pub(crate) fn stall_every(&mut self, nth: usize) -> Result<Stalled> {
        let stalled: Vec<usize> = (0..self.sockets.len()).step_by(nth).collect();
        for index in &stalled {
            let socket = &self.sockets[*index];
            epoll::delete(&self.epoll, &socket.stream)?;
            self.board.remove_reader(socket.room as usize);
        }
        Ok(Stalled(stalled))
    }

    /// How many of them the server has cut off: they are read to their end, or until nothing comes.
    pub(crate) fn count_cut_off(&mut self, stalled: &Stalled) -> Result<usize> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for index in &stalled.0 {
            epoll::add(&epoll, &self.sockets[*index].stream, EventData::new_u64(*index as u64), EventFlags::IN)?;
        }
        let deadline = Instant::now() + READ_WITHIN;
        let (mut cut_off, mut events) = (0, Vec::<Event>::with_capacity(64));
        while cut_off < stalled.0.len() && Instant::now() < deadline {
            events.clear();
            epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&Timespec::try_from(SILENCE)?))?;
            if events.is_empty() {
                break;
            }
            for event in &events {
                let socket = &mut self.sockets[usize::try_from(event.data.u64())?];
                let ended = match socket.stream.read(&mut self.buffer) {
                    Ok(length) => length == 0,
                    Err(error) => error.kind() != ErrorKind::WouldBlock,
                };
                if ended {
                    epoll::delete(&epoll, &socket.stream)?;
                    cut_off += 1;
                }
            }
        }
        Ok(cut_off)
    }
}
