//! What waits to be written to one client: bounded by bytes, unimportant frames go first. No socket in here.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};
use chatcluster_contracts::close::CloseReason;

use super::ticks::Tick;

/// May a frame be dropped when the client is slow?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Never: without it the client would miss something.
    Needed,
    /// Typing and presence: worth nothing later.
    Ephemeral,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queued {
    Yes,
    /// This many ephemeral frames were dropped, possibly the new one.
    Dropped(usize),
    /// It does not fit, and nothing is left to drop.
    Overflow,
    /// The session is over; the frame is for nobody.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    /// Nothing is accepted any more; what is queued still goes out.
    Over,
    /// Writing failed, or is over with: the peer is gone.
    Broken,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    queue: VecDeque<(Bytes, Priority)>,
    bytes: usize,
    limit: usize,
    /// The first frame is partly on the wire.
    started: bool,
    /// Someone promised to flush.
    pub(crate) dirty: bool,
    /// The socket accepted nothing more, since then.
    pub(crate) blocked_since: Option<Tick>,
    /// The server wants this connection closed.
    pub(crate) closing: Option<CloseReason>,
    pub(crate) life: Life,
}

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            limit,
            started: false,
            dirty: false,
            blocked_since: None,
            closing: None,
            life: Life::Open,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes waiting.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn has_room(&self) -> bool {
        self.bytes <= self.limit / 2
    }

    pub(crate) fn push(&mut self, frame: Bytes, priority: Priority) -> Queued {
        if self.life != Life::Open {
            return Queued::Over;
        }
        let mut dropped = 0;
        if priority == Priority::Ephemeral && !self.has_room() {
            return Queued::Dropped(1);
        }
        // one frame always fits: the limit is about waiting, not about size
        if self.bytes + frame.len() > self.limit && !self.queue.is_empty() {
            dropped = self.drop_ephemeral();
            if self.bytes + frame.len() > self.limit && !self.queue.is_empty() {
                return Queued::Overflow;
            }
        }
        self.bytes += frame.len();
        self.queue.push_back((frame, priority));
        if dropped > 0 { Queued::Dropped(dropped) } else { Queued::Yes }
    }

    fn drop_ephemeral(&mut self) -> usize {
        let (before, started) = (self.queue.len(), self.started);
        let mut index = 0;
        self.queue.retain(|(_, priority)| {
            index += 1;
            *priority == Priority::Needed || (started && index == 1)
        });
        self.bytes = self.queue.iter().map(|(frame, _)| frame.len()).sum();
        before - self.queue.len()
    }

    /// Forgets what is not on the wire yet: a client too slow for its queue is told so at once.
    pub(crate) fn cut(&mut self) {
        self.queue.truncate(usize::from(self.started));
        self.bytes = self.queue.iter().map(|(frame, _)| frame.len()).sum();
    }

    /// The front of the queue for one vectored write; returns how many slices are set.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, (frame, _)) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(frame);
            count += 1;
        }
        count
    }

    /// So many bytes went out.
    pub(crate) fn written(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some((frame, _)) = self.queue.front_mut() {
            if count < frame.len() {
                frame.advance(count);
                self.started |= count > 0;
                return;
            }
            count -= frame.len();
            self.started = false;
            self.queue.pop_front();
        }
        // an idle session keeps no buffer
        self.queue = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Bytes {
        Bytes::from(vec![b'x'; length])
    }

    #[test]
    fn typing_goes_first_then_the_session_overflows() {
        let mut outbox = Outbox::new(100);
        assert_eq!(outbox.push(frame(40), Priority::Needed), Queued::Yes);
        assert_eq!(outbox.push(frame(30), Priority::Ephemeral), Queued::Yes);
        assert_eq!(
            outbox.push(frame(1), Priority::Ephemeral),
            Queued::Dropped(1),
            "past half nothing ephemeral is taken"
        );
        assert_eq!(outbox.push(frame(50), Priority::Needed), Queued::Dropped(1));
        assert_eq!(outbox.bytes(), 90);
        assert_eq!(outbox.push(frame(50), Priority::Needed), Queued::Overflow);
    }

    #[test]
    fn a_frame_partly_written_is_finished_even_when_the_rest_is_cut() {
        let mut outbox = Outbox::new(100);
        outbox.push(frame(40), Priority::Ephemeral);
        outbox.push(frame(10), Priority::Needed);
        outbox.written(15);
        outbox.cut();
        assert_eq!(outbox.bytes(), 25);
        outbox.written(25);
        assert!(outbox.is_empty());
    }

    #[test]
    fn one_frame_always_fits() {
        let mut outbox = Outbox::new(10);
        assert_eq!(outbox.push(frame(50), Priority::Needed), Queued::Yes);
        assert_eq!(outbox.push(frame(1), Priority::Needed), Queued::Overflow);
    }
}
