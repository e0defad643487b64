//! A record that nobody can process, as it goes where people look: with the reason, and where it came from; and back.

use bytes::Bytes;
use chatcluster_contracts::record::header;

use super::{NewRecord, Record};

impl NewRecord {
    /// For the dead letters of the record's topic: the same key and value; its headers and the reason.
    pub fn dead_letter_of(record: &Record, reason: &str) -> Self {
        let mut letter = Self::once_more(record, true);
        letter.headers.extend([
            (header::DLQ_REASON.to_owned(), Bytes::copy_from_slice(reason.as_bytes())),
            (header::DLQ_TOPIC.to_owned(), Bytes::from_static(letter.topic.default_name().as_bytes())),
            (header::DLQ_PARTITION.to_owned(), Bytes::from(record.partition.partition.to_string())),
            (header::DLQ_OFFSET.to_owned(), Bytes::from(record.offset.to_string())),
        ]);
        letter
    }

    /// A dead letter on its way back to the topic it came from. What had no id gets one that is the same at every
    /// replay, so that a message is not stored twice.
    pub fn replay_of(letter: &Record) -> Self {
        let mut record = Self::once_more(letter, false);
        if letter.header(header::ID).is_none() {
            let place = |name: &str| letter.header(name).unwrap_or("?").to_owned();
            let id = format!("replay.{}.{}", place(header::DLQ_PARTITION), place(header::DLQ_OFFSET));
            record.headers.push((header::ID.to_owned(), Bytes::from(id)));
        }
        record
    }

    /// The same record again, without what only a dead letter has: one that is refused again says why it was last.
    fn once_more(record: &Record, dead_letter: bool) -> Self {
        let own = record.headers.iter().filter(|(name, _)| !header::DEAD_LETTER.contains(&name.as_str()));
        let key = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let (topic, value, headers) = (record.partition.topic, record.value.clone(), own.cloned().collect());
        Self { topic, dead_letter, key, value, headers }
    }
}
