//! What the clients of a run did and saw: the input of every check. No clock, no sockets.

use std::collections::{BTreeMap, hash_map::DefaultHasher};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde_json::Value;

/// Milliseconds since the run began.
pub type Ms = u64;
/// An id, shared by all entries that carry it.
pub type Name = Arc<str>;

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

/// One message that a user wanted to send, over all attempts.
#[derive(Clone, Debug)]
pub struct Sending {
    pub client_msg_id: Name,
    pub user: Name,
    pub conversation: Name,
    pub first_at: Ms,
    pub attempts: u32,
    /// Every acknowledgement that came.
    pub acks: Vec<Ack>,
    /// The code of a refusal that is final (`not_a_member`, ...), if the only attempt was answered with one.
    pub refused: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    pub at: Ms,
    pub conversation: Name,
    pub message_id: Name,
    pub seq: u64,
}

/// What a session is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Reads whatever comes.
    Reading,
    /// Reads a kilobyte a second, or nothing: has to be cut, and nobody else may notice.
    Slow,
}

/// Who ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    Server,
    Client,
}

#[derive(Clone, Debug)]
pub struct End {
    pub at: Ms,
    /// Of the close frame, when there was one.
    pub code: Option<u16>,
    pub by: EndedBy,
}

/// One connection of one device, from CONNECT to its end.
#[derive(Clone, Debug)]
pub struct Session {
    /// Sessions of one device follow each other and resume each other.
    pub device: u32,
    pub user: Name,
    pub gateway: usize,
    pub conduct: Conduct,
    /// When CONNECTED came.
    pub ready: Ms,
    /// Still open: `None`.
    pub end: Option<End>,
    /// Up to where the client said that it had seen each conversation.
    pub claims: BTreeMap<Name, u64>,
    /// The claims were made one by one; otherwise they came as a `position`, which may stand before what was seen.
    pub exact: bool,
    /// When the token ends.
    pub expires: Option<Ms>,
    /// In the order in which it came.
    pub seen: Vec<Seen>,
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Ms,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Event(Event),
    /// The events `from..=head` will not come.
    Resync {
        conversation: Name,
        from: u64,
        head: u64,
    },
    /// TYPING, STATUS: something of a conversation that has no seq.
    Other {
        conversation: Name,
    },
}

/// How far the workers' consumer group had committed while Redis answered nobody: at its start and at its end.
#[derive(Clone, Debug, Default)]
pub struct Stillness {
    pub at: Ms,
    /// Partition and committed offset.
    pub first: BTreeMap<i32, i64>,
    pub last: BTreeMap<i32, i64>,
}

/// A fault that was done.
#[derive(Clone, Debug)]
pub struct Happened {
    pub name: String,
    /// Which process of its kind, for those that have several.
    pub target: usize,
    pub at: Ms,
    /// When everything was up again.
    pub healed: Ms,
}

/// Everything that was recorded.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub sendings: Vec<Sending>,
    pub sessions: Vec<Session>,
    pub faults: Vec<Happened>,
    pub stillness: Vec<Stillness>,
    /// Most resident memory of a gateway that was seen, in bytes.
    pub gateway_memory: u64,
    /// When the offered load began.
    pub load_start: Ms,
    /// When it ended.
    pub load_end: Ms,
    /// When recording ended.
    pub end: Ms,
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
