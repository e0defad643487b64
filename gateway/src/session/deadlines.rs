//! When a session must be pinged or closed. Pure: ticks in, a verdict out.

use std::time::Duration;

use chatcluster_contracts::close::CloseReason;

use super::ticks::{self, Tick};
use crate::Options;

/// Nobody is pinged more often, in ticks.
const HASTIEST_PING: Tick = 50;

/// The limits that all sessions share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    pub(crate) connect: Tick,
    pub(crate) heartbeat: Tick,
    /// Silence after which the peer counts as gone.
    pub(crate) silence: Tick,
    pub(crate) write: Tick,
    /// From the first byte of a message to its last.
    pub(crate) message: Tick,
}

impl Deadlines {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            connect: ticks::of(options.connect_timeout),
            heartbeat: ticks::of(options.heartbeat),
            silence: ticks::of(options.heartbeat * 5 / 2),
            write: ticks::of(options.write_timeout),
            message: ticks::of(options.message_timeout),
        }
    }

    /// The same with another pause between pings.
    pub(crate) fn with_heartbeat(self, pause: Duration) -> Self {
        Self { heartbeat: ticks::of(pause), silence: ticks::of(pause * 5 / 2), ..self }
    }
}

impl Deadlines {
    /// Silent peers are pinged, and never given up for it.
    pub(crate) fn without_silence(self) -> Self {
        Self { silence: Tick::MAX / 4, ..self }
    }
}

/// What is known of a session when its time comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) opened: Tick,
    /// A CONNECT was accepted.
    pub(crate) connected: bool,
    pub(crate) heard: Tick,
    /// A living peer answers pings.
    pub(crate) answers: bool,
    pub(crate) pinged: Tick,
    /// The token's end.
    pub(crate) expires: Option<Tick>,
    /// A message has been arriving since then.
    pub(crate) partial_since: Option<Tick>,
    pub(crate) blocked_since: Option<Tick>,
    pub(crate) beats: Beats,
}

/// Signs of life that were agreed on, as STOMP's clients do; none unless they asked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beats {
    /// The client is to hear of us this often…
    pub(crate) send_every: Option<Tick>,
    /// …and was last told then.
    pub(crate) sent: Tick,
    /// We are to hear of the client this often.
    pub(crate) expect_every: Option<Tick>,
}

impl Beats {
    /// Pause after which the next one goes out: a little early, to be there in time.
    fn pause(&self) -> Option<Tick> {
        self.send_every.map(|every| (every.saturating_mul(9) / 10).max(1))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Close(CloseReason),
    Ping { look_again: Tick },
    Beat { look_again: Tick },
    Wait { look_again: Tick },
}

impl Deadlines {
    pub(crate) fn judge(&self, times: &Times, now: Tick) -> Verdict {
        let expired = times.expires.is_some_and(|expires| expires <= now);
        #[cfg(feature = "plants")]
        let expired = expired && !chatcluster_service::plants::planted("no-expiry");
        if expired {
            return Verdict::Close(CloseReason::TokenExpired);
        }
        let connect_by = times.opened + self.connect;
        if !times.connected && connect_by <= now {
            return Verdict::Close(CloseReason::Timeout);
        }
        let silent_at = self.silence(times).map(|silence| times.heard + silence);
        if silent_at.is_some_and(|at| at <= now) {
            return Verdict::Close(CloseReason::Timeout);
        }
        if times.partial_since.is_some_and(|since| since + self.message <= now) {
            return Verdict::Close(CloseReason::Timeout);
        }
        if times.blocked_since.is_some_and(|since| since + self.write <= now) {
            return Verdict::Close(CloseReason::SlowConsumer);
        }
        let heartbeat = self.heartbeat(times);
        let ping_at = times.heard.max(times.pinged) + heartbeat;
        let ping = ping_at <= now;
        let next_ping = if ping { now + heartbeat } else { ping_at };
        let pause = times.beats.pause();
        let beat = pause.is_some_and(|pause| times.beats.sent + pause <= now);
        let next_beat = pause.map(|pause| pause + if beat { now } else { times.beats.sent });
        let look_again = [
            Some(next_ping),
            silent_at,
            next_beat,
            times.expires,
            (!times.connected).then_some(connect_by),
            times.partial_since.map(|since| since + self.message),
            times.blocked_since.map(|since| since + self.write),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(next_ping);
        match (beat, ping) {
            // the other is due at the next look
            (true, true) => Verdict::Beat { look_again: now },
            (true, false) => Verdict::Beat { look_again },
            (false, true) => Verdict::Ping { look_again },
            (false, false) => Verdict::Wait { look_again },
        }
    }

    /// Silence after which this peer counts as gone. `None`: it need not say anything.
    fn silence(&self, times: &Times) -> Option<Tick> {
        let agreed = times.beats.expect_every.map(|every| every.saturating_mul(2));
        [agreed, times.answers.then_some(self.silence)].into_iter().flatten().min()
    }

    /// Pause after which this peer is pinged. A page in the background may be too slow for the signs of life it agreed on,
    /// while its browser still answers pings; who agreed on very frequent ones means it.
    fn heartbeat(&self, times: &Times) -> Tick {
        match times.beats.expect_every {
            Some(every) if times.answers => self.heartbeat.min((every.saturating_mul(3) / 2).max(HASTIEST_PING)),
            _ => self.heartbeat,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Deadlines = Deadlines { connect: 100, heartbeat: 250, silence: 625, write: 300, message: 200 };

    fn times() -> Times {
        Times {
            opened: 0,
            connected: true,
            heard: 0,
            answers: true,
            pinged: 0,
            expires: None,
            partial_since: None,
            blocked_since: None,
            beats: Beats::default(),
        }
    }

    #[test]
    fn silence_is_answered_by_a_ping_and_then_by_the_end() {
        assert_eq!(LIMITS.judge(&times(), 249), Verdict::Wait { look_again: 250 });
        assert_eq!(LIMITS.judge(&times(), 250), Verdict::Ping { look_again: 500 });
        let pinged = Times { pinged: 500, ..times() };
        assert_eq!(LIMITS.judge(&pinged, 500), Verdict::Wait { look_again: 625 });
        assert_eq!(LIMITS.judge(&pinged, 625), Verdict::Close(CloseReason::Timeout));
        let mute = Times { answers: false, ..pinged };
        assert_eq!(LIMITS.judge(&mute, 625), Verdict::Wait { look_again: 750 });
        let heard = Times { heard: 600, ..pinged };
        assert_eq!(LIMITS.judge(&heard, 625), Verdict::Wait { look_again: 850 });
    }

    #[test]
    fn agreed_signs_of_life_are_given_and_expected() {
        let beats = Beats { send_every: Some(100), sent: 0, expect_every: Some(100) };
        let agreed = Times { beats, ..times() };
        assert_eq!(LIMITS.judge(&agreed, 89), Verdict::Wait { look_again: 90 });
        assert_eq!(LIMITS.judge(&agreed, 90), Verdict::Beat { look_again: 150 });
        let beaten = Times { beats: Beats { sent: 90, ..beats }, ..agreed };
        assert_eq!(LIMITS.judge(&beaten, 150), Verdict::Ping { look_again: 180 }, "before it counts as gone");
        assert_eq!(LIMITS.judge(&beaten, 200), Verdict::Close(CloseReason::Timeout));
        let mute = Times { answers: false, ..times() };
        assert_eq!(LIMITS.judge(&mute, 10_000), Verdict::Ping { look_again: 10_250 });
        let mute = Times { beats: Beats { sent: 150, ..beats }, ..mute };
        assert_eq!(LIMITS.judge(&mute, 199), Verdict::Wait { look_again: 200 });
        assert_eq!(LIMITS.judge(&mute, 200), Verdict::Close(CloseReason::Timeout));
    }

    #[test]
    fn each_deadline_has_its_own_reason() {
        let new = Times { connected: false, ..times() };
        assert_eq!(LIMITS.judge(&new, 1), Verdict::Wait { look_again: 100 });
        assert_eq!(LIMITS.judge(&new, 100), Verdict::Close(CloseReason::Timeout));
        let expiring = Times { expires: Some(30), ..times() };
        assert_eq!(LIMITS.judge(&expiring, 29), Verdict::Wait { look_again: 30 });
        assert_eq!(LIMITS.judge(&expiring, 30), Verdict::Close(CloseReason::TokenExpired));
        let partial = Times { partial_since: Some(10), ..times() };
        assert_eq!(LIMITS.judge(&partial, 209), Verdict::Wait { look_again: 210 });
        assert_eq!(LIMITS.judge(&partial, 210), Verdict::Close(CloseReason::Timeout));
        let slow = Times { blocked_since: Some(10), heard: 300, ..times() };
        assert_eq!(LIMITS.judge(&slow, 310), Verdict::Close(CloseReason::SlowConsumer));
    }
}
