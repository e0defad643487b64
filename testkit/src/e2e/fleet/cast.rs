//! Users, and the conversations they are in from the first to the last moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt};

use crate::Api;
use crate::servers::random_name;
use crate::torture::history::Name;
use crate::torture::tokens::Tokens;
use crate::torture::truth::{Conversation, Heads, Interval, Truth};

/// How large a fleet is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub users: usize,
    /// Connections of each user.
    pub devices: usize,
    pub conversations: usize,
    /// Of each conversation.
    pub members: usize,
}

impl Default for Size {
    /// 500 connections; a message goes to 20 of them.
    fn default() -> Self {
        Self { users: 250, devices: 2, conversations: 50, members: 10 }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) id: Name,
    pub(super) members: Arc<[Name]>,
}

pub(super) struct Cast {
    users: Vec<Name>,
    pub(super) rooms: Arc<[Room]>,
}

impl Cast {
    pub(super) async fn make(api: &Api, tokens: &Tokens, size: &Size) -> Result<Self> {
        ensure!(size.conversations > 0 && size.users >= size.members, "a fleet of nobody");
        let mark = random_name(6).to_lowercase();
        let signing_up = futures_util::stream::iter(0..size.users).map(|index| {
            let username = format!("fleet-{mark}-{index}");
            async move {
                let (status, user) = api.sign_up(&username, "a long password of the fleet", &username).await?;
                ensure!(status == 201, "signing up {username}: {status} {user}");
                Ok(Name::from(user["id"].as_str().context("a user without an id")?))
            }
        });
        // hashing passwords takes a core each
        let users: Vec<Name> = signing_up.buffered(4).try_collect().await?;
        // everybody is in as many conversations as anybody else
        let step = size.users / size.conversations;
        let members = |room: usize| (0..size.members).map(move |i| (room * step + i) % size.users);
        let mut rooms = Vec::new();
        for index in 0..size.conversations {
            let members: Arc<[Name]> = members(index).map(|user| users[user].clone()).collect();
            let token = tokens.issue(&members[0], Duration::from_mins(5))?;
            let others: Vec<&str> = members[1..].iter().map(|user| &**user).collect();
            let (status, made) = api.with_token(&token).create_conversation("group", &others).await?;
            ensure!(status == 201, "creating a conversation: {status} {made}");
            rooms.push(Room { id: made["id"].as_str().context("a conversation without an id")?.into(), members });
        }
        Ok(Self { users, rooms: rooms.into() })
    }

    /// Whose device each is.
    pub(super) fn devices(&self, size: &Size) -> Vec<Name> {
        (0..size.devices).flat_map(|_| self.users.iter().cloned()).collect()
    }

    /// The conversations without their events.
    pub(super) fn outline(&self, truth: &mut Truth) {
        for room in &*self.rooms {
            truth.conversations.entry(room.id.clone()).or_insert_with(|| {
                let always = |user: &Name| (user.clone(), vec![Interval { joined: 0, left: None }]);
                let members: BTreeMap<Name, Vec<Interval>> = room.members.iter().map(always).collect();
                Conversation { members, ..Conversation::default() }
            });
        }
    }

    /// Where every member ought to be: user -> conversations and their heads.
    pub(super) fn heads(&self, truth: &Truth) -> Heads {
        let mut of_members: HashMap<Name, Vec<(Name, u64)>> = HashMap::new();
        for room in &*self.rooms {
            let head = truth.conversations.get(&room.id).map_or(0, |conversation| conversation.last_seq);
            for user in room.members.iter().filter(|_| head > 0) {
                of_members.entry(user.clone()).or_default().push((room.id.clone(), head));
            }
        }
        Heads { of_members, ..Heads::default() }
    }
}
