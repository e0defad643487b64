//! Reads what the platform has on record: past it from MariaDB, Kafka and Redis, and through it by REST.
//!
//! Rooms: `topics` reads Kafka.

mod topics;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::clock::Clock;
use super::fleet::{Cast, Common};
use super::history::outside::place;
use super::history::{Event, Name};
use super::platform::Platform;
use super::truth::{Conversation, Heads, Interval, Stored, Truth};
use crate::redis::Reply;

const PAGE: u32 = 500;
/// What a message says that came by Kafka, before the id of its record.
pub(super) const INGESTED: &str = "ingest ";

pub(super) async fn truth(platform: &Platform, common: &Common, cast: &Cast) -> Result<Truth> {
    let clock = common.recorder.clock;
    let namespace = platform.deployment.namespace().context("no namespace")?.clone();
    let reading = tokio::task::spawn_blocking(move || topics::read(&namespace, clock));
    let mut truth = reading.await.context("reading the topics panicked")??;
    database(platform, clock, &mut truth).await?;
    for name in &cast.names {
        truth.logs.insert(name.clone(), user_event_log(platform, name).await?);
    }
    for room in cast.conversations.iter().chain([&cast.loud]) {
        let token = common.tokens.issue(&room.owner, Duration::from_mins(5))?;
        let mut events = Vec::new();
        loop {
            let after = events.last().map_or(0, |event: &Event| event.seq);
            let (status, page) = common.cores[0].with_token(&token).events(&room.id, after, PAGE).await?;
            ensure!(status == 200, "reading {} by REST: {status} {page}", room.id);
            let read = page["events"].as_array().into_iter().flatten().filter_map(Event::read);
            let before = events.len();
            events.extend(read);
            if page["more"] != true || events.len() == before {
                break;
            }
        }
        truth.rest.insert(room.id.clone(), events);
    }
    Ok(truth)
}

async fn database(platform: &Platform, clock: Clock, truth: &mut Truth) -> Result<()> {
    let query = |sql: &'static str| platform.deployment.query(sql);
    for row in query("SELECT id, last_seq FROM conversations").await? {
        let [id, last_seq] = columns(row)?;
        let conversation = Conversation { last_seq: last_seq.parse()?, ..Conversation::default() };
        truth.conversations.insert(id.into(), conversation);
    }
    for row in query("SELECT conversation_id, user_id, joined_seq, left_seq FROM conversation_members").await? {
        let [id, user, joined, left] = columns(row)?;
        let left = if left == "NULL" { None } else { Some(left.parse()?) };
        let conversation = truth.conversations.get_mut(&*id).context("members of no conversation")?;
        let interval = Interval { joined: joined.parse()?, left };
        conversation.members.entry(user.into()).or_default().push(interval);
    }
    // hexadecimal, as the command escapes some characters of text
    let events =
        "SELECT conversation_id, created_at, HEX(payload) FROM conversation_events ORDER BY conversation_id, seq";
    for row in query(events).await? {
        let [id, created, payload] = columns(row)?;
        let frame: Value = serde_json::from_slice(&unhex(&payload)?).context("an event in the database is not JSON")?;
        let event = Event::read(&frame).with_context(|| format!("no event: {frame}"))?;
        let conversation = truth.conversations.get_mut(&*id).context("an event of no conversation")?;
        conversation.events.push(Stored { event, created: clock.of_wall(created.parse()?) });
    }
    for conversation in truth.conversations.values_mut() {
        conversation.correct_times(clock.now());
    }
    for row in query("SELECT conversation_id, seq, content FROM messages WHERE content LIKE 'ingest %'").await? {
        let [id, seq, content] = columns(row)?;
        let record = content.strip_prefix(INGESTED).context("an ingested message says something else")?;
        truth.ingested.entry(record.into()).or_default().push((id.into(), seq.parse()?));
    }
    truth.outbox_rows = outbox_rows(platform).await?;
    Ok(())
}

/// How many messages have come by Kafka; one that came twice counts once.
pub(super) async fn ingested(platform: &Platform) -> Result<usize> {
    let sql = "SELECT COUNT(DISTINCT content) FROM messages WHERE content LIKE 'ingest %'";
    let rows = platform.deployment.query(sql).await?;
    rows.first().and_then(|row| row.first()).context("no count")?.parse().context("the count is no number")
}

/// The log of a name: where its entries stand and what they are.
async fn user_event_log(platform: &Platform, name: &str) -> Result<Vec<((u64, u64), u64)>> {
    let prefix = &platform.deployment.namespace().context("no namespace")?.redis_prefix;
    let key = format!("{prefix}workflow:log:{name}");
    let Reply::List(entries) = platform.servers.redis.command(&["XRANGE", &key, "-", "+"]).await? else {
        return Ok(Vec::new());
    };
    let read = |entry: &Reply| {
        let Reply::List(parts) = entry else { return None };
        let [Reply::Text(id), Reply::List(fields)] = &parts[..] else { return None };
        let payload = fields.chunks_exact(2).find_map(|pair| match pair {
            [Reply::Text(field), Reply::Text(value)] if field == "d" => Some(value),
            _ => None,
        });
        let event: Value = serde_json::from_str(payload?).ok()?;
        Some((place(id)?, event["number"].as_u64()?))
    };
    Ok(entries.iter().filter_map(read).collect())
}

pub(super) async fn outbox_rows(platform: &Platform) -> Result<u64> {
    let rows = platform.deployment.query("SELECT COUNT(*) FROM message_producer_outbox").await?;
    rows.first().and_then(|row| row.first()).context("no count")?.parse().context("the count is no number")
}

pub(super) async fn heads(platform: &Platform, clock: Clock) -> Result<Heads> {
    let mut heads = Heads::default();
    let sql = "SELECT m.user_id, c.id, c.last_seq FROM conversation_members m JOIN conversations c ON c.id = m.conversation_id \
               WHERE m.left_seq IS NULL AND c.last_seq > 0 AND c.last_seq >= m.joined_seq";
    for row in platform.deployment.query(sql).await? {
        let [user, id, head] = columns(row)?;
        let (id, head) = (Name::from(id), head.parse()?);
        heads.all.insert(id.clone(), head);
        heads.of_members.entry(user.into()).or_default().push((id, head));
    }
    // an event was there before those that follow it, whatever the clock of its core said
    let sql = "SELECT m.user_id, m.conversation_id, m.left_seq, MIN(e.created_at) FROM conversation_members m \
               JOIN conversation_events e ON e.conversation_id = m.conversation_id AND e.seq >= m.left_seq \
               GROUP BY m.user_id, m.conversation_id, m.left_seq";
    for row in platform.deployment.query(sql).await? {
        let [user, id, left, at] = columns(row)?;
        let leaving = (Name::from(id), left.parse()?, clock.of_wall(at.parse()?));
        heads.of_leavers.entry(user.into()).or_default().push(leaving);
    }
    Ok(heads)
}

fn columns<const N: usize>(row: Vec<String>) -> Result<[String; N]> {
    row.try_into().map_err(|row| anyhow::anyhow!("not {N} columns: {row:?}"))
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).map(|at| digits(at).context("not hexadecimal")).collect()
}
