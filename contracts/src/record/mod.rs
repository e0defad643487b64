//! Kafka record values, one file a topic, and the headers every record carries.
//!
//! `message.all` has no type of its own: its value is the JSON of [`crate::event::Event`].

mod connection;
mod ingest;
mod notification;
mod status;
mod typing;
mod user;

pub use connection::ConnectionRecord;
pub use ingest::{DirectRecord, IngestRecord};
pub use notification::NotificationRecord;
pub use status::{Status, StatusRecord};
pub use typing::TypingRecord;
pub use user::{UserChange, UserRecord};

/// Record headers. `id` and `eventType` are what Debezium's Outbox Event Router writes, so that both relays agree.
pub mod header {
    /// The outbox row's UUID; consumers recognise a repeat by it.
    pub const ID: &str = "id";
    pub const EVENT_TYPE: &str = "eventType";
    pub const TRACEPARENT: &str = "traceparent";
    /// Dead letters: why, and where the record came from.
    pub const DLQ_REASON: &str = "dlq-reason";
    pub const DLQ_TOPIC: &str = "dlq-topic";
    pub const DLQ_PARTITION: &str = "dlq-partition";
    pub const DLQ_OFFSET: &str = "dlq-offset";
    /// All that a dead letter has beyond the headers of its record.
    pub const DEAD_LETTER: [&str; 4] = [DLQ_REASON, DLQ_TOPIC, DLQ_PARTITION, DLQ_OFFSET];
}

/// Encodes any record value. These types cannot fail to serialise.
pub fn to_json(record: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_own_examples_are_read() {
        let status: StatusRecord = serde_json::from_str(
            r#"{"messageId":"msg-789","conversationId":"conv-456","status":"READ","userId":"user-123","timestamp":"2025-11-11T22:30:00"}"#,
        )
        .unwrap();
        assert_eq!(status.status, Status::Read);
        let typing: TypingRecord = serde_json::from_str(
            r#"{"conversationId":"conv-456","userId":"user-123","isTyping":true,"timestamp":1699732200000}"#,
        )
        .unwrap();
        assert!(typing.is_typing);
        let direct: DirectRecord =
            serde_json::from_str(r#"{"content":"Hello!","recipientId":"user-123","conversationId":"conv-456"}"#)
                .unwrap();
        assert_eq!(direct.sender_id, None);
        let note: NotificationRecord = serde_json::from_str(
            r#"{"id":"notif-111","userId":"user-123","title":"New Message","content":"You have a new message from John","type":"NEW_MESSAGE","relatedEntityId":"msg-789","read":false,"createdAt":"2025-11-11T22:30:00"}"#,
        )
        .unwrap();
        assert_eq!(serde_json::from_slice::<NotificationRecord>(&to_json(&note)).unwrap(), note);
    }
}
