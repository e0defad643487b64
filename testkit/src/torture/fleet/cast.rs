//! Who takes part: users, the conversations they are in, and a device or two for each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;

use super::dialect::Dialect;
use super::size::Size;
use crate::Api;
use crate::torture::history::Name;
use crate::torture::tokens::Tokens;

/// Everybody's.
pub(super) const PASSWORD: &str = "a long password of the torture";

/// What a device is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Reads and sends.
    Sender,
    /// Reads.
    Reader,
    /// Is connected for the first time in the middle of the run.
    LateJoiner,
    /// Comes back with a new token whenever the old one has ended.
    ShortToken,
    /// Signs in with its password and out again while it is online, and tries the token once more.
    SignsOut,
    /// Sends much to those who hardly read.
    Loud,
    /// Reads a kilobyte a second.
    Trickle,
    /// Reads nothing.
    Never,
    /// Opens conversations, and says one thing in each.
    Whisperer,
    /// Hears it.
    WhisperReader,
}

#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(super) user: Name,
    pub(super) username: Name,
    pub(super) role: Role,
    pub(super) dialect: Dialect,
}

/// A conversation of the steady load.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) id: Name,
    pub(crate) owner: Name,
    /// Those who are in it from the first to the last moment.
    pub(super) members: Arc<[Name]>,
}

pub(crate) struct Cast {
    pub(super) devices: Vec<Part>,
    /// The last [`OPEN`] of them are open rooms, which have guests besides their members.
    pub(crate) conversations: Vec<Room>,
    pub(crate) loud: Room,
    pub(super) churners: Vec<Name>,
    pub(super) guests: Vec<Name>,
    /// Known to the platform, and members of nothing.
    pub(super) outsiders: Vec<Name>,
    /// Who have user events.
    pub(crate) names: Vec<Name>,
}

/// How many rooms are open. What is said in one must never be heard in the other.
const OPEN: usize = 2;

impl Cast {
    pub(crate) async fn make(api: &Api, tokens: &Tokens, size: &Size) -> Result<Self> {
        let members = users(api, "member", size.members).await?;
        let names: HashMap<Name, Name> =
            members.iter().enumerate().map(|(index, user)| (user.clone(), username("member", index).into())).collect();
        let churners = users(api, "churner", size.churners).await?;
        let whisperers = users(api, "whisperer", size.whisperers).await?;
        let listeners = users(api, "listener", size.listeners).await?;
        let outsiders = users(api, "outsider", size.outsiders).await?;
        let noisy = users(api, "noisy", size.noisy).await?;

        let mut conversations = Vec::new();
        for index in 0..size.conversations {
            // overlapping halves: every member is in some
            let begin = index * members.len() / size.conversations;
            let chosen: Vec<Name> =
                (0..members.len() / 2).map(|i| members[(begin + i) % members.len()].clone()).collect();
            conversations.push(conversation(api, tokens, &chosen, false).await?);
        }
        for index in 0..OPEN {
            let chosen: Vec<Name> = members.iter().skip(index).step_by(OPEN).take(4).cloned().collect();
            conversations.push(conversation(api, tokens, &chosen, true).await?);
        }
        let loud = conversation(api, tokens, &noisy, false).await?;
        let guests = users(api, "guest", size.guests).await?;

        let mut devices = Vec::new();
        let mut add = |role: Role, users: &[Name]| {
            let speaks_stomp = !matches!(role, Role::Loud | Role::Trickle | Role::Never);
            devices.extend(users.iter().enumerate().map(|(index, user)| Part {
                user: user.clone(),
                username: names.get(user).unwrap_or(user).clone(),
                role,
                dialect: if speaks_stomp && index % 3 == 1 { Dialect::Stomp } else { Dialect::Native },
            }));
        };
        let (senders, others) = members.split_at(size.senders);
        let (readers, others) = others.split_at(others.len() - size.late - size.short_tokens - size.sign_outs);
        let (short, others) = others.split_at(size.short_tokens);
        let (signing_out, late) = others.split_at(size.sign_outs);
        add(Role::Sender, senders);
        add(Role::Reader, readers);
        add(Role::ShortToken, short);
        add(Role::SignsOut, signing_out);
        add(Role::LateJoiner, late);
        // a second device of some
        add(Role::Reader, &senders[..3]);
        add(Role::LateJoiner, &senders[3..5]);
        add(Role::Reader, &churners);
        add(Role::Reader, &outsiders);
        add(Role::Whisperer, &whisperers);
        add(Role::WhisperReader, &listeners);
        let (hardly_reading, noisy) = noisy.split_at(3);
        add(Role::Trickle, &hardly_reading[..1]);
        add(Role::Never, &hardly_reading[1..]);
        add(Role::Loud, &noisy[..1]);
        add(Role::Reader, &noisy[1..]);
        // each begins as the one before it does
        let names = (1..=size.names).map(|index| format!("named-{}", "1".repeat(index)).into());
        let names = names.collect();
        Ok(Self { devices, conversations, loud, churners, guests, outsiders, names })
    }
}

impl Cast {
    /// The rooms that have guests.
    pub(super) fn open_rooms(&self) -> &[Room] {
        &self.conversations[self.conversations.len() - OPEN..]
    }

    /// Devices that connect in the middle of the run.
    pub(crate) fn late(&self) -> usize {
        self.devices.iter().filter(|part| part.role == Role::LateJoiner).count()
    }

    /// Devices that hardly read.
    pub(crate) fn slow(&self) -> usize {
        self.devices.iter().filter(|part| matches!(part.role, Role::Trickle | Role::Never)).count()
    }
}

fn username(name: &str, index: usize) -> String {
    format!("{name}-{index}")
}

async fn users(api: &Api, name: &str, count: usize) -> Result<Vec<Name>> {
    let made = futures_util::stream::iter(0..count).map(|index| async move {
        let username = username(name, index);
        let (status, user) = api.sign_up(&username, PASSWORD, &username).await?;
        ensure!(status == 201, "signing up {username}: {status} {user}");
        Ok(Name::from(user["id"].as_str().context("a user without an id")?))
    });
    // hashing passwords takes a core each
    made.buffered(4).try_collect().await
}

async fn conversation(api: &Api, tokens: &Tokens, members: &[Name], open: bool) -> Result<Room> {
    let owner = members[0].clone();
    let others: Vec<&str> = members[1..].iter().map(|user| &**user).collect();
    let token = tokens.issue(&owner, Duration::from_mins(5))?;
    let kind = if open { "channel" } else { "group" };
    let body = json!({"kind": kind, "name": "torture", "memberIds": others, "open": open});
    let (status, made) = api.with_token(&token).post("/v1/conversations", body).await?;
    ensure!(status == 201, "creating a conversation: {status} {made}");
    let id = made["id"].as_str().context("a conversation without an id")?.into();
    Ok(Room { id, owner, members: members.into() })
}
