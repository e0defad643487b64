//! The platform's own JSON frames, one a message.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Heard, Resume, of_json};

pub(super) fn connect(token: &str, resume: Option<&Resume<'_>>) -> String {
    let mut connect = json!({"type": "CONNECT", "token": token});
    match resume {
        Some(Resume::Places(places)) => {
            let seqs: BTreeMap<&str, u64> = places.iter().map(|(id, seq)| (&**id, *seq)).collect();
            connect["resume"] = json!(seqs);
        }
        Some(Resume::Position(position)) => connect["position"] = json!(position),
        None => {}
    }
    connect.to_string()
}

pub(super) fn send(client_msg_id: &str, conversation: &str, content: &str) -> String {
    json!({"type": "SEND", "clientMsgId": client_msg_id, "conversationId": conversation, "content": content})
        .to_string()
}

pub(super) fn join(room: &str, after: Option<u64>, since: Option<&str>) -> String {
    let mut join = json!({"type": "JOIN", "roomId": room});
    if let Some(after) = after {
        join["after"] = json!(after);
    }
    if let Some(since) = since {
        join["since"] = json!(since);
    }
    join.to_string()
}

pub(super) fn leave(room: &str) -> String {
    json!({"type": "LEAVE", "roomId": room}).to_string()
}

pub(super) fn hear(text: &str) -> Vec<Heard> {
    of_json(text).into_iter().collect()
}
