//! Kinds of conversation and who may change their membership.

use std::fmt;

use chatcluster_contracts::{
    ids::{ConversationId, UserId, WorkspaceId},
    problem::{Code, Problem},
    road::Fanout,
    seq::Seq,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Members named when a conversation is created.
pub const MAX_INITIAL_MEMBERS: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Two people, one conversation for the pair, membership fixed.
    Dm,
    /// Members add members.
    Group,
    /// As a group; an open one may be joined by anybody of the workspace, and members read its whole history.
    Channel,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dm => "dm",
            Self::Group => "group",
            Self::Channel => "channel",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Dm, Self::Group, Self::Channel].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone)]
pub struct Conversation {
    pub id: ConversationId,
    pub workspace_id: WorkspaceId,
    pub kind: Kind,
    pub name: Option<String>,
    pub open: bool,
    /// By which road its events go to the gateways; `None`: by the number of members.
    pub fanout: Option<Fanout>,
    pub member_count: u64,
    pub creator_id: UserId,
    pub last_seq: Seq,
    pub created_at: Timestamp,
}

impl Conversation {
    /// What gateways and workers need to know of its road.
    pub fn facts(&self) -> chatcluster_contracts::rpc::RoomFacts {
        chatcluster_contracts::rpc::RoomFacts {
            workspace_id: self.workspace_id.as_str().to_owned(),
            open: self.open,
            member_count: self.member_count,
            fanout: self.fanout.map_or("", Fanout::as_str).to_owned(),
        }
    }

    /// The first seq a current member may read through history: all of a channel, the rest from the join on.
    pub fn readable_from(&self, joined_seq: Seq) -> Seq {
        if self.kind == Kind::Channel { Seq::ZERO } else { joined_seq }
    }

    /// May `actor` make `subject` a member?
    pub fn may_add(&self, actor: &UserId, actor_is_member: bool, subject: &UserId) -> Result<(), Problem> {
        match self.kind {
            Kind::Dm => Err(Problem::new(Code::Forbidden, "the members of a dm do not change")),
            Kind::Group | Kind::Channel if actor_is_member => Ok(()),
            Kind::Channel if self.open && actor == subject => Ok(()),
            Kind::Group | Kind::Channel => Err(Problem::new(Code::NotAMember, "only members add members")),
        }
    }

    /// May `actor` end the membership of `subject`?
    pub fn may_remove(&self, actor: &UserId, actor_is_member: bool, subject: &UserId) -> Result<(), Problem> {
        if self.kind == Kind::Dm {
            return Err(Problem::new(Code::Forbidden, "the members of a dm do not change"));
        }
        if actor == subject {
            return Ok(());
        }
        if !actor_is_member {
            return Err(Problem::new(Code::NotAMember, "only members remove members"));
        }
        if *actor == self.creator_id {
            Ok(())
        } else {
            Err(Problem::new(Code::Forbidden, "only the creator removes others"))
        }
    }
}

/// The two people of a dm by one text, whoever wrote first. Ids contain no comma.
pub fn dm_key(a: &UserId, b: &UserId) -> String {
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    format!("{first},{second}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> UserId {
        UserId::parse(text).unwrap()
    }

    fn conversation(kind: Kind, open: bool) -> Conversation {
        Conversation {
            id: ConversationId::parse("c").unwrap(),
            workspace_id: WorkspaceId::default(),
            kind,
            name: None,
            open,
            fanout: None,
            member_count: 1,
            creator_id: user("ann"),
            last_seq: Seq::ZERO,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn strangers_join_open_channels_and_nothing_else() {
        let bob = user("bob");
        assert!(conversation(Kind::Channel, true).may_add(&bob, false, &bob).is_ok());
        assert!(conversation(Kind::Channel, true).may_add(&bob, false, &user("cem")).is_err());
        assert!(conversation(Kind::Channel, false).may_add(&bob, false, &bob).is_err());
        assert!(conversation(Kind::Group, false).may_add(&bob, true, &user("cem")).is_ok());
        assert_eq!(conversation(Kind::Dm, false).may_add(&bob, true, &bob).unwrap_err().code, Code::Forbidden);
    }

    #[test]
    fn one_leaves_by_oneself_and_the_creator_removes_others() {
        let group = conversation(Kind::Group, false);
        assert!(group.may_remove(&user("bob"), true, &user("bob")).is_ok());
        assert!(group.may_remove(&user("ann"), true, &user("bob")).is_ok());
        assert_eq!(group.may_remove(&user("bob"), true, &user("ann")).unwrap_err().code, Code::Forbidden);
        assert_eq!(group.may_remove(&user("cem"), false, &user("ann")).unwrap_err().code, Code::NotAMember);
    }

    #[test]
    fn a_dm_is_the_same_from_both_sides() {
        assert_eq!(dm_key(&user("b"), &user("a")), dm_key(&user("a"), &user("b")));
    }
}
