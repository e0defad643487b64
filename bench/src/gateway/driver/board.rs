//! What was published and what arrived: every socket has to get every publish of its room, once and in order.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Result, ensure};

use super::body::Stamp;
use crate::percentiles::Samples;

#[derive(Debug, Default)]
pub(super) struct Board {
    rooms: Vec<Room>,
    /// Publishes that have not reached every reader of their room.
    pub(super) in_flight: usize,
    pub(super) delivered: u64,
    pub(super) latencies: Samples,
    /// Whether latencies are kept.
    pub(super) measuring: bool,
}

#[derive(Debug, Default)]
struct Room {
    readers: u32,
    /// Deliveries still to come, of the publishes from `first` on.
    missing: VecDeque<u32>,
    first: u32,
}

impl Board {
    pub(super) fn add_reader(&mut self, room: usize) {
        if self.rooms.len() <= room {
            self.rooms.resize_with(room + 1, Room::default);
        }
        self.rooms[room].readers += 1;
    }

    /// One that does not read any more is not waited for.
    pub(super) fn remove_reader(&mut self, room: usize) {
        self.rooms[room].readers -= 1;
    }

    pub(super) fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// The number of the next publish into a room.
    pub(super) fn published(&mut self, room: usize) -> u32 {
        let room = &mut self.rooms[room];
        room.missing.push_back(room.readers);
        self.in_flight += 1;
        room.first + u32::try_from(room.missing.len()).unwrap_or(u32::MAX) - 1
    }

    /// The number that a new reader of a room gets first.
    pub(super) fn next(&self, room: usize) -> u32 {
        let room = &self.rooms[room];
        room.first + u32::try_from(room.missing.len()).unwrap_or(u32::MAX)
    }

    /// `now` is in nanoseconds on the clock of the stamps.
    pub(super) fn delivered(&mut self, room: usize, expected: &mut u32, stamp: Stamp, now: u64) -> Result<()> {
        ensure!(
            stamp.number == *expected,
            "a socket of room {room} got number {} where {expected} was due",
            stamp.number
        );
        *expected += 1;
        self.delivered += 1;
        if self.measuring {
            self.latencies.add(Duration::from_nanos(now.saturating_sub(stamp.due)));
        }
        let room = &mut self.rooms[room];
        if let Some(missing) = room.missing.get_mut((stamp.number - room.first) as usize) {
            *missing -= 1;
        }
        while room.missing.front() == Some(&0) {
            room.missing.pop_front();
            room.first += 1;
            self.in_flight -= 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        let mut board = Board::default();
        board.add_reader(0);
        board.add_reader(0);
        assert_eq!((board.published(0), board.published(0)), (0, 1));
        board
    }

    #[test]
    fn a_publish_is_in_flight_until_all_have_it() {
        let mut board = board();
        let (mut one, mut other) = (0, 0);
        let stamp = |number| Stamp { due: 0, number };
        board.delivered(0, &mut one, stamp(0), 1).unwrap();
        board.delivered(0, &mut one, stamp(1), 1).unwrap();
        assert_eq!(board.in_flight, 2);
        board.delivered(0, &mut other, stamp(0), 1).unwrap();
        assert_eq!((board.in_flight, board.next(0)), (1, 2));
        board.delivered(0, &mut other, stamp(1), 1).unwrap();
        assert_eq!((board.in_flight, board.delivered), (0, 4));
    }

    #[test]
    fn a_gap_and_a_repetition_are_seen() {
        let stamp = |number| Stamp { due: 0, number };
        assert!(board().delivered(0, &mut 0, stamp(1), 1).is_err());
        let (mut board, mut one) = (board(), 0);
        board.delivered(0, &mut one, stamp(0), 1).unwrap();
        assert!(board.delivered(0, &mut one, stamp(0), 1).is_err());
    }
}
