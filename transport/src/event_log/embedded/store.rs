//! The SQL of the embedded log: tables, reads, and the statements of the one writing connection.

use std::{path::Path, str::FromStr, time::Duration};

use bytes::Bytes;
use chatcluster_contracts::topics::{Group, Names};
use sqlx::{
    Connection, Row, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use super::{partitions::Heads, record_headers};
use crate::event_log::{Record, TopicPartition};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS log_records (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    record_key TEXT NOT NULL,
    value BLOB NOT NULL,
    headers BLOB NOT NULL,
    PRIMARY KEY (topic, partition, position)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log_heads (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log_groups (
    group_name TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (group_name, topic, partition)
) WITHOUT ROWID;
";

/// A record with its place, about to be written.
pub(super) struct Pending {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp_ms: i64,
    pub(super) key: String,
    pub(super) value: Bytes,
    pub(super) headers: Vec<(String, Bytes)>,
}

/// The reading side.
pub(super) struct Store {
    readers: SqlitePool,
}

impl Store {
    /// Answers with the writing connection beside the store: SQLite has one writer at a time.
    pub(super) async fn open(path: &Path) -> Result<(Self, SqliteConnection), sqlx::Error> {
        let options = SqliteConnectOptions::from_str("sqlite:")?
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What was answered survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5));
        let mut writer = SqliteConnection::connect_with(&options).await?;
        sqlx::raw_sql(SCHEMA).execute(&mut writer).await?;
        let readers = SqlitePoolOptions::new().max_connections(4).connect_with(options.read_only(true)).await?;
        Ok((Self { readers }, writer))
    }

    pub(super) async fn check(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").execute(&self.readers).await.map(drop)
    }

    pub(super) async fn heads(&self) -> Result<Heads, sqlx::Error> {
        let rows = sqlx::query("SELECT topic, partition, next FROM log_heads").fetch_all(&self.readers).await?;
        rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?))).collect()
    }

    /// Where every group goes on. Names that are no longer known are passed over.
    pub(super) async fn positions(&self) -> Result<Vec<(Group, TopicPartition, i64)>, sqlx::Error> {
        let names = Names::default();
        let rows =
            sqlx::query("SELECT group_name, topic, partition, next FROM log_groups").fetch_all(&self.readers).await?;
        let mut positions = Vec::with_capacity(rows.len());
        for row in &rows {
            let (group, topic): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let group = Group::ALL.into_iter().find(|known| known.default_name() == group);
            if let (Some(group), Some(topic)) = (group, names.role(&topic)) {
                positions.push((group, TopicPartition { topic, partition: row.try_get(2)? }, row.try_get(3)?));
            }
        }
        Ok(positions)
    }

    /// Records of a partition from offset `next` on.
    pub(super) async fn records(
        &self,
        place: TopicPartition,
        next: i64,
        max: usize,
    ) -> Result<Vec<Record>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT position, timestamp_ms, record_key, value, headers FROM log_records
             WHERE topic = ? AND partition = ? AND position >= ? ORDER BY position LIMIT ?",
        )
        .bind(place.topic.default_name())
        .bind(place.partition)
        .bind(next)
        .bind(i64::try_from(max).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| record(place, row)).collect()
    }
}

fn record(partition: TopicPartition, row: &SqliteRow) -> Result<Record, sqlx::Error> {
    let headers: Vec<u8> = row.try_get(4)?;
    Ok(Record {
        partition,
        offset: row.try_get(0)?,
        timestamp_ms: row.try_get(1)?,
        key: Some(Bytes::from(row.try_get::<String, _>(2)?)),
        value: Bytes::from(row.try_get::<Vec<u8>, _>(3)?),
        headers: record_headers::decode(Bytes::from(headers))
            .ok_or_else(|| sqlx::Error::Decode("damaged record headers".into()))?,
    })
}

pub(super) async fn insert(connection: &mut SqliteConnection, row: &Pending) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO log_records (topic, partition, position, timestamp_ms, record_key, value, headers)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&row.topic)
    .bind(row.partition)
    .bind(row.offset)
    .bind(row.timestamp_ms)
    .bind(&row.key)
    .bind(&row.value[..])
    .bind(record_headers::encode(&row.headers))
    .execute(connection)
    .await
    .map(drop)
}

pub(super) async fn set_head(
    connection: &mut SqliteConnection,
    (topic, partition): &(String, i32),
    next: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO log_heads (topic, partition, next) VALUES (?, ?, ?)
         ON CONFLICT (topic, partition) DO UPDATE SET next = excluded.next",
    )
    .bind(topic)
    .bind(partition)
    .bind(next)
    .execute(connection)
    .await
    .map(drop)
}

pub(super) async fn set_position(
    connection: &mut SqliteConnection,
    group: Group,
    place: TopicPartition,
    next: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO log_groups (group_name, topic, partition, next) VALUES (?, ?, ?, ?)
         ON CONFLICT (group_name, topic, partition) DO UPDATE SET next = excluded.next",
    )
    .bind(group.default_name())
    .bind(place.topic.default_name())
    .bind(place.partition)
    .bind(next)
    .execute(connection)
    .await
    .map(drop)
}

/// Deletes expired records from the front of a partition, looking at no more than `batch` of them. Within a partition
/// age follows position, so no index by time is needed.
pub(super) async fn trim(
    connection: &mut SqliteConnection,
    (topic, partition): &(String, i32),
    expired_before_ms: i64,
    batch: i64,
) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "DELETE FROM log_records WHERE topic = ?1 AND partition = ?2 AND position <= (
             SELECT MAX(position) FROM (
                 SELECT position, timestamp_ms FROM log_records
                 WHERE topic = ?1 AND partition = ?2 ORDER BY position LIMIT ?4
             ) WHERE timestamp_ms < ?3
         )",
    )
    .bind(topic)
    .bind(partition)
    .bind(expired_before_ms)
    .bind(batch)
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
}
