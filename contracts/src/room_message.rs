//! What is published on a room's channel. One line of fields, and behind it what clients read.

use bytes::{Bytes, BytesMut};

use crate::{
    event::EventType,
    ids::{ConversationId, UserId},
    log_id::LogId,
    seq::Seq,
    trace::TraceParent,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomMessage {
    /// An event of the conversation's log: `e <seq> <type> <subject or -> <traceparent or ->`, and its JSON.
    Event {
        seq: Seq,
        event_type: EventType,
        /// Membership events: who joined or left.
        subject: Option<UserId>,
        payload: Bytes,
        trace: Option<TraceParent>,
    },
    /// A record that others put on `message.created`: `r <id> <id of the one before>` as in the room's log, and the frame.
    Record { id: LogId, before: LogId, frame: Bytes },
    /// The conversation has come this far: `d <seq>`.
    Digest { head: Seq },
    /// A JSON object that somebody published who knows nothing of all this.
    Foreign { data: Bytes },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message of a room")]
pub struct InvalidRoomMessage;

/// Longest first line, in bytes: ids are bounded.
const MAX_LINE: usize = 512;

impl RoomMessage {
    /// What is published. A record is published by the script that also logs it: see [`record_prefix`].
    pub fn encode(&self) -> Bytes {
        let (line, body) = match self {
            Self::Event { seq, event_type, subject, payload, trace } => {
                let subject = subject.as_ref().map_or("-", UserId::as_str);
                let trace = trace.map_or_else(|| "-".to_owned(), |trace| trace.to_string());
                (format!("e {seq} {} {subject} {trace}\n", event_type.as_str()), payload)
            }
            Self::Record { id, before, frame } => (format!("r {id} {before}\n"), frame),
            Self::Digest { head } => return format!("d {head}\n").into(),
            Self::Foreign { data } => return data.clone(),
        };
        let mut bytes = BytesMut::with_capacity(line.len() + body.len());
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(body);
        bytes.freeze()
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, InvalidRoomMessage> {
        if bytes.first() == Some(&b'{') {
            return Ok(Self::Foreign { data: bytes.clone() });
        }
        let end = bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n').ok_or(InvalidRoomMessage)?;
        let line = std::str::from_utf8(&bytes[..end]).map_err(|_| InvalidRoomMessage)?;
        let body = bytes.slice(end + 1..);
        let fields: Vec<&str> = line.split(' ').collect();
        match fields[..] {
            ["e", seq, event_type, subject, trace] => Ok(Self::Event {
                seq: seq_of(seq)?,
                event_type: EventType::parse(event_type).ok_or(InvalidRoomMessage)?,
                subject: match subject {
                    "-" => None,
                    subject => Some(UserId::parse(subject).map_err(|_| InvalidRoomMessage)?),
                },
                payload: body,
                trace: TraceParent::parse(trace),
            }),
            ["r", id, before] => Ok(Self::Record { id: log_id(id)?, before: log_id(before)?, frame: body }),
            ["d", head] => Ok(Self::Digest { head: seq_of(head)? }),
            _ => Err(InvalidRoomMessage),
        }
    }
}

fn seq_of(text: &str) -> Result<Seq, InvalidRoomMessage> {
    text.parse().ok().filter(|seq| *seq > 0).map(Seq::new).ok_or(InvalidRoomMessage)
}

fn log_id(text: &str) -> Result<LogId, InvalidRoomMessage> {
    text.parse().map_err(|_| InvalidRoomMessage)
}

/// The native frame of a record: made once, by the worker, and read by every client. `data`: the record's JSON as it came.
/// `id`: names the record among all of its topic; what somebody published by hand has none.
pub fn record_frame(room: &ConversationId, id: Option<&str>, data: &[u8]) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("\"id\":\"{id}\","));
    // neither a room's id nor a record's has anything that JSON escapes
    let begin = format!("{{\"type\":\"message\",\"roomId\":\"{room}\",{id}\"data\":");
    [begin.as_bytes(), data, b"}"].concat().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(message: &RoomMessage) {
        assert_eq!(RoomMessage::decode(&message.encode()).as_ref(), Ok(message));
    }

    #[test]
    fn what_is_published_is_read_again() {
        let payload = Bytes::from_static(b"{\"type\":\"MESSAGE\",\n\"x\":1}");
        let trace = TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert!(trace.is_some());
        let subject = Some(UserId::parse("ann").unwrap());
        for (subject, trace) in [(None, None), (subject, trace)] {
            let (seq, event_type) = (Seq::new(7), EventType::UserJoined);
            there_and_back(&RoomMessage::Event { seq, event_type, subject, payload: payload.clone(), trace });
        }
        let (id, before) = (LogId { ms: 5, n: 1 }, LogId::default());
        there_and_back(&RoomMessage::Record { id, before, frame: payload });
        there_and_back(&RoomMessage::Digest { head: Seq::new(9) });
        there_and_back(&RoomMessage::Foreign { data: Bytes::from_static(b"{\"roomId\":\"x\"}") });
    }

    #[test]
    fn what_nobody_can_mean_is_refused() {
        for bad in ["", "e", "e 0 MESSAGE - -\n{}", "e 1 NEWS - -\n{}", "d 1", "d x\n", "r 1 2\n{}", "[]", "z 1\n"] {
            assert_eq!(RoomMessage::decode(&Bytes::from(bad)), Err(InvalidRoomMessage), "{bad:?}");
        }
    }

    #[test]
    fn a_records_frame_holds_its_json_as_it_came() {
        let room = ConversationId::parse("room:1").unwrap();
        let frame = record_frame(&room, Some("3-17"), br#"{"b": 1, "roomId":"room:1"}"#);
        assert_eq!(frame, r#"{"type":"message","roomId":"room:1","id":"3-17","data":{"b": 1, "roomId":"room:1"}}"#);
        assert_eq!(record_frame(&room, None, b"{}"), r#"{"type":"message","roomId":"room:1","data":{}}"#);
    }

    proptest! {
        #[test]
        fn nothing_read_makes_it_panic(bytes: Vec<u8>) {
            let _ = RoomMessage::decode(&Bytes::from(bytes));
        }
    }
}
