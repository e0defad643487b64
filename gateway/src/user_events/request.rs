//! What a listener asks for, and whether it may. Pure.

use std::borrow::Cow;

use chatcluster_contracts::{
    ids::UserId,
    log_id::LogId,
    problem::{Code, Problem},
};
use chatcluster_service::tokens::Claims;

/// Most events of the past that may be asked for at once.
pub(crate) const MAX_HISTORY: usize = 1000;

/// What somebody wants to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: UserId,
    /// Each event is to carry its id.
    pub(crate) ids: bool,
    pub(crate) road: Road,
}

/// By which road events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Road {
    /// What is published from now on, as it is published.
    Live,
    /// What is in the log, and what comes to it.
    Log(Start),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The last so many first; 0: what comes from now on.
    Last(usize),
    /// What came after this first.
    After(LogId),
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

impl Wanted {
    /// `last_event_id`: what a browser says when it comes back; it knows better than the address it was given first.
    pub(crate) fn read(query: &str, last_event_id: Option<&str>) -> Result<Self, Problem> {
        let (mut name, mut ids, mut history, mut since) = (None, None, None, None);
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match key {
                "username" => &mut name,
                "ids" => &mut ids,
                "history" => &mut history,
                "since" => &mut since,
                _ => continue,
            };
            let value = decoded(value).ok_or_else(|| bad(format!("{key} is not encoded as addresses are")))?;
            if slot.replace(value).is_some() {
                return Err(bad(format!("{key} stands there twice")));
            }
        }
        let name = name.filter(|name| !name.is_empty()).ok_or_else(|| bad("username is missing: /ws?username=…"))?;
        let name = UserId::parse(&name).map_err(|invalid| bad(format!("username: {invalid}")))?;
        let ids = match ids.as_deref() {
            None | Some("0" | "false") => false,
            Some("1" | "true") => true,
            Some(_) => return Err(bad("ids is 1 or 0")),
        };
        let since = last_event_id.filter(|id| !id.is_empty()).map(Cow::Borrowed).or(since);
        let after =
            since.map(|id| id.parse::<LogId>().map_err(|invalid| bad(format!("since: {invalid}")))).transpose()?;
        let history = history.map(|count| match count.parse::<usize>() {
            Ok(count) if count <= MAX_HISTORY => Ok(count),
            _ => Err(bad(format!("history is a number up to {MAX_HISTORY}"))),
        });
        let road = match (after, history.transpose()?) {
            (Some(after), _) => Road::Log(Start::After(after)),
            (None, Some(count)) => Road::Log(Start::Last(count)),
            (None, None) if ids => Road::Log(Start::Last(0)),
            (None, None) => Road::Live,
        };
        Ok(Self { name, ids, road })
    }
}

/// May whoever has these claims listen to the name?
pub(super) fn entitled(name: &UserId, claims: Option<&Claims>) -> Result<(), Problem> {
    let Some(claims) = claims else {
        return Err(Problem::new(Code::Unauthenticated, "an Authorization header or a ticket is needed"));
    };
    if claims.user_id == *name || claims.user_events.contains(name) {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, "the token is neither this user's nor names it in its claim userEvents"))
}

/// Percent-encoding and plus signs undone.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Wanted, Problem> {
        Wanted::read(query, None)
    }

    #[test]
    fn without_anything_else_it_is_the_road_of_old() {
        let wanted = read("x=1&username=ann%40example.org&y").unwrap();
        assert_eq!((wanted.name.as_str(), wanted.ids, wanted.road), ("ann@example.org", false, Road::Live));
    }

    #[test]
    fn whoever_wants_ids_or_the_past_reads_the_log() {
        let road = |query: &str| read(query).unwrap().road;
        assert_eq!(road("username=a&ids=1"), Road::Log(Start::Last(0)));
        assert_eq!(road("username=a&history=3"), Road::Log(Start::Last(3)));
        let after = Road::Log(Start::After(LogId { ms: 5, n: 1 }));
        assert_eq!(road("username=a&history=3&since=5-1"), after);
        let back = Wanted::read("username=a&ids=1&since=1-0", Some("5-1")).unwrap();
        assert_eq!(back.road, after, "the browser knows better");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for query in [
            "",
            "username=",
            "username=a*",
            "username=a%20b",
            "username=%zz",
            "username=%4",
            "username=a&username=b",
            "username=%ff",
            "username=a&ids=2",
            "username=a&history=-1",
            "username=a&history=1001",
            "username=a&since=x",
        ] {
            assert_eq!(read(query).unwrap_err().code, Code::BadRequest, "{query}");
        }
        assert!(read(&format!("username={}", "a".repeat(200))).is_err());
    }

    #[test]
    fn a_token_speaks_for_its_subject_and_for_those_it_names() {
        let id = |text: &str| UserId::parse(text).unwrap();
        let claims = Claims {
            user_id: id("ann"),
            workspace_id: chatcluster_contracts::ids::WorkspaceId::default(),
            expires_at: 0,
            token_id: None,
            login: None,
            issuer: String::new(),
            user_events: vec![id("org_acme")],
            admin: true,
        };
        assert!(entitled(&id("ann"), Some(&claims)).is_ok() && entitled(&id("org_acme"), Some(&claims)).is_ok());
        assert_eq!(entitled(&id("bob"), Some(&claims)).unwrap_err().code, Code::Forbidden, "an admin neither");
        assert_eq!(entitled(&id("ann"), None).unwrap_err().code, Code::Unauthenticated);
    }
}
