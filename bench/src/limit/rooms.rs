//! Who is in which room, and what waits for a room in this round of events.

use std::collections::HashMap;

#[derive(Debug, Default)]
pub(super) struct Room {
    /// Slots of the sockets.
    pub(super) members: Vec<u32>,
    /// Frames of this round; only used when batched.
    pub(super) round: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Rooms {
    numbers: HashMap<String, u32>,
    by_number: Vec<Room>,
    /// Rooms with something in `round`.
    dirty: Vec<u32>,
}

impl Rooms {
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    pub(super) fn join(&mut self, name: &str, slot: u32) -> u32 {
        let number = self.number(name).unwrap_or_else(|| {
            let new = u32::try_from(self.by_number.len()).unwrap_or(u32::MAX);
            self.by_number.push(Room::default());
            self.numbers.insert(name.to_owned(), new);
            new
        });
        self.get(number).members.push(slot);
        number
    }

    pub(super) fn leave(&mut self, number: u32, slot: u32) {
        let members = &mut self.get(number).members;
        if let Some(at) = members.iter().position(|member| *member == slot) {
            members.swap_remove(at);
        }
    }

    pub(super) fn get(&mut self, number: u32) -> &mut Room {
        &mut self.by_number[number as usize]
    }

    /// The room's bytes of this round, to append to.
    pub(super) fn round(&mut self, number: u32) -> &mut Vec<u8> {
        let room = &mut self.by_number[number as usize];
        if room.round.is_empty() {
            self.dirty.push(number);
        }
        &mut room.round
    }

    /// A room that has something to send; it is not dirty any more.
    pub(super) fn next_dirty(&mut self) -> Option<u32> {
        self.dirty.pop()
    }
}
