//! What is on record: the log of each conversation, as a member reads it by REST.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde_json::Value;

use super::Shared;
use super::cast::{Cast, Room};
use crate::Api;
use crate::torture::history::Event;
use crate::torture::truth::{Stored, Truth};

const PAGE: u32 = 500;
/// Conversations read at the same time.
const TOGETHER: usize = 8;
/// A core that was just being replaced is asked again so often.
const TRIES: u32 = 5;

/// Adds to `truth` what came since it was read last.
pub(super) async fn read(shared: &Shared, cast: &Cast, truth: &mut Truth) -> Result<()> {
    cast.outline(truth);
    let api = Api::new(&shared.entrance.api)?;
    let after = |room: &Room| truth.conversations.get(&room.id).map_or(0, |conversation| conversation.last_seq);
    let places: Vec<(Room, u64)> = cast.rooms.iter().map(|room| (room.clone(), after(room))).collect();
    let api = &api;
    let reads = futures_util::stream::iter(places).map(|(room, after)| async move {
        let events = read_room(shared, api, &room, after).await?;
        anyhow::Ok((room.id, events))
    });
    let read: Vec<_> = reads.buffered(TOGETHER).try_collect().await?;
    for (id, events) in read {
        let conversation = truth.conversations.get_mut(&id).context("a conversation of nobody")?;
        conversation.events.extend(events);
        conversation.last_seq = conversation.events.last().map_or(0, |stored| stored.event.seq);
    }
    Ok(())
}

async fn read_room(shared: &Shared, api: &Api, room: &Room, after: u64) -> Result<Vec<Stored>> {
    let reader = room.members.first().context("a conversation without members")?;
    let api = api.with_token(&shared.tokens.issue(reader, Duration::from_mins(5))?);
    let (mut events, mut after) = (Vec::new(), after);
    loop {
        let page = page(&api, room, after).await?;
        let found = page["events"].as_array().into_iter().flatten();
        let found: Vec<Stored> = found.map(|frame| stored(shared, frame)).collect::<Result<_>>()?;
        let last = found.last().map(|stored| stored.event.seq);
        events.extend(found);
        match last {
            Some(last) if page["more"] == true => after = last,
            _ => return Ok(events),
        }
    }
}

async fn page(api: &Api, room: &Room, after: u64) -> Result<Value> {
    let mut tries = 0;
    loop {
        tries += 1;
        match api.events(&room.id, after, PAGE).await {
            Ok((200, page)) => return Ok(page),
            Ok((status, problem)) => ensure!(tries < TRIES, "reading {} by REST: {status} {problem}", room.id),
            Err(error) => ensure!(tries < TRIES, "reading {} by REST: {error:#}", room.id),
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn stored(shared: &Shared, frame: &Value) -> Result<Stored> {
    let event = Event::read(frame).with_context(|| format!("no event: {frame}"))?;
    let created: Timestamp =
        frame["createdAt"].as_str().unwrap_or_default().parse().context("an event without time")?;
    Ok(Stored { event, created: shared.recorder.clock.of_wall(created.as_millisecond()) })
}
