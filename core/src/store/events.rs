//! The ordered log of conversations: `conversation_events`.

use chatcluster_contracts::{event::Event, ids::ConversationId, seq::Seq};
use futures_util::TryStreamExt;
use jiff::Timestamp;

use super::{
    Result, Store,
    script::Script,
    sql::{optional_text, seq, signed, text},
};

/// Events in one page at most.
pub const MAX_EVENTS: u32 = 500;

/// A page ends after the event with which it has this many bytes.
const MAX_PAGE_BYTES: usize = 512 << 10;

/// An event as it is inserted.
#[derive(Debug)]
pub(super) struct EventRow {
    pub(super) conversation_id: ConversationId,
    pub(super) seq: Seq,
    pub(super) event_type: &'static str,
    pub(super) subject_id: Option<String>,
    pub(super) payload: String,
    pub(super) created_at: Timestamp,
}

impl EventRow {
    pub(super) fn of(event: &Event, created_at: Timestamp) -> Self {
        Self {
            conversation_id: event.conversation_id().clone(),
            seq: event.seq(),
            event_type: event.event_type().as_str(),
            subject_id: event.subject().map(|subject| subject.as_str().to_owned()),
            // serde_json writes UTF-8
            payload: String::from_utf8(event.to_json()).unwrap_or_default(),
            created_at,
        }
    }
}

pub(super) fn insert(script: &mut Script, rows: &[EventRow]) {
    script.insert(
        "INSERT INTO conversation_events (conversation_id, seq, event_type, subject_id, payload, created_at)",
        rows.iter().map(|row| {
            [
                row.conversation_id.as_str().into(),
                signed(row.seq).into(),
                row.event_type.into(),
                row.subject_id.as_deref().into(),
                row.payload.as_str().into(),
                row.created_at.as_millisecond().into(),
            ]
        }),
    );
}

/// An event as stored.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    pub seq: Seq,
    pub event_type: String,
    pub subject_id: Option<String>,
    /// The JSON that clients see.
    pub payload: String,
}

/// A stretch of a conversation's log.
#[derive(Debug, Clone)]
pub struct EventPage {
    pub events: Vec<StoredEvent>,
    pub head: Seq,
    /// The lowest seq still kept; 1 more than the head while there is none.
    pub oldest: Seq,
}

impl Store {
    /// Events with `after < seq <= until` in order: at most `limit`, [`MAX_EVENTS`] and about half a MiB (a gateway holds a
    /// page per session that catches up), so a page that ends before `until` need not be a full one. `None`: no such
    /// conversation.
    pub async fn events(
        &self,
        conversation: &ConversationId,
        after: Seq,
        until: Option<Seq>,
        limit: u32,
    ) -> Result<Option<EventPage>> {
        let id = conversation.as_str();
        // The head first: events that come in between are then beyond it, and not missing below it.
        let heading = sqlx::query(
            "SELECT last_seq, (SELECT MIN(seq) FROM conversation_events WHERE conversation_id = ?) AS oldest \
             FROM conversations WHERE id = ?",
        );
        // one for both: what is given back to the pool is tried out first
        let mut connection = self.0.read.acquire().await?;
        let Some(row) = heading.bind(id).bind(id).fetch_optional(&mut *connection).await? else { return Ok(None) };
        let head = seq(&row, "last_seq")?;
        let oldest = if head == Seq::ZERO { Seq::ZERO.next() } else { seq(&row, "oldest").unwrap_or(head.next()) };
        let until = until.unwrap_or(head).min(head);
        let reading = sqlx::query(
            "SELECT seq, event_type, subject_id, payload FROM conversation_events \
             WHERE conversation_id = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        );
        let limit = i64::from(limit.clamp(1, MAX_EVENTS));
        let reading = reading.bind(id).bind(signed(after)).bind(signed(until)).bind(limit);
        let (mut events, mut bytes) = (Vec::new(), 0);
        let mut rows = reading.fetch(&mut *connection);
        while bytes < MAX_PAGE_BYTES
            && let Some(row) = rows.try_next().await?
        {
            let event = stored(&row)?;
            bytes += event.payload.len();
            events.push(event);
        }
        Ok(Some(EventPage { events, head, oldest }))
    }
}

fn stored(row: &sqlx::any::AnyRow) -> Result<StoredEvent, sqlx::Error> {
    Ok(StoredEvent {
        seq: seq(row, "seq")?,
        event_type: text(row, "event_type")?,
        subject_id: optional_text(row, "subject_id")?,
        payload: text(row, "payload")?,
    })
}
