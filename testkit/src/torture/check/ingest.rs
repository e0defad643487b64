//! I21: what a service puts on `message.ingest` is stored as a message, once, however often the record comes, and in the
//! order of the log within a conversation; what must not be stored is a dead letter with the reason, and nothing else.

use std::collections::{HashMap, HashSet};

use super::super::truth::Wanted;
use super::{Case, Counter, Findings};

/// What the sender, or the conversation without it, is refused for.
const REASONS: [&str; 2] = ["unknown_user", "not_a_member"];

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let dead: HashMap<&str, &str> =
        case.truth.dead.iter().map(|letter| (&*letter.id, letter.reason.as_str())).collect();
    let mut judged: HashSet<&str> = HashSet::new();
    let mut heads: HashMap<&str, (u64, &str)> = HashMap::new();
    // a partition is read in order, and a conversation lies in one
    for wanted in &case.truth.ingest {
        let Wanted { id, conversation, .. } = wanted;
        if !judged.insert(id) {
            continue;
        }
        let places = case.truth.ingested.get(id).map(Vec::as_slice).unwrap_or_default();
        let letter = dead.get(&**id);
        if !is_fine(case, wanted) {
            if let Some((_, seq)) = places.first() {
                let text = format!("the record {id} had to be refused and is seq {seq} of {conversation}");
                findings.add("I21", Counter::Phantom, text);
            }
            if !letter.is_some_and(|reason| REASONS.iter().any(|code| reason.starts_with(code))) {
                let text = format!("the record {id} had to be refused, and its dead letter is {letter:?}");
                findings.add("I21", Counter::Lost, text);
            }
            continue;
        }
        if let Some(reason) = letter {
            let text = format!("the record {id} of {conversation} was refused for no reason: {reason}");
            findings.add("I21", Counter::Other, text);
        }
        let [(stored_in, seq), repeats @ ..] = places else {
            if letter.is_none() {
                findings.add("I21", Counter::Lost, format!("the record {id} of {conversation} was not stored"));
            }
            continue;
        };
        for (_, again) in repeats {
            let text = format!("the record {id} is seq {seq} and again seq {again} of {conversation}");
            findings.add("I21", Counter::Duplicated, text);
        }
        if stored_in != conversation {
            let text = format!("the record {id} of {conversation} is seq {seq} of {stored_in}");
            findings.add("I21", Counter::Leaked, text);
            continue;
        }
        let (head, before) = heads.entry(conversation).or_insert((0, ""));
        if seq < head {
            let text =
                format!("the record {id} came after {before}, and is seq {seq} of {conversation}, before {head}");
            findings.add("I21", Counter::Reordered, text);
        }
        (*head, *before) = ((*seq).max(*head), id);
    }
}

/// Senders are members from the first to the last moment, or never.
fn is_fine(case: &Case<'_>, wanted: &Wanted) -> bool {
    let conversation = case.truth.conversations.get(&wanted.conversation);
    conversation.is_some_and(|conversation| conversation.members.contains_key(&wanted.sender))
}
