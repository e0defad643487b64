//! I3 and half of I5: nothing comes from nowhere, and what comes is what is on record, the same for everybody.

use std::collections::{HashMap, HashSet};

use super::super::history::{Event, Name, Sending, What};
use super::{Case, Counter, Findings};

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let sendings: HashMap<(&str, &str), &Sending> =
        case.history.sendings.iter().map(|sending| ((&*sending.user, &*sending.client_msg_id), sending)).collect();
    // what came by Kafka is judged by itself
    let wanted: HashSet<&str> = case.truth.ingest.iter().map(|wanted| &*wanted.id).collect();
    let ingested = case.truth.ingested.iter().filter(|(record, _)| wanted.contains(&***record));
    let ingested: HashSet<&(Name, u64)> = ingested.flat_map(|(_, places)| places).collect();
    for (id, conversation) in &case.truth.conversations {
        for stored in conversation.events.iter().filter(|stored| &*stored.event.kind == "MESSAGE") {
            let event = &stored.event;
            if ingested.contains(&(id.clone(), event.seq)) {
                continue;
            }
            match sendings.get(&(&*event.user, &*event.client_msg_id)) {
                None => {
                    let text = format!("seq {} of {id} is {}, which nobody sent", event.seq, event.client_msg_id);
                    findings.add("I3", Counter::Phantom, text);
                }
                Some(sending) => {
                    if let Some(code) = &sending.refused {
                        let text =
                            format!("{} was refused ({code}) and is seq {} of {id}", event.client_msg_id, event.seq);
                        findings.add("I3", Counter::Phantom, text);
                    }
                }
            }
        }
    }
    for session in &case.history.sessions {
        for entry in &session.seen {
            if let What::Event(event) = &entry.what {
                compare(case, event, &format!("device {} of {}", session.device, session.user), findings);
            }
        }
    }
    for event in &case.truth.topic {
        compare(case, event, "the topic", findings);
    }
    for event in case.truth.rest.values().flatten() {
        compare(case, event, "a reader by REST", findings);
    }
}

fn compare(case: &Case<'_>, event: &Event, who: &str, findings: &mut Findings) {
    let conversation = case.truth.conversations.get(&event.conversation);
    let Some(stored) = conversation.and_then(|conversation| conversation.stored(event.seq)) else {
        let text = format!("{who} got seq {} of {}, which is not in the database", event.seq, event.conversation);
        findings.add("I3", Counter::Phantom, text);
        return;
    };
    if stored.event.fingerprint != event.fingerprint {
        let text = format!("{who} got another seq {} of {} than the database has", event.seq, event.conversation);
        findings.add("I5", Counter::Phantom, text);
    }
}
