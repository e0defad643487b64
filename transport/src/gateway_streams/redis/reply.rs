//! Reading Redis' answers about streams. Pure.

use bytes::Bytes;
use chatcluster_contracts::stream_entry::StreamEntry;
use redis::Value;

use super::super::EntryId;

/// The entries of one XREADGROUP.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) decoded: Vec<(EntryId, StreamEntry)>,
    pub(super) undecodable: Vec<EntryId>,
    /// Some were pending, but trimmed since.
    pub(super) deleted: bool,
    last: Option<EntryId>,
    count: usize,
}

impl Entries {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn last_id(&self) -> Option<EntryId> {
        self.last.clone()
    }
}

/// `[[key, [[id, [field, value, ...]], ...]]]`, or nil when nothing came. A pending entry that was trimmed has nil for
/// its fields.
pub(super) fn entries(reply: Value) -> Entries {
    let mut found = Entries::default();
    let streams = array(reply);
    for listed in streams.into_iter().filter_map(|stream| array(stream).into_iter().nth(1)).flat_map(array) {
        let mut parts = array(listed).into_iter();
        let (Some(Value::BulkString(id)), fields) = (parts.next(), parts.next()) else { continue };
        let id = String::from_utf8_lossy(&id).into_owned();
        found.count += 1;
        found.last = Some(id.clone());
        // Nil instead of fields: trimmed while it was pending.
        let entry = if let Some(Value::Array(fields)) = fields {
            decode(fields)
        } else {
            found.deleted = true;
            None
        };
        match entry {
            Some(entry) => found.decoded.push((id, entry)),
            None => found.undecodable.push(id),
        }
    }
    found
}

fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        _ => Vec::new(),
    }
}

fn decode(fields: Vec<Value>) -> Option<StreamEntry> {
    let mut pairs: Vec<(String, Bytes)> = Vec::with_capacity(fields.len() / 2);
    let mut values = fields.into_iter();
    while let (Some(Value::BulkString(name)), Some(Value::BulkString(value))) = (values.next(), values.next()) {
        pairs.push((String::from_utf8(name).ok()?, Bytes::from(value)));
    }
    StreamEntry::from_fields(pairs.iter().map(|(name, value)| (name.as_str(), value.clone()))).ok()
}

/// What XINFO STREAM says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamInfo {
    pub(super) length: u64,
    pub(super) last_id: EntryId,
    /// Entries ever added; Redis 7 and later.
    pub(super) added: Option<u64>,
    first_id: Option<EntryId>,
}

/// Where a reader stands in its stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) position: u64,
    pub(super) unread: u64,
    pub(super) gap: bool,
}

impl StreamInfo {
    pub(super) fn of_reply(reply: &Value) -> Self {
        let mut info = Self { length: 0, last_id: "0-0".to_owned(), added: None, first_id: None };
        let Value::Array(parts) = reply else { return info };
        for pair in parts.chunks_exact(2) {
            let name = match &pair[0] {
                Value::BulkString(name) => &name[..],
                Value::SimpleString(name) => name.as_bytes(),
                _ => continue,
            };
            match (name, &pair[1]) {
                (b"length", Value::Int(length)) => info.length = u64::try_from(*length).unwrap_or(0),
                (b"entries-added", Value::Int(added)) => info.added = u64::try_from(*added).ok(),
                (b"last-generated-id", Value::BulkString(id)) => {
                    info.last_id = String::from_utf8_lossy(id).into_owned();
                }
                (b"first-entry", Value::Array(entry)) => {
                    if let Some(Value::BulkString(id)) = entry.first() {
                        info.first_id = Some(String::from_utf8_lossy(id).into_owned());
                    }
                }
                _ => {}
            }
        }
        info
    }

    /// Compares the stream with a reader that has read everything up to `position` entries ever added, the last of
    /// them `last_id`. Streams are trimmed to about `max_length`.
    pub(super) fn compare(&self, position: u64, last_id: &str, max_length: u64) -> Standing {
        match self.added {
            Some(added) if added < position => Standing { position: added, unread: 0, gap: true },
            // Everything there is was read: whatever the count misses was trimmed unread.
            Some(added) if parts(last_id) >= parts(&self.last_id) => {
                Standing { position: added, unread: 0, gap: added > position }
            }
            Some(added) => {
                // What is no longer there was trimmed from the front.
                let trimmed = added.saturating_sub(self.length);
                let position_now = position.max(trimmed);
                Standing { position: position_now, unread: added - position_now, gap: trimmed > position }
            }
            // Redis 6.2 does not count. Trimming starts at the full length, and a reader that kept up has its last
            // entry still in the stream.
            None => {
                let passed = match (&self.first_id, self.length >= max_length) {
                    (Some(first), true) => parts(first) > parts(last_id),
                    _ => false,
                };
                let unread = if parts(&self.last_id) > parts(last_id) { self.length } else { 0 };
                Standing { position, unread, gap: passed }
            }
        }
    }
}

/// `<ms>-<n>` as numbers.
fn parts(id: &str) -> (u64, u64) {
    let (ms, n) = id.split_once('-').unwrap_or((id, "0"));
    (ms.parse().unwrap_or(0), n.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(length: u64, added: Option<u64>, first: &str) -> StreamInfo {
        StreamInfo { length, last_id: "900-0".to_owned(), added, first_id: Some(first.to_owned()) }
    }

    #[test]
    fn trimmed_unread_entries_are_a_gap_and_trimmed_read_ones_are_not() {
        assert_eq!(
            info(10, Some(30), "1-0").compare(20, "1-0", 1000),
            Standing { position: 20, unread: 10, gap: false }
        );
        assert_eq!(
            info(10, Some(30), "1-0").compare(25, "1-0", 1000),
            Standing { position: 25, unread: 5, gap: false }
        );
        assert_eq!(
            info(10, Some(30), "1-0").compare(19, "1-0", 1000),
            Standing { position: 20, unread: 10, gap: true }
        );
        assert!(info(0, Some(3), "1-0").compare(7, "1-0", 1000).gap, "the data went back in time");
        let all_read = info(10, Some(30), "1-0");
        assert_eq!(all_read.compare(30, "900-0", 1000), Standing { position: 30, unread: 0, gap: false });
        assert_eq!(all_read.compare(28, "900-0", 1000), Standing { position: 30, unread: 0, gap: true });
    }

    #[test]
    fn without_a_count_the_first_id_tells() {
        assert!(info(1000, None, "20-1").compare(0, "20-0", 1000).gap);
        assert!(!info(1000, None, "9-1").compare(0, "20-0", 1000).gap, "compared as numbers");
        assert!(!info(5, None, "20-1").compare(0, "20-0", 1000).gap, "nothing was trimmed yet");
    }

    #[test]
    fn damaged_and_deleted_entries_are_told_apart_from_good_ones() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let entry = |id: &str, fields| Value::Array(vec![bulk(id), fields]);
        let good = Value::Array(vec![bulk("k"), bulk("u"), bulk("r"), bulk("ann"), bulk("p"), bulk("{}")]);
        let reply = Value::Array(vec![Value::Array(vec![
            bulk("key"),
            Value::Array(vec![
                entry("1-0", good),
                entry("2-0", Value::Array(vec![bulk("k"), bulk("?")])),
                entry("3-0", Value::Nil),
            ]),
        ])]);
        let found = entries(reply);
        assert_eq!((found.decoded.len(), found.count(), found.deleted), (1, 3, true));
        assert_eq!(found.undecodable, ["2-0", "3-0"]);
        assert_eq!(found.last_id().as_deref(), Some("3-0"));
        assert_eq!(entries(Value::Nil).count(), 0);
    }
}
