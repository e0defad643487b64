//! Watermarks: how far a member has received and read. They only move forward and never past the head.

use std::collections::BTreeMap;

use chatcluster_contracts::{
    ids::{ConversationId, MessageId, UserId},
    record::{Status, StatusRecord},
    seq::Seq,
};
use jiff::Timestamp;

use super::message::Stored;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watermarks {
    pub delivered: Seq,
    pub read: Seq,
}

impl Watermarks {
    /// Where the marks stand after a receipt. What was read was delivered.
    #[must_use]
    pub fn moved(self, delivered: Option<Seq>, read: Option<Seq>, head: Seq) -> Self {
        let read = self.read.max(read.unwrap_or_default().min(head));
        let delivered = self.delivered.max(delivered.unwrap_or_default().min(head)).max(read);
        Self { delivered, read }
    }
}

/// The newest message of one sender in a range of the log.
#[derive(Debug, Clone)]
pub struct NewestOf {
    pub sender_id: UserId,
    pub message_id: MessageId,
    pub seq: Seq,
}

/// What the senders are told: one record a sender and move, keyed by the sender. `newest` is what lies in
/// `(min(before.delivered, before.read), after.delivered]`, of each other sender the newest message up to
/// `after.read` and the newest one overall.
pub fn status_records(
    conversation_id: &ConversationId,
    reader: &UserId,
    before: Watermarks,
    after: Watermarks,
    newest: &[NewestOf],
    now: Timestamp,
) -> Vec<(UserId, StatusRecord)> {
    let of = |newest: &NewestOf, status| {
        let record = StatusRecord {
            message_id: newest.message_id.clone(),
            conversation_id: conversation_id.clone(),
            status,
            user_id: reader.clone(),
            seq: Some(newest.seq),
            timestamp: now,
        };
        (newest.sender_id.clone(), record)
    };
    newest
        .iter()
        .filter(|newest| newest.sender_id != *reader)
        .filter_map(|newest| {
            if newest.seq > before.read && newest.seq <= after.read {
                Some(of(newest, Status::Read))
            } else if newest.seq > before.delivered && newest.seq <= after.delivered {
                Some(of(newest, Status::Delivered))
            } else {
                None
            }
        })
        .collect()
}

/// What the senders of messages just stored are told: one record a sender and conversation, of its newest message.
pub fn sent_records<'a>(stored: impl Iterator<Item = (&'a UserId, &'a Stored)>) -> Vec<(UserId, StatusRecord)> {
    let mut newest: BTreeMap<(&ConversationId, &UserId), &Stored> = BTreeMap::new();
    for (sender, stored) in stored {
        newest.insert((&stored.conversation_id, sender), stored);
    }
    let told = newest.into_iter().map(|((conversation_id, sender), stored)| {
        let record = StatusRecord {
            message_id: stored.message_id.clone(),
            conversation_id: conversation_id.clone(),
            status: Status::Sent,
            user_id: sender.clone(),
            // the ACK has told it, and many a client takes whatever has a seq for an event
            seq: None,
            timestamp: stored.created_at,
        };
        (sender.clone(), record)
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(delivered: u64, read: u64) -> Watermarks {
        Watermarks { delivered: Seq::new(delivered), read: Seq::new(read) }
    }

    fn newest(sender: &str, seq: u64) -> NewestOf {
        NewestOf {
            sender_id: UserId::parse(sender).unwrap(),
            message_id: MessageId::parse(&format!("m{seq}")).unwrap(),
            seq: Seq::new(seq),
        }
    }

    #[test]
    fn marks_never_go_back_nor_past_the_head() {
        let head = Seq::new(10);
        assert_eq!(marks(5, 3).moved(Some(Seq::new(4)), None, head), marks(5, 3));
        assert_eq!(marks(5, 3).moved(Some(Seq::new(99)), None, head), marks(10, 3));
        assert_eq!(marks(5, 3).moved(None, Some(Seq::new(8)), head), marks(8, 8));
    }

    #[test]
    fn of_what_is_stored_together_each_sender_hears_once_a_conversation() {
        let stored = |conversation: &str, seq| Stored {
            message_id: MessageId::parse(&format!("m{seq}")).unwrap(),
            conversation_id: ConversationId::parse(conversation).unwrap(),
            seq: Seq::new(seq),
            created_at: Timestamp::UNIX_EPOCH,
            repeated: false,
        };
        let (ann, bob) = (UserId::parse("ann").unwrap(), UserId::parse("bob").unwrap());
        let batch =
            [(&ann, stored("c1", 1)), (&bob, stored("c1", 2)), (&ann, stored("c1", 3)), (&ann, stored("c2", 9))];
        let told = sent_records(batch.iter().map(|(sender, stored)| (*sender, stored)));
        let told: Vec<_> =
            told.iter().map(|(to, record)| format!("{to} {} {}", record.message_id, record.user_id)).collect();
        assert_eq!(told, ["ann m3 ann", "bob m2 bob", "ann m9 ann"]);
    }

    #[test]
    fn each_sender_hears_once_and_the_reader_never_of_itself() {
        let found = [newest("ann", 8), newest("bob", 9), newest("cem", 10)];
        let cem = UserId::parse("cem").unwrap();
        let conversation = ConversationId::parse("c").unwrap();
        let told = status_records(&conversation, &cem, marks(7, 7), marks(10, 8), &found, Timestamp::UNIX_EPOCH);
        let told: Vec<_> = told.iter().map(|(to, record)| (to.as_str(), record.status)).collect();
        assert_eq!(told, [("ann", Status::Read), ("bob", Status::Delivered)]);
    }
}
