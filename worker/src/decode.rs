//! Records become work.

use bytes::Bytes;
use chatcluster_contracts::{
    event::EventHead,
    frame::ServerFrame,
    ids::{ConversationId, InvalidId, UserId},
    record::{NotificationRecord, StatusRecord, TypingRecord, header},
    room_message::record_frame,
    topics::Topic,
    trace::TraceParent,
};
use chatcluster_transport::{
    channels::rooms::{RoomRecord, record_id},
    event_log::Record,
};
use serde::Deserialize;

/// What one record asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// An event for everyone entitled to its seq.
    Event { head: EventHead, payload: Bytes, trace: Option<TraceParent> },
    /// A frame for one user's sessions.
    Direct { user: UserId, payload: Bytes },
    /// A frame for the present members but one; worth nothing later.
    Typing { conversation: ConversationId, typist: UserId, payload: Bytes },
    /// For everybody in a room.
    Room(RoomRecord),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecodable {
    #[error("{0}")]
    Event(#[from] chatcluster_contracts::event::InvalidEvent),
    #[error("the value is not the JSON that was agreed: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the record has no user as its key")]
    Key,
    #[error("the value is not a JSON object with a roomId: {0}")]
    Room(serde_json::Error),
    #[error("the roomId: {0}")]
    RoomId(#[from] InvalidId),
    #[error("nothing is done with records of this topic here")]
    Topic,
}

pub(crate) fn decode(record: &Record) -> Result<Work, Undecodable> {
    match record.partition.topic {
        Topic::Messages => Ok(Work::Event {
            head: EventHead::of_json(&record.value)?,
            payload: record.value.clone(),
            trace: record.header(header::TRACEPARENT).and_then(TraceParent::parse),
        }),
        Topic::Status => {
            let status: StatusRecord = serde_json::from_slice(&record.value)?;
            Ok(Work::Direct { user: key(record)?, payload: ServerFrame::status(&status).to_json().into() })
        }
        Topic::Notifications => {
            let notification: NotificationRecord = serde_json::from_slice(&record.value)?;
            let frame = ServerFrame::Notification { notification: &notification }.to_json();
            Ok(Work::Direct { user: notification.user_id, payload: frame.into() })
        }
        Topic::Typing => {
            let typing: TypingRecord = serde_json::from_slice(&record.value)?;
            let frame = ServerFrame::Typing {
                conversation_id: &typing.conversation_id,
                user_id: &typing.user_id,
                is_typing: typing.is_typing,
            };
            let payload = frame.to_json().into();
            Ok(Work::Typing { conversation: typing.conversation_id, typist: typing.user_id, payload })
        }
        Topic::Created => room(record).map(Work::Room),
        _ => Err(Undecodable::Topic),
    }
}

fn key(record: &Record) -> Result<UserId, Undecodable> {
    let text = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).ok_or(Undecodable::Key)?;
    UserId::parse(text).map_err(|_| Undecodable::Key)
}

/// Whatever others put there, as long as it says for which room. Services write ids as texts or as numbers.
fn room(record: &Record) -> Result<RoomRecord, Undecodable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire<'a> {
        #[serde(borrow)]
        room_id: RoomId<'a>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum RoomId<'a> {
        #[serde(borrow)]
        Text(std::borrow::Cow<'a, str>),
        Number(u64),
    }
    let wire: Wire<'_> = serde_json::from_slice(&record.value).map_err(Undecodable::Room)?;
    let room = match wire.room_id {
        RoomId::Text(text) => ConversationId::parse(&text)?,
        RoomId::Number(number) => ConversationId::parse(&number.to_string())?,
    };
    let (partition, offset) = (record.partition.partition, record.offset);
    let frame = record_frame(&room, Some(&record_id(partition, offset)), record.value.trim_ascii());
    Ok(RoomRecord { room, partition, offset, timestamp_ms: record.timestamp_ms, frame })
}

#[cfg(test)]
mod tests {
    use chatcluster_transport::event_log::TopicPartition;

    use super::*;

    fn record(value: &str) -> Record {
        Record {
            partition: TopicPartition { topic: Topic::Created, partition: 3 },
            offset: 17,
            key: None,
            value: Bytes::copy_from_slice(value.as_bytes()),
            headers: Vec::new(),
            timestamp_ms: 5,
        }
    }

    #[test]
    fn any_object_that_names_its_room_is_for_it() {
        let Ok(Work::Room(room)) = decode(&record(" {\"x\": [1], \"roomId\":\"r:1\"}\n")) else { panic!("refused") };
        let frame = r#"{"type":"message","roomId":"r:1","id":"3-17","data":{"x": [1], "roomId":"r:1"}}"#;
        assert_eq!((room.room.as_str(), &room.frame[..]), ("r:1", frame.as_bytes()));
        let Ok(Work::Room(room)) = decode(&record(r#"{"roomId":123}"#)) else { panic!("refused") };
        assert_eq!(room.room.as_str(), "123");
        for bad in ["", "{}", "[]", "\"r\"", r#"{"roomId":null}"#, r#"{"roomId":"a b"}"#, r#"{"roomId":"r"} x"#] {
            assert!(decode(&record(bad)).is_err(), "{bad}");
        }
    }
}
