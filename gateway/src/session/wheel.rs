//! One timing wheel for all sessions: a session stands in it once, and is looked at when its next deadline may be due.

use std::sync::{Arc, Weak, atomic::Ordering};

use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use super::{
    Dialect, Session,
    deadlines::{Deadlines, Verdict},
    ticks::{self, TICK, Tick},
};

/// Slots of a tick each; what is due later is looked at once a round.
const ROUND: Tick = 1024;
const SLOTS: usize = ROUND as usize;

type Slot = Vec<(Weak<Session>, Tick)>;

#[derive(Debug)]
pub(crate) struct Wheel {
    deadlines: Deadlines,
    /// Of those who listen to user events.
    user_events: Deadlines,
    ring: Mutex<Ring>,
}

#[derive(Debug)]
struct Ring {
    slots: Vec<Slot>,
    /// The last tick whose slot was emptied.
    done: Tick,
}

impl Wheel {
    pub(crate) fn new(deadlines: Deadlines, user_events: Deadlines) -> Self {
        let slots = (0..SLOTS).map(|_| Slot::new()).collect();
        Self { deadlines, user_events, ring: Mutex::new(Ring { slots, done: ticks::now() }) }
    }

    /// Looks at the session at `tick` at the latest.
    pub(crate) fn schedule(&self, session: &Arc<Session>, tick: Tick) {
        let mut ring = self.ring.lock();
        // a slot already emptied would wait a whole round
        let tick = tick.clamp(ring.done + 1, ring.done + ROUND - 1);
        // an entry of another tick is stale from now on
        session.timer.store(tick, Ordering::Relaxed);
        ring.slots[tick as usize % SLOTS].push((Arc::downgrade(session), tick));
    }

    /// Judges the session and schedules its next look.
    pub(crate) fn look(&self, session: &Arc<Session>, now: Tick) {
        let listens = session.form().dialect == Dialect::UserEvents;
        let deadlines = if listens { &self.user_events } else { &self.deadlines };
        match deadlines.judge(&session.times(), now) {
            Verdict::Close(reason) => session.close(reason),
            Verdict::Ping { look_again } => {
                session.pinged.store(now, Ordering::Relaxed);
                if let Some(ping) = session.form().carrier.ping() {
                    session.send(ping);
                }
                session.ask_for_position();
                self.schedule(session, look_again.max(now + 1));
            }
            Verdict::Beat { look_again } => {
                session.beat(now);
                self.schedule(session, look_again.max(now + 1));
            }
            Verdict::Wait { look_again } => self.schedule(session, look_again.max(now + 1)),
        }
    }

    /// Turns until dropped.
    pub(crate) async fn turn(&self) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let now = ticks::now();
            loop {
                let due = self.ring.lock().advance(now);
                let Some(due) = due else { break };
                for (session, tick) in due {
                    if let Some(session) = session.upgrade()
                        && session.timer.load(Ordering::Relaxed) == tick
                    {
                        self.look(&session, now);
                    }
                }
            }
        }
    }
}

impl Ring {
    /// Empties the next slot, unless all up to `now` are.
    fn advance(&mut self, now: Tick) -> Option<Slot> {
        if self.done >= now {
            return None;
        }
        self.done += 1;
        Some(std::mem::take(&mut self.slots[self.done as usize % SLOTS]))
    }
}
