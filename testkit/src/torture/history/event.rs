//! An event of a conversation, in the database, on the topic and in a frame.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use super::Name;

/// An event of a conversation as it stands in the database, on the topic and in a frame: the same JSON in all three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub conversation: Name,
    pub seq: u64,
    /// `MESSAGE`, `USER_JOINED`, `USER_LEFT`, ...
    pub kind: Name,
    /// Empty for events that are no messages.
    pub message_id: Name,
    /// Empty for events that are no messages.
    pub client_msg_id: Name,
    /// Who wrote it, or who joined or left.
    pub user: Name,
    /// Of the whole event: two events are the same when these are.
    pub fingerprint: u64,
}

impl Event {
    /// `None`: the frame is no event of a conversation.
    pub fn read(frame: &Value) -> Option<Self> {
        let kind = frame["type"].as_str()?;
        if matches!(kind, "ACK" | "STATUS" | "RESYNC" | "TYPING" | "ERROR" | "NOTIFICATION" | "POSITION") {
            return None;
        }
        let text = |field: &str| frame[field].as_str().unwrap_or_default();
        let conversation = frame["conversationId"].as_str()?;
        let seq = frame["seq"].as_u64()?;
        let user = if kind == "MESSAGE" { text("senderId") } else { text("userId") };
        let mut hasher = DefaultHasher::new();
        for part in
            [conversation, kind, text("messageId"), text("clientMsgId"), user, text("content"), text("createdAt")]
        {
            part.hash(&mut hasher);
        }
        seq.hash(&mut hasher);
        Some(Self {
            conversation: conversation.into(),
            seq,
            kind: kind.into(),
            message_id: text("messageId").into(),
            client_msg_id: text("clientMsgId").into(),
            user: user.into(),
            fingerprint: hasher.finish(),
        })
    }
}

/// Of any text: two are the same when these are.
pub fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_the_same_in_every_place_and_answers_are_none() {
        let frame = json!({"type": "MESSAGE", "conversationId": "c", "seq": 3, "messageId": "m", "clientMsgId": "x",
            "senderId": "ann", "content": "hi", "createdAt": "2026-01-01T00:00:00Z"});
        let event = Event::read(&frame).unwrap();
        assert_eq!((event.seq, &*event.user, &*event.kind), (3, "ann", "MESSAGE"));
        let mut other = frame.clone();
        other["content"] = json!("ho");
        assert_ne!(Event::read(&other).unwrap().fingerprint, event.fingerprint);
        let ack = json!({"type": "ACK", "conversationId": "c", "seq": 3, "messageId": "m", "clientMsgId": "x"});
        assert!(Event::read(&ack).is_none());
        let status = json!({"type": "STATUS", "conversationId": "c", "messageId": "m", "userId": "ann"});
        assert!(Event::read(&status).is_none());
    }
}
