//! What a chapter comes to: the promises that were broken, and figures. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::torture::check::delivered::{Passage, passages};
use crate::torture::check::{Case, Counter, Finding};
use crate::torture::history::{EndedBy, Ms, Session, What};

/// A close frame that says: come back and go on from where you were. `docs/protocol.md` names the codes.
const RESUMABLE: [u16; 4] = [1012, 1013, 4410, 4429];

/// The figures of a chapter.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Messages that were acknowledged.
    pub acknowledged: usize,
    /// Events in frames, over all sessions.
    pub delivered: usize,
    /// Acknowledged but not on record, or on record and not seen by a client that was entitled to it.
    pub lost: usize,
    /// Seen again by the same client.
    pub repeated: usize,
    /// Seen after a later one.
    pub reordered: usize,
    /// Every promise that was broken, those counted above included, in words.
    pub broken: Vec<String>,
    /// From the end of a connection to the next CONNECTED, in ms, sorted.
    pub reconnects: Vec<Ms>,
    /// Connections that the server ended.
    pub closed: usize,
    /// With a close frame that invites to resume.
    pub closed_resumable: usize,
    /// How many clients each gateway has at the end.
    pub gateways: BTreeMap<String, usize>,
    /// The longest that an event took to a client that was there for it, in ms.
    pub slowest: Ms,
    /// From the last send until everything was seen, in seconds.
    pub quiet_s: f64,
}

impl Tally {
    pub(super) fn of(case: &Case<'_>, findings: &[Finding], gateways: &[String]) -> Self {
        let page = case.history;
        let count = |counter| findings.iter().filter(|finding| finding.counter == counter).count();
        let seen = || page.sessions.iter().flat_map(|session| &session.seen);
        // nothing is that old here: what a client is told to read elsewhere did not come
        let skipped = seen().filter(|seen| matches!(seen.what, What::Resync { .. })).count();
        let ends = || page.sessions.iter().filter_map(|session| session.end.as_ref());
        let closed = || ends().filter(|end| end.by == EndedBy::Server);
        let mut broken: Vec<String> =
            findings.iter().map(|finding| format!("{}: {}", finding.invariant, finding.text)).collect();
        if skipped > 0 {
            broken.push(format!("clients were told {skipped} times to read elsewhere (RESYNC)"));
        }
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for session in page.sessions.iter().filter(|session| session.end.is_none()) {
            let name = gateways.get(session.gateway).map_or("?", String::as_str);
            *places.entry(name.to_owned()).or_default() += 1;
        }
        let acks = page.sendings.iter().filter_map(|sending| sending.acks.first());
        Self {
            acknowledged: acks.filter(|ack| ack.at >= page.load_start).count(),
            delivered: seen().filter(|seen| matches!(seen.what, What::Event(_))).count(),
            lost: count(Counter::Lost) + count(Counter::Unseen) + skipped,
            repeated: count(Counter::Duplicated),
            reordered: count(Counter::Reordered),
            broken,
            reconnects: reconnects(&page.sessions),
            closed: closed().count(),
            closed_resumable: closed().filter(|end| end.code.is_some_and(|code| RESUMABLE.contains(&code))).count(),
            gateways: places,
            slowest: passages(case).iter().filter_map(Passage::lateness).max().unwrap_or_default(),
            quiet_s: 0.0,
        }
    }

    /// The reconnects' quantile, in ms, when there were any.
    pub fn reconnect(&self, quantile: f64) -> Option<Ms> {
        let count = u32::try_from(self.reconnects.len()).ok()?;
        let at_or_below = |index: usize| (index + 1) as f64 >= f64::from(count) * quantile;
        (0..self.reconnects.len()).find(|index| at_or_below(*index)).map(|index| self.reconnects[index])
    }

    /// Both chapters as one.
    pub fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
        self.broken.extend(other.broken.iter().cloned());
        self.reconnects.extend(&other.reconnects);
        self.reconnects.sort_unstable();
        self.closed += other.closed;
        self.closed_resumable += other.closed_resumable;
        self.gateways.clone_from(&other.gateways);
        self.slowest = self.slowest.max(other.slowest);
        self.quiet_s += other.quiet_s;
    }
}

fn reconnects(sessions: &[Session]) -> Vec<Ms> {
    let mut ended: HashMap<u32, Ms> = HashMap::new();
    let mut times = Vec::new();
    // in the order in which they began
    for session in sessions {
        if let Some(end) = ended.remove(&session.device) {
            times.push(session.ready.saturating_sub(end));
        }
        if let Some(end) = &session.end {
            ended.insert(session.device, end.at);
        }
    }
    times.sort_unstable();
    times
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::history::{Conduct, End, History};
    use crate::torture::truth::Truth;

    fn session(device: u32, ready: Ms, end: Option<(Ms, Option<u16>)>) -> Session {
        Session {
            device,
            user: "ann".into(),
            gateway: 0,
            conduct: Conduct::Reading,
            visit: None,
            ready,
            end: end.map(|(at, code)| End { at, code, by: EndedBy::Server }),
            claims: BTreeMap::new(),
            exact: true,
            expires: None,
            signed_out: None,
            seen: Vec::new(),
        }
    }

    #[test]
    fn reconnects_are_counted_from_end_to_ready_for_each_client() {
        let sessions = vec![
            session(1, 0, Some((100, Some(1012)))),
            session(2, 0, Some((110, None))),
            session(2, 410, None),
            session(1, 150, None),
        ];
        let page = History { sessions, ..History::default() };
        let case = Case { history: &page, truth: &Truth::default(), within: 1, grace: 1 };
        let tally = Tally::of(&case, &[], &["gateway-0".to_owned()]);
        assert_eq!(tally.reconnects, [50, 300]);
        assert_eq!((tally.closed, tally.closed_resumable), (2, 1));
        assert_eq!((tally.reconnect(0.0), tally.reconnect(0.99)), (Some(50), Some(300)));
        assert_eq!(tally.gateways["gateway-0"], 2);
    }
}
