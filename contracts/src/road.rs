//! By which road a conversation's events go to the gateways: to each one that holds a member, or by one broadcast to all
//! that listen to its room. Workers choose it, gateways listen by the same rule.

/// A conversation with more members than this goes by broadcast, unless configured otherwise.
pub const BROADCAST_ABOVE: u64 = 1000;

/// A choice made for one conversation, whatever its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fanout {
    Routed,
    Broadcast,
}

impl Fanout {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Routed => "routed",
            Self::Broadcast => "broadcast",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Routed, Self::Broadcast].into_iter().find(|fanout| fanout.as_str() == text)
    }
}

/// What the road of a conversation depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoomFacts {
    /// Anybody of the workspace may listen without being a member.
    pub open: bool,
    pub fanout: Option<Fanout>,
    pub members: u64,
}

impl RoomFacts {
    /// Does it go by broadcast whatever its size? Who listens to an open room without being a member can be anywhere.
    pub fn always_broadcast(&self) -> bool {
        self.open || self.fanout == Some(Fanout::Broadcast)
    }

    /// Does it go to the gateways of its members whatever its size?
    pub fn never_broadcast(&self) -> bool {
        !self.open && self.fanout == Some(Fanout::Routed)
    }

    /// `above`: the number of members that a routed conversation has at most.
    pub fn is_broadcast(&self, above: u64) -> bool {
        self.always_broadcast() || (self.members > above && !self.never_broadcast())
    }

    pub fn of_rpc(facts: &crate::rpc::RoomFacts) -> Self {
        Self { open: facts.open, fanout: Fanout::parse(&facts.fanout), members: facts.member_count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_decides_unless_somebody_has() {
        let facts = |open, fanout, members| RoomFacts { open, fanout, members };
        assert!(!facts(false, None, 10).is_broadcast(10) && facts(false, None, 11).is_broadcast(10));
        assert!(facts(false, Some(Fanout::Broadcast), 2).is_broadcast(10));
        assert!(!facts(false, Some(Fanout::Routed), 1_000).is_broadcast(10));
        assert!(facts(true, None, 1).is_broadcast(10), "whoever listens in is not found among the members");
        assert!(facts(true, Some(Fanout::Routed), 1).is_broadcast(10));
        for fanout in [Fanout::Routed, Fanout::Broadcast] {
            assert_eq!(Fanout::parse(fanout.as_str()), Some(fanout));
        }
        assert_eq!(Fanout::parse(""), None);
    }
}
