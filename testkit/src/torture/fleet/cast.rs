//! Who takes part: users, the conversations they are in, and a device or two for each.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt};

use crate::Api;
use crate::torture::history::Name;
use crate::torture::tokens::Tokens;

const MEMBERS: usize = 40;
const CHURNERS: usize = 8;
const WHISPERERS: usize = 4;
const WHISPER_READERS: usize = 16;
const OUTSIDERS: usize = 3;
const CONVERSATIONS: usize = 6;
/// How many of the members send.
const SENDERS: usize = 24;

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
    pub(super) role: Role,
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
    pub(crate) conversations: Vec<Room>,
    pub(crate) loud: Room,
    pub(super) churners: Vec<Name>,
}

impl Cast {
    pub(crate) async fn make(api: &Api, tokens: &Tokens) -> Result<Self> {
        let members = users(api, "member", MEMBERS).await?;
        let churners = users(api, "churner", CHURNERS).await?;
        let whisperers = users(api, "whisperer", WHISPERERS).await?;
        let whisper_readers = users(api, "listener", WHISPER_READERS).await?;
        let outsiders = users(api, "outsider", OUTSIDERS).await?;
        let noisy = users(api, "noisy", 7).await?;

        let mut conversations = Vec::new();
        for index in 0..CONVERSATIONS {
            // overlapping halves: every member is in three
            let chosen: Vec<Name> =
                (0..MEMBERS / 2).map(|i| members[(index * MEMBERS / CONVERSATIONS + i) % MEMBERS].clone()).collect();
            conversations.push(conversation(api, tokens, &chosen).await?);
        }
        let loud = conversation(api, tokens, &noisy).await?;

        let mut devices = Vec::new();
        let mut add = |role: Role, users: &[Name]| {
            devices.extend(users.iter().map(|user| Part { user: user.clone(), role }));
        };
        add(Role::Sender, &members[..SENDERS]);
        add(Role::Reader, &members[SENDERS..MEMBERS - 8]);
        add(Role::ShortToken, &members[MEMBERS - 8..MEMBERS - 4]);
        add(Role::LateJoiner, &members[MEMBERS - 4..]);
        // a second device of some
        add(Role::Reader, &members[..3]);
        add(Role::LateJoiner, &members[3..5]);
        add(Role::Reader, &churners);
        add(Role::Reader, &outsiders);
        add(Role::Whisperer, &whisperers);
        add(Role::WhisperReader, &whisper_readers);
        add(Role::Loud, &noisy[..1]);
        add(Role::Reader, &noisy[1..4]);
        add(Role::Trickle, &noisy[4..5]);
        add(Role::Never, &noisy[5..]);
        Ok(Self { devices, conversations, loud, churners })
    }
}

impl Cast {
    /// Devices that connect in the middle of the run.
    pub(crate) fn late(&self) -> usize {
        self.devices.iter().filter(|part| part.role == Role::LateJoiner).count()
    }

    /// Devices that hardly read.
    pub(crate) fn slow(&self) -> usize {
        self.devices.iter().filter(|part| matches!(part.role, Role::Trickle | Role::Never)).count()
    }
}

async fn users(api: &Api, name: &str, count: usize) -> Result<Vec<Name>> {
    let made = futures_util::stream::iter(0..count).map(|index| async move {
        let username = format!("{name}-{index}");
        let (status, user) = api.sign_up(&username, "a long password of the torture", &username).await?;
        ensure!(status == 201, "signing up {username}: {status} {user}");
        Ok(Name::from(user["id"].as_str().context("a user without an id")?))
    });
    // hashing passwords takes a core each
    made.buffered(4).try_collect().await
}

async fn conversation(api: &Api, tokens: &Tokens, members: &[Name]) -> Result<Room> {
    let owner = members[0].clone();
    let others: Vec<&str> = members[1..].iter().map(|user| &**user).collect();
    let token = tokens.issue(&owner, Duration::from_mins(5))?;
    let (status, made) = api.with_token(&token).create_conversation("group", &others).await?;
    ensure!(status == 201, "creating a conversation: {status} {made}");
    let id = made["id"].as_str().context("a conversation without an id")?.into();
    Ok(Room { id, owner, members: members.into() })
}
