//! Offering load and waiting until everything has arrived.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Fleet;
use crate::percentiles::Samples;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// Open loop: so many publishes a second, whatever comes back. Latency counts from when a publish was due.
    Rate(f64),
    /// Closed loop: so many publishes that have not reached all their readers.
    Window(usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) pace: Pace,
    /// Bytes of a body.
    pub(crate) body: usize,
    /// Not measured, before what is.
    pub(crate) warmup: Duration,
    pub(crate) measured: Duration,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    /// Per second, while measured.
    pub(crate) deliveries: f64,
    /// CPU time of the server for a delivery, microseconds.
    pub(crate) cpu: f64,
    /// Publish due -> frame read.
    pub(crate) latencies: Samples,
}

/// How long everything sent may take to arrive, and the longest silence while something is in flight.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// An open loop ends early when the server is so far behind: its latencies say enough.
const BEHIND: Duration = Duration::from_secs(3);

/// Where the measured interval begins or ends.
struct Mark {
    at: Instant,
    delivered: u64,
    cpu: Duration,
}

impl Fleet {
    /// `cpu` is asked for the server's CPU time so far, when the measured interval begins and when it ends.
    pub(crate) fn offer(&mut self, load: &Load, cpu: impl Fn() -> Result<Duration>) -> Result<Outcome> {
        self.body.resize(load.body, 0);
        let mark =
            |fleet: &Self| anyhow::Ok(Mark { at: Instant::now(), delivered: fleet.board.delivered, cpu: cpu()? });
        let start = Instant::now();
        let (begin, end) = (start + load.warmup, start + load.warmup + load.measured);
        let mut first = None;
        let mut published = 0;
        while Instant::now() < end {
            if first.is_none() && Instant::now() >= begin {
                first = Some(mark(self)?);
                self.board.measuring = true;
            }
            let Some(idle) = self.top_up(load.pace, start, &mut published)? else { break };
            self.flush()?;
            self.turn(idle.min(end.saturating_duration_since(Instant::now())))?;
        }
        let last = mark(self)?;
        // the slowest are among the last: their latencies count
        self.drain()?;
        self.board.measuring = false;
        let first = first.context("the server fell behind while it was warmed up")?;
        let deliveries = (last.delivered - first.delivered) as f64;
        Ok(Outcome {
            deliveries: deliveries / (last.at - first.at).as_secs_f64(),
            cpu: last.cpu.saturating_sub(first.cpu).as_secs_f64() * 1e6 / deliveries.max(1.0),
            latencies: std::mem::take(&mut self.board.latencies),
        })
    }

    /// Publishes what is due. Returns how long nothing will be; `None` when the server is too far behind.
    fn top_up(&mut self, pace: Pace, start: Instant, published: &mut u32) -> Result<Option<Duration>> {
        let rooms = self.board.rooms();
        match pace {
            Pace::Rate(rate) => loop {
                let due = start + Duration::from_secs_f64(f64::from(*published) / rate);
                let now = Instant::now();
                if due > now {
                    return Ok(Some(due - now));
                }
                if self.board.in_flight as f64 / rate > BEHIND.as_secs_f64() {
                    return Ok(None);
                }
                let stamp = u64::try_from((due - self.start).as_nanos())?;
                self.publish(*published as usize % rooms, stamp);
                *published += 1;
            },
            Pace::Window(window) => {
                while self.board.in_flight < window {
                    self.publish(*published as usize % rooms, self.now());
                    *published += 1;
                }
                Ok(Some(DRAIN_WITHIN))
            }
        }
    }

    /// Reads until everything published has reached its readers.
    fn drain(&mut self) -> Result<()> {
        let deadline = Instant::now() + DRAIN_WITHIN;
        while self.board.in_flight > 0 {
            self.flush()?;
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "{} publishes did not reach all their readers", self.board.in_flight);
            self.turn(left)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::gateway::driver::{Dialect, Endpoint};

    /// Readers in rooms of the least server.
    fn fleet(batched: bool, readers: usize, rooms: usize) -> Fleet {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || crate::limit::serve(listener, batched));
        let mut fleet = Fleet::new(Endpoint { address, dialect: Dialect::Rooms }, rooms).unwrap();
        fleet.grow(readers).unwrap();
        fleet
    }

    fn offer(fleet: &mut Fleet, pace: Pace, body: usize) -> Outcome {
        let load = Load { pace, body, warmup: Duration::from_millis(20), measured: Duration::from_millis(200) };
        fleet.offer(&load, || Ok(Duration::ZERO)).unwrap()
    }

    #[test]
    fn everything_published_arrives_at_every_reader() {
        for batched in [false, true] {
            let mut fleet = fleet(batched, 30, 3);
            let outcome = offer(&mut fleet, Pace::Window(12), 256);
            assert!(outcome.deliveries > 0.0 && outcome.latencies.len() > 0);
            let outcome = offer(&mut fleet, Pace::Rate(300.0), 40_000);
            assert!(outcome.deliveries > 0.0);
            // one that joins late expects what is published from then on
            fleet.grow(33).unwrap();
            offer(&mut fleet, Pace::Window(3), 256);
        }
    }

    #[test]
    fn the_others_are_served_while_some_do_not_read() {
        let mut fleet = fleet(false, 20, 1);
        let stalled = fleet.stall_every(10).unwrap();
        offer(&mut fleet, Pace::Window(8), 60_000);
        assert_eq!(fleet.count_cut_off(&stalled).unwrap(), 0);
    }
}
