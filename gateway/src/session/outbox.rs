//! What waits to be written to one client: bounded by bytes, unimportant frames go first. No socket in here.
//!
//! Most sessions have nothing waiting, and most of the others one frame: neither allocates.

use std::{collections::VecDeque, io::IoSlice, task::Waker};

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
enum Waiting {
    Nothing,
    One(Bytes, Priority),
    Many(VecDeque<(Bytes, Priority)>),
}

#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: Waiting,
    bytes: usize,
    /// Bytes that the gateway's sum of waiting bytes holds for this session.
    pub(crate) counted: usize,
    /// Tasks that wait for room.
    #[expect(clippy::box_collection, reason = "eight bytes where nobody waits")]
    wakers: Option<Box<Vec<Waker>>>,
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
    pub(crate) const fn new() -> Self {
        Self {
            waiting: Waiting::Nothing,
            bytes: 0,
            counted: 0,
            wakers: None,
            started: false,
            dirty: false,
            blocked_since: None,
            closing: None,
            life: Life::Open,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self.waiting, Waiting::Nothing)
    }

    /// Bytes waiting.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn has_room(&self, limit: usize) -> bool {
        self.bytes <= limit / 2
    }

    /// Wakes `waker` when there may be room, or the session is over.
    pub(crate) fn wait_for_room(&mut self, waker: &Waker) {
        let wakers = self.wakers.get_or_insert_default();
        if !wakers.iter().any(|waiting| waiting.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    pub(crate) fn wake_those_waiting(&mut self) {
        for waker in self.wakers.take().into_iter().flat_map(|wakers| *wakers) {
            waker.wake();
        }
    }

    /// `limit`: bytes that may wait.
    pub(crate) fn push(&mut self, frame: Bytes, priority: Priority, limit: usize) -> Queued {
        if self.life != Life::Open {
            return Queued::Over;
        }
        let mut dropped = 0;
        if priority == Priority::Ephemeral && !self.has_room(limit) {
            return Queued::Dropped(1);
        }
        // one frame always fits: the limit is about waiting, not about size
        if self.bytes + frame.len() > limit && !self.is_empty() {
            dropped = self.drop_ephemeral();
            if self.bytes + frame.len() > limit && !self.is_empty() {
                return Queued::Overflow;
            }
        }
        self.bytes += frame.len();
        self.waiting = match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Nothing => Waiting::One(frame, priority),
            Waiting::One(first, its) => Waiting::Many(VecDeque::from([(first, its), (frame, priority)])),
            Waiting::Many(mut queue) => {
                queue.push_back((frame, priority));
                Waiting::Many(queue)
            }
        };
        if dropped > 0 { Queued::Dropped(dropped) } else { Queued::Yes }
    }

    fn drop_ephemeral(&mut self) -> usize {
        let started = self.started;
        let mut index = 0;
        let mut dropped = 0;
        self.retain(|priority| {
            index += 1;
            let keep = priority == Priority::Needed || (started && index == 1);
            dropped += usize::from(!keep);
            keep
        });
        dropped
    }

    /// Forgets what is not on the wire yet: a client too slow for its queue is told so at once.
    pub(crate) fn cut(&mut self) {
        let mut keep = self.started;
        self.retain(|_| std::mem::take(&mut keep));
    }

    /// Nothing more can be written.
    pub(crate) fn forget(&mut self) {
        self.nothing_waits();
        self.bytes = 0;
    }

    fn retain(&mut self, mut keep: impl FnMut(Priority) -> bool) {
        match &mut self.waiting {
            Waiting::Nothing => {}
            Waiting::One(_, priority) => {
                if !keep(*priority) {
                    self.waiting = Waiting::Nothing;
                    self.bytes = 0;
                }
            }
            Waiting::Many(queue) => {
                queue.retain(|(_, priority)| keep(*priority));
                self.bytes = queue.iter().map(|(frame, _)| frame.len()).sum();
                if queue.is_empty() {
                    self.waiting = Waiting::Nothing;
                }
            }
        }
    }

    /// The front of the queue for one vectored write; returns how many slices are set.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match &self.waiting {
            Waiting::Nothing => 0,
            Waiting::One(frame, _) => {
                slices[0] = IoSlice::new(frame);
                1
            }
            Waiting::Many(queue) => {
                let mut count = 0;
                for (slice, (frame, _)) in slices.iter_mut().zip(queue.iter()) {
                    *slice = IoSlice::new(frame);
                    count += 1;
                }
                count
            }
        }
    }

    /// The only frame, if there is just one.
    pub(crate) const fn only(&self) -> Option<&Bytes> {
        match &self.waiting {
            Waiting::One(frame, _) => Some(frame),
            Waiting::Nothing | Waiting::Many(_) => None,
        }
    }

    /// Takes whole frames off the front: at least one if any waits, and more up to about `max_bytes`.
    pub(crate) fn take(&mut self, max_bytes: usize, mut into: impl FnMut(Bytes)) {
        let mut taken = 0;
        while let Some(frame) = self.pop() {
            taken += frame.len();
            into(frame);
            if taken >= max_bytes {
                break;
            }
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        let (frame, more) = match &mut self.waiting {
            Waiting::Nothing => return None,
            Waiting::One(frame, _) => (std::mem::take(frame), false),
            Waiting::Many(queue) => (queue.pop_front()?.0, !queue.is_empty()),
        };
        self.bytes -= frame.len();
        if !more {
            self.nothing_waits();
        }
        Some(frame)
    }

    /// So many bytes went out.
    pub(crate) fn written(&mut self, mut count: usize) {
        self.bytes -= count;
        match &mut self.waiting {
            Waiting::Nothing => {}
            Waiting::One(frame, _) if count < frame.len() => {
                frame.advance(count);
                self.started |= count > 0;
            }
            Waiting::One(..) => self.nothing_waits(),
            Waiting::Many(queue) => {
                while let Some((frame, _)) = queue.front_mut() {
                    if count < frame.len() {
                        frame.advance(count);
                        self.started |= count > 0;
                        return;
                    }
                    count -= frame.len();
                    self.started = false;
                    queue.pop_front();
                }
                self.nothing_waits();
            }
        }
    }

    /// An idle session keeps no buffer.
    fn nothing_waits(&mut self) {
        self.started = false;
        self.waiting = Waiting::Nothing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 100;

    fn frame(length: usize) -> Bytes {
        Bytes::from(vec![b'x'; length])
    }

    #[test]
    fn typing_goes_first_then_the_session_overflows() {
        let mut outbox = Outbox::new();
        assert_eq!(outbox.push(frame(40), Priority::Needed, LIMIT), Queued::Yes);
        assert_eq!(outbox.push(frame(30), Priority::Ephemeral, LIMIT), Queued::Yes);
        assert_eq!(
            outbox.push(frame(1), Priority::Ephemeral, LIMIT),
            Queued::Dropped(1),
            "past half nothing ephemeral is taken"
        );
        assert_eq!(outbox.push(frame(50), Priority::Needed, LIMIT), Queued::Dropped(1));
        assert_eq!(outbox.bytes(), 90);
        assert_eq!(outbox.push(frame(50), Priority::Needed, LIMIT), Queued::Overflow);
    }

    #[test]
    fn a_frame_partly_written_is_finished_even_when_the_rest_is_cut() {
        let mut outbox = Outbox::new();
        outbox.push(frame(40), Priority::Ephemeral, LIMIT);
        outbox.push(frame(10), Priority::Needed, LIMIT);
        outbox.written(15);
        outbox.cut();
        assert_eq!(outbox.bytes(), 25);
        outbox.written(25);
        assert!(outbox.is_empty());
    }

    #[test]
    fn whole_frames_are_taken() {
        let mut outbox = Outbox::new();
        for length in [10, 20, 30] {
            outbox.push(frame(length), Priority::Needed, LIMIT);
        }
        let mut taken = Vec::new();
        outbox.take(11, |frame| taken.push(frame.len()));
        assert_eq!((&taken[..], outbox.bytes()), (&[10, 20][..], 30));
        outbox.take(1, |frame| taken.push(frame.len()));
        assert!(taken.len() == 3 && outbox.is_empty());
    }

    #[test]
    fn one_frame_always_fits() {
        let mut outbox = Outbox::new();
        assert_eq!(outbox.push(frame(50), Priority::Needed, 10), Queued::Yes);
        assert_eq!(outbox.push(frame(1), Priority::Needed, 10), Queued::Overflow);
    }
}
