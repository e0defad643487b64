//! `notifications`: what users were told without being asked, until they have read it or it is too old.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use chatcluster_contracts::{
    ids::{ConversationId, UserId},
    record::NotificationRecord,
    topics::Topic,
};
use sqlx::any::AnyRow;

use super::{
    Result, Store,
    outbox::NewOutboxRow,
    script::{Script, Value},
    sql::{id, integer, optional_id, optional_text, padded, padded_len, query, repeat, text, time},
};
use crate::clock;

/// Notifications in one page at most.
pub const MAX_NOTIFICATIONS: u32 = 200;
/// Unread ones are counted up to this many.
const MAX_UNREAD: i64 = 999;
/// How long they are kept: as long as their topic keeps them.
const KEPT_FOR: Duration = Topic::Notifications.retention();
/// Rows removed in one go.
const PRUNED_AT_ONCE: i64 = 1_000;
/// Longest texts that are stored, in characters; columns are as wide.
const MAX_TITLE: usize = 200;
const MAX_CONTENT: usize = 4_000;

const INTO: &str = "notifications \
     (user_id, id, type, title, content, related_entity_id, conversation_id, is_read, created_at)";

/// Which page of a user's notifications, newest first.
#[derive(Debug, Clone, Default)]
pub struct NotificationPage {
    pub unread_only: bool,
    /// Only those before this one: when it was made, in ms since the epoch, and its id.
    pub before: Option<(i64, String)>,
    pub limit: u32,
}

/// Those of a transaction that makes them; their ids are new.
pub(super) fn insert(script: &mut Script, records: &[NotificationRecord]) {
    if !records.is_empty() {
        script.insert(&format!("INSERT INTO {INTO}"), records.iter().map(values));
    }
}

/// The record that tells the user. It follows what it is about.
pub(super) fn row(record: &NotificationRecord, event_type: &'static str) -> NewOutboxRow {
    NewOutboxRow {
        topic: Topic::Notifications,
        key: record.user_id.as_str().to_owned(),
        follows: record.conversation_id.clone(),
        event_type,
        payload: serde_json::to_string(record).unwrap_or_default(),
        traceparent: None,
    }
}

fn values(record: &NotificationRecord) -> [Value<'_>; 9] {
    let clipped = |text: &str, length| text.chars().take(length).collect::<String>();
    [
        record.user_id.as_str().into(),
        record.id.as_str().into(),
        record.kind.as_str().into(),
        clipped(&record.title, MAX_TITLE).into(),
        clipped(&record.content, MAX_CONTENT).into(),
        record.related_entity_id.as_deref().into(),
        record.conversation_id.as_ref().map(ConversationId::as_str).into(),
        i64::from(record.read).into(),
        record.created_at.as_millisecond().into(),
    ]
}

impl Store {
    /// Keeps those whose user exists. One that is there already stays as it is.
    pub async fn keep_notifications(&self, records: &[NotificationRecord]) -> Result<()> {
        let users: BTreeSet<&str> = records.iter().map(|record| record.user_id.as_str()).collect();
        let users: Vec<&str> = users.into_iter().collect();
        let mut known = HashSet::new();
        for chunk in users.chunks(256) {
            let mut asking =
                query(format!("SELECT id FROM users WHERE id IN ({})", repeat("?", padded_len(chunk.len()), ",")));
            for user in padded(chunk) {
                asking = asking.bind((*user).to_owned());
            }
            for row in asking.fetch_all(&self.0.read).await? {
                known.insert(text(&row, "id")?);
            }
        }
        let dialect = self.0.context.dialect;
        let mut script = Script::new(dialect);
        let kept: Vec<_> = records.iter().filter(|record| known.contains(record.user_id.as_str())).collect();
        if kept.is_empty() {
            return Ok(());
        }
        script.insert(&format!("{} {INTO}", dialect.insert_ignore()), kept.into_iter().map(values));
        let mut connection = self.0.write.acquire().await?;
        Ok(script.execute(&mut connection).await?)
    }

    /// A page of the user's notifications, newest first.
    pub async fn notifications(&self, user: &UserId, page: &NotificationPage) -> Result<Vec<NotificationRecord>> {
        let unread = if page.unread_only { "AND is_read = 0 " } else { "" };
        let asking = query(format!(
            "SELECT user_id, id, type, title, content, related_entity_id, conversation_id, is_read, created_at \
             FROM notifications WHERE user_id = ? {unread}AND created_at <= ? AND (created_at < ? OR id < ?) \
             ORDER BY created_at DESC, id DESC LIMIT ?"
        ));
        let (at, id) = page.before.clone().unwrap_or((i64::MAX, String::new()));
        let asking = asking.bind(user.as_str()).bind(at).bind(at).bind(id);
        let limit = i64::from(page.limit.clamp(1, MAX_NOTIFICATIONS));
        let rows = asking.bind(limit).fetch_all(&self.0.read).await?;
        Ok(rows.iter().map(notification).collect::<Result<_, sqlx::Error>>()?)
    }

    /// How many the user has not read, counted up to 999.
    pub async fn unread_notifications(&self, user: &UserId) -> Result<i64> {
        let asking = sqlx::query(
            "SELECT COUNT(*) AS unread FROM (SELECT id FROM notifications WHERE user_id = ? AND is_read = 0 LIMIT ?) u",
        );
        let row = asking.bind(user.as_str()).bind(MAX_UNREAD).fetch_one(&self.0.read).await?;
        Ok(integer(&row, "unread")?)
    }

    /// Marks one as read, or all of the user's. `false`: there is no such notification.
    pub async fn read_notifications(&self, user: &UserId, one: Option<&str>) -> Result<bool> {
        let Some(one) = one else {
            let marking = sqlx::query("UPDATE notifications SET is_read = 1 WHERE user_id = ? AND is_read = 0");
            marking.bind(user.as_str()).execute(&self.0.write).await?;
            return Ok(true);
        };
        let marking = sqlx::query("UPDATE notifications SET is_read = 1 WHERE user_id = ? AND id = ?");
        if marking.bind(user.as_str()).bind(one).execute(&self.0.write).await?.rows_affected() > 0 {
            return Ok(true);
        }
        // a driver may count a row left as it was as not affected
        let asking = sqlx::query("SELECT id FROM notifications WHERE user_id = ? AND id = ?");
        Ok(asking.bind(user.as_str()).bind(one).fetch_optional(&self.0.write).await?.is_some())
    }

    /// Removes some of those that are too old.
    pub async fn prune_notifications(&self) -> Result<()> {
        let before = clock::now_ms() - i64::try_from(KEPT_FOR.as_millis()).unwrap_or(i64::MAX);
        let asking = sqlx::query("SELECT user_id, id FROM notifications WHERE created_at < ? LIMIT ?");
        // by primary key: a range would lock the gaps that new rows go into
        for row in asking.bind(before).bind(PRUNED_AT_ONCE).fetch_all(&self.0.read).await? {
            let deleting = sqlx::query("DELETE FROM notifications WHERE user_id = ? AND id = ?");
            deleting.bind(text(&row, "user_id")?).bind(text(&row, "id")?).execute(&self.0.write).await?;
        }
        Ok(())
    }
}

fn notification(row: &AnyRow) -> Result<NotificationRecord, sqlx::Error> {
    Ok(NotificationRecord {
        id: text(row, "id")?,
        user_id: id(row, "user_id")?,
        title: text(row, "title")?,
        content: text(row, "content")?,
        kind: text(row, "type")?,
        related_entity_id: optional_text(row, "related_entity_id")?,
        conversation_id: optional_id(row, "conversation_id")?,
        read: integer(row, "is_read")? != 0,
        created_at: time(row, "created_at")?,
    })
}
