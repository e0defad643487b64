//! Event + members + connections -> what goes to which gateway. Pure.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use chatcluster_contracts::{
    event::EventHead,
    ids::{ConversationId, Node, UserId},
    room_message::RoomMessage,
    stream_entry::{Recipients, StreamEntry},
    trace::TraceParent,
};
use chatcluster_transport::channels::rooms::RoomRecord;

use crate::resolve::{Audience, MemberList, Routes};

/// Work whose recipients are known.
#[derive(Debug, Clone)]
pub enum Resolved {
    Event { head: EventHead, payload: Bytes, trace: Option<TraceParent>, audience: Audience },
    Direct { user: UserId, payload: Bytes },
    Typing { conversation: ConversationId, payload: Bytes, members: MemberList, typist: UserId },
    Room(RoomRecord),
}

impl Resolved {
    /// Everyone whose gateways are to be found, connected or not.
    pub fn users(&self) -> &[UserId] {
        match self {
            Self::Event { audience: Audience::Members(users) | Audience::Room { tell: users }, .. }
            | Self::Typing { members: users, .. } => users,
            Self::Direct { user, .. } => std::slice::from_ref(user),
            Self::Room(_) => &[],
        }
    }
}

/// What goes where.
#[derive(Debug, Default)]
pub struct Plan {
    /// One per piece of work and gateway that holds a recipient, in the order of the work.
    pub entries: Vec<(Node, Arc<StreamEntry>)>,
    /// For whoever listens to the room.
    pub rooms: Vec<(ConversationId, RoomMessage)>,
    /// The same, and for the room's log.
    pub records: Vec<RoomRecord>,
}

pub fn plan(work: Vec<Resolved>, routes: &Routes) -> Plan {
    let Plan { mut entries, mut rooms, mut records } = Plan::default();
    // consecutive events of a conversation share their member list, and so their recipients
    let mut last: Option<(MemberList, BTreeMap<Node, Recipients>)> = None;
    for piece in work {
        match piece {
            Resolved::Event { head, payload, trace, audience } => {
                let broadcast = matches!(audience, Audience::Room { .. });
                let (Audience::Members(members) | Audience::Room { tell: members }) = audience;
                if broadcast {
                    let (seq, event_type, subject) = (head.seq, head.event_type, head.subject.clone());
                    let message = RoomMessage::Event { seq, event_type, subject, payload: payload.clone(), trace };
                    rooms.push((head.conversation_id.clone(), message));
                }
                let shared = last.take().filter(|(known, _)| Arc::ptr_eq(known, &members));
                let (_, recipients) = last.insert(shared.unwrap_or_else(|| {
                    let by_node = recipients(members.iter(), routes);
                    (members, by_node)
                }));
                for (node, recipients) in recipients.iter() {
                    let entry = StreamEntry::Event {
                        conversation_id: head.conversation_id.clone(),
                        seq: head.seq,
                        event_type: head.event_type,
                        subject: head.subject.clone(),
                        recipients: recipients.clone(),
                        payload: payload.clone(),
                        traceparent: trace,
                        broadcast,
                    };
                    entries.push((node.clone(), Arc::new(entry)));
                }
            }
            Resolved::Room(record) => records.push(record),
            Resolved::Direct { user, payload } => {
                for (node, recipients) in recipients([&user], routes) {
                    entries.push((node, Arc::new(StreamEntry::Direct { recipients, payload: payload.clone() })));
                }
            }
            Resolved::Typing { conversation, payload, members, typist } => {
                for (node, recipients) in recipients(members.iter().filter(|user| **user != typist), routes) {
                    let (conversation_id, payload) = (conversation.clone(), payload.clone());
                    let conversation_id = Some(conversation_id);
                    entries.push((node, Arc::new(StreamEntry::Ephemeral { conversation_id, recipients, payload })));
                }
            }
        }
    }
    Plan { entries, rooms, records }
}

/// Which of the users each gateway holds.
pub(crate) fn recipients<'a>(
    users: impl IntoIterator<Item = &'a UserId>,
    routes: &Routes,
) -> BTreeMap<Node, Recipients> {
    let mut by_node: BTreeMap<&Node, Vec<&UserId>> = BTreeMap::new();
    for user in users {
        for node in routes.get(user).into_iter().flatten() {
            by_node.entry(node).or_default().push(user);
        }
    }
    by_node.into_iter().map(|(node, users)| (node.clone(), Recipients::new(users))).collect()
}

#[cfg(test)]
mod tests {
    use chatcluster_contracts::{event::EventType, seq::Seq};

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn node(name: &str) -> Node {
        Node::parse(name).unwrap()
    }

    fn routes(pairs: &[(&str, &[&str])]) -> Routes {
        pairs.iter().map(|(name, nodes)| (user(name), nodes.iter().map(|name| node(name)).collect())).collect()
    }

    fn event(seq: u64, members: &MemberList) -> Resolved {
        let conversation_id = ConversationId::parse("c").unwrap();
        let head = EventHead { event_type: EventType::Message, conversation_id, seq: Seq::new(seq), subject: None };
        let audience = Audience::Members(Arc::clone(members));
        Resolved::Event { head, payload: Bytes::from_static(b"{}"), trace: None, audience }
    }

    fn shown(entries: &[(Node, Arc<StreamEntry>)]) -> Vec<String> {
        let names = |recipients: &Recipients| recipients.iter().collect::<Vec<_>>().join("+");
        entries
            .iter()
            .map(|(node, entry)| match &**entry {
                StreamEntry::Event { seq, recipients, .. } => format!("{node} {seq} {}", names(recipients)),
                StreamEntry::Direct { recipients, .. } | StreamEntry::Ephemeral { recipients, .. } => {
                    format!("{node} {}", names(recipients))
                }
                StreamEntry::Digest { .. } => unreachable!("plans hold no digests"),
            })
            .collect()
    }

    #[test]
    fn one_entry_a_gateway_however_many_members_it_holds() {
        let members: MemberList = ["ann", "bob", "cem", "dan"].map(user).into();
        let routes = routes(&[("ann", &["g1"]), ("bob", &["g1", "g2"]), ("cem", &["g2"])]);
        let planned = plan(vec![event(1, &members), event(2, &members)], &routes);
        assert!(planned.rooms.is_empty());
        assert_eq!(shown(&planned.entries), ["g1 1 ann+bob", "g2 1 bob+cem", "g1 2 ann+bob", "g2 2 bob+cem"]);
    }

    #[test]
    fn nobody_connected_means_nothing_to_write() {
        let members: MemberList = ["ann"].map(user).into();
        assert!(plan(vec![event(1, &members)], &Routes::new()).entries.is_empty());
    }

    #[test]
    fn a_room_hears_it_once_and_those_are_told_who_may_not_listen_yet() {
        let Resolved::Event { head, payload, trace, .. } = event(7, &[].into()) else { unreachable!() };
        let audience = Audience::Room { tell: ["ann", "bob"].map(user).into() };
        let work = Resolved::Event { head, payload, trace, audience };
        let planned = plan(vec![work], &routes(&[("ann", &["g1"])]));
        assert_eq!(shown(&planned.entries), ["g1 7 ann"]);
        assert!(matches!(&*planned.entries[0].1, StreamEntry::Event { broadcast: true, .. }));
        let [(room, RoomMessage::Event { seq, .. })] = &planned.rooms[..] else { panic!("{:?}", planned.rooms) };
        assert_eq!((room.as_str(), *seq), ("c", Seq::new(7)));
    }

    #[test]
    fn the_typist_is_not_told() {
        let members: MemberList = ["ann", "bob"].map(user).into();
        let work = Resolved::Typing {
            conversation: ConversationId::parse("c").unwrap(),
            payload: Bytes::new(),
            members,
            typist: user("ann"),
        };
        let planned = plan(vec![work], &routes(&[("ann", &["g1"]), ("bob", &["g1"])]));
        assert_eq!(shown(&planned.entries), ["g1 bob"]);
    }
}
