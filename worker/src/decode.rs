//! Records become work.

use bytes::Bytes;
use chatcluster_contracts::{
    event::EventHead,
    frame::ServerFrame,
    ids::{ConversationId, UserId},
    record::{NotificationRecord, StatusRecord, TypingRecord, header},
    topics::Topic,
    trace::TraceParent,
};
use chatcluster_transport::event_log::Record;

/// What one record asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// An event for everyone entitled to its seq.
    Event { head: EventHead, payload: Bytes, trace: Option<TraceParent> },
    /// A frame for one user's sessions.
    Direct { user: UserId, payload: Bytes },
    /// A frame for the present members but one; worth nothing later.
    Typing { conversation: ConversationId, typist: UserId, payload: Bytes },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecodable {
    #[error("{0}")]
    Event(#[from] chatcluster_contracts::event::InvalidEvent),
    #[error("the value is not the JSON that was agreed: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the record has no user as its key")]
    Key,
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
        _ => Err(Undecodable::Topic),
    }
}

fn key(record: &Record) -> Result<UserId, Undecodable> {
    let text = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).ok_or(Undecodable::Key)?;
    UserId::parse(text).map_err(|_| Undecodable::Key)
}
