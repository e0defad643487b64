//! Which request meets which fault: pure, the proxy only carries it out.

use std::time::Duration;

use http::Method;

/// One request as the proxy sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// With the query.
    pub path: String,
}

impl Request {
    /// A watch stays open; it is a GET otherwise.
    pub fn is_watch(&self) -> bool {
        let query = self.path.split_once('?').map(|(_, query)| query).unwrap_or_default();
        query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1")
    }

    pub fn is_write(&self) -> bool {
        ![Method::GET, Method::HEAD, Method::OPTIONS].contains(&self.method)
    }

    /// The method, or WATCH.
    pub fn verb(&self) -> &str {
        if self.is_watch() { "WATCH" } else { self.method.as_str() }
    }
}

/// Which requests a fault is about; empty is every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    verb: Option<String>,
    path: Option<String>,
    writes: bool,
    watches_not: bool,
}

impl Matching {
    pub fn all() -> Self {
        Self::default()
    }

    /// Whatever asks for a change.
    pub fn writes() -> Self {
        Self { writes: true, ..Self::default() }
    }

    /// Everything but the opening of watches, whose number and order differ from run to run.
    pub fn calls() -> Self {
        Self { watches_not: true, ..Self::default() }
    }

    /// An HTTP method, or WATCH.
    #[must_use]
    pub fn verb(mut self, verb: &str) -> Self {
        self.verb = Some(verb.to_owned());
        self
    }

    /// Contained in the path with its query, e.g. `/services/` or `/status`.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    pub fn matches(&self, request: &Request) -> bool {
        self.verb.as_ref().is_none_or(|verb| verb == request.verb())
            && self.path.as_ref().is_none_or(|part| request.path.contains(part))
            && (!self.writes || request.is_write())
            && !(self.watches_not && request.is_watch())
    }
}

/// What the client gets in place of the server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status, 400 or more.
    pub status: u16,
    pub retry_after: Option<Duration>,
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self { status, retry_after: None }
    }

    /// 429 as the API server's own limiter says it.
    pub fn too_many_requests(retry_after: Duration) -> Self {
        Self { status: 429, retry_after: Some(retry_after) }
    }
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does not reach the server.
    Answer(Answer),
    /// It does not reach the server; its connection and all others are cut, until the proxy is healed.
    CutBefore,
    /// The server has carried it out, the client never hears of it; all connections are cut, until the proxy is healed.
    CutAfter,
}

/// An effect on some of the matching requests.
#[derive(Clone, Debug)]
pub struct Fault {
    matching: Matching,
    effect: Effect,
    /// Matching requests that still pass.
    skip: u64,
    /// `None` is without end.
    times: Option<u64>,
}

impl Fault {
    /// On every request that matches.
    pub fn new(matching: Matching, effect: Effect) -> Self {
        Self { matching, effect, skip: 0, times: None }
    }

    /// Only on the `n`-th one that matches from now on, from 1.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        (self.skip, self.times) = (n.saturating_sub(1), Some(1));
        self
    }

    /// On so many and no more.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    fn meets(&mut self, request: &Request) -> bool {
        if !self.matching.matches(request) || self.times == Some(0) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times = self.times.map(|times| times - 1);
        true
    }
}

/// What is to happen to this request. Every fault counts it, the first that meets it wins.
pub(super) fn decide(faults: &mut [Fault], request: &Request) -> Option<Effect> {
    let mut effect = None;
    for fault in faults {
        if fault.meets(request) && effect.is_none() {
            effect = Some(fault.effect.clone());
        }
    }
    effect
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, path: &str) -> Request {
        Request { method, path: path.to_owned() }
    }

    #[test]
    fn the_nth_matching_request_meets_the_fault() {
        let conflict = Effect::Answer(Answer::new(409));
        let mut faults = [Fault::new(Matching::writes().path("/services/"), conflict.clone()).nth(2)];
        let patch = request(Method::PATCH, "/api/v1/namespaces/n/services/s?force=true");
        let seen: Vec<_> = [
            request(Method::GET, "/api/v1/namespaces/n/services/s"),
            patch.clone(),
            request(Method::PATCH, "/api/v1/namespaces/n/configmaps/c"),
            patch.clone(),
            patch,
        ]
        .iter()
        .map(|request| decide(&mut faults, request).is_some())
        .collect();
        assert_eq!(seen, [false, false, false, true, false]);
    }

    #[test]
    fn a_fault_without_a_number_meets_all_and_the_first_one_wins() {
        let mut faults = [
            Fault::new(Matching::all().verb("WATCH"), Effect::CutBefore).times(1),
            Fault::new(Matching::all(), Effect::Answer(Answer::new(500))),
        ];
        let watch = request(Method::GET, "/api/v1/pods?allowWatchBookmarks=true&watch=true");
        assert_eq!(decide(&mut faults, &watch), Some(Effect::CutBefore));
        assert_eq!(decide(&mut faults, &watch), Some(Effect::Answer(Answer::new(500))));
        assert!(!Matching::calls().matches(&watch) && Matching::calls().matches(&request(Method::GET, "/version")));
    }
}
