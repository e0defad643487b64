//! What a record asks for. Pure.

use chatcluster_contracts::{
    ids::{ClientMsgId, ConversationId, UserId},
    problem::{Code, Problem},
    record::{DirectRecord, IngestRecord, header},
    topics::Topic,
    trace::TraceParent,
};
use chatcluster_transport::event_log::Record;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::domain::message::Content;

/// A message that a producer wants stored. Whether the sender exists and may send is the store's question.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) sender_id: UserId,
    pub(super) conversation_id: ConversationId,
    /// `chat-messages` names who it is for, and they must be a member.
    pub(super) recipient_id: Option<UserId>,
    /// The same for the same record, however often it comes.
    pub(super) client_msg_id: ClientMsgId,
    pub(super) content: Content,
    pub(super) trace: Option<TraceParent>,
}

/// `service_sender`: in whose name `chat-messages` without a sender are stored.
pub(super) fn decode(record: &Record, service_sender: Option<&UserId>) -> Result<Wanted, Problem> {
    let trace = record.header(header::TRACEPARENT).and_then(TraceParent::parse);
    if record.partition.topic == Topic::Direct {
        let direct: DirectRecord = json(record)?;
        let sender = direct.sender_id.or_else(|| service_sender.cloned());
        let sender_id = sender.ok_or_else(|| Problem::new(Code::MissingField, "the record has no senderId"))?;
        return Ok(Wanted {
            sender_id,
            conversation_id: direct.conversation_id,
            recipient_id: Some(direct.recipient_id),
            client_msg_id: name(record, direct.id.as_deref()),
            content: Content::parse(direct.content)?,
            trace,
        });
    }
    let ingest: IngestRecord = json(record)?;
    Ok(Wanted {
        sender_id: ingest.sender_id,
        conversation_id: ingest.conversation_id,
        recipient_id: None,
        client_msg_id: ingest.client_msg_id.unwrap_or_else(|| name(record, ingest.id.as_deref())),
        content: Content::parse(ingest.content)?,
        trace,
    })
}

fn json<T: DeserializeOwned>(record: &Record) -> Result<T, Problem> {
    serde_json::from_slice(&record.value).map_err(|error| {
        let code = if error.is_data() { Code::InvalidField } else { Code::InvalidJson };
        Problem::new(code, error.to_string())
    })
}

/// The record's own id, or else where it lies. The time is part of the place: a topic that was deleted and created again
/// counts its offsets from 0.
fn name(record: &Record, id: Option<&str>) -> ClientMsgId {
    let id = id.or_else(|| record.header(header::ID)).filter(|id| !id.is_empty());
    #[cfg(feature = "plants")]
    let id = id.filter(|_| !chatcluster_service::plants::planted("ingest-twice"));
    let place = || format!("{}.{}.{}", record.partition.partition, record.offset, record.timestamp_ms);
    let text = format!("{}:{}", record.partition.topic.role_name(), id.map_or_else(place, str::to_owned));
    ClientMsgId::parse(&text).unwrap_or_else(|_| short(&text))
}

/// For ids that are too long or have characters that a client message id must not have.
fn short(text: &str) -> ClientMsgId {
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes());
    // A UUID consists of characters an id may have; the parse cannot fail.
    ClientMsgId::parse(&hash.to_string()).unwrap_or_else(|_| short(""))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chatcluster_transport::event_log::TopicPartition;

    use super::*;

    fn record(topic: Topic, value: &str) -> Record {
        let partition = TopicPartition { topic, partition: 2 };
        let value = Bytes::copy_from_slice(value.as_bytes());
        Record { partition, offset: 7, key: None, value, headers: Vec::new(), timestamp_ms: 99 }
    }

    fn ingest(value: &str) -> Result<Wanted, Problem> {
        decode(&record(Topic::Ingest, value), None)
    }

    #[test]
    fn a_record_is_named_by_its_client_message_id_its_id_or_its_place() {
        let named = |more: &str| {
            let value = format!(r#"{{"conversationId":"c","senderId":"u","content":"hi"{more}}}"#);
            ingest(&value).unwrap().client_msg_id.to_string()
        };
        assert_eq!(named(r#","id":"r1","clientMsgId":"m1""#), "m1");
        assert_eq!(named(r#","id":"r1""#), "ingest:r1");
        assert_eq!(named(""), "ingest:2.7.99");
        let odd = named(r#","id":"an id / with {odd} characters""#);
        assert_eq!(odd, named(r#","id":"an id / with {odd} characters""#));
        assert_ne!(odd, named(r#","id":"an id / with {other} characters""#));
    }

    #[test]
    fn a_header_names_a_record_without_id() {
        let mut record = record(Topic::Ingest, r#"{"conversationId":"c","senderId":"u","content":"hi"}"#);
        record.headers.push((header::ID.into(), Bytes::from_static(b"h1")));
        assert_eq!(decode(&record, None).unwrap().client_msg_id.as_str(), "ingest:h1");
    }

    #[test]
    fn what_cannot_be_a_message_is_refused_with_the_reason() {
        let refused = |value: &str| ingest(value).unwrap_err();
        assert_eq!(refused("{").code, Code::InvalidJson);
        assert!(refused(r#"{"senderId":"u","content":"hi"}"#).detail.contains("conversationId"));
        assert_eq!(refused(r#"{"conversationId":"c/d","senderId":"u","content":"hi"}"#).code, Code::InvalidField);
        assert_eq!(refused(r#"{"conversationId":"c","senderId":"u","content":" "}"#).code, Code::InvalidField);
        assert_eq!(ingest("\u{0}").unwrap_err().code, Code::InvalidJson);
    }

    #[test]
    fn a_direct_record_needs_a_sender_unless_one_is_configured() {
        let record = record(Topic::Direct, r#"{"recipientId":"bob","conversationId":"c","content":"Hello!"}"#);
        assert_eq!(decode(&record, None).unwrap_err().code, Code::MissingField);
        let service = UserId::parse("service").unwrap();
        let wanted = decode(&record, Some(&service)).unwrap();
        assert_eq!((wanted.sender_id, wanted.recipient_id.unwrap().as_str()), (service, "bob"));
    }
}
