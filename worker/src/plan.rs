//! Event + members + connections -> what goes to which gateway. Pure.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use chatcluster_contracts::{
    event::EventHead,
    ids::{ConversationId, Node, UserId},
    stream_entry::{Recipients, StreamEntry},
    trace::TraceParent,
};

use crate::resolve::{MemberList, Routes};

/// Work whose recipients are known.
#[derive(Debug, Clone)]
pub enum Resolved {
    Event { head: EventHead, payload: Bytes, trace: Option<TraceParent>, members: MemberList },
    Direct { user: UserId, payload: Bytes },
    Typing { conversation: ConversationId, payload: Bytes, members: MemberList, typist: UserId },
}

impl Resolved {
    /// Everyone meant, connected or not.
    pub fn users(&self) -> &[UserId] {
        match self {
            Self::Event { members, .. } | Self::Typing { members, .. } => members,
            Self::Direct { user, .. } => std::slice::from_ref(user),
        }
    }
}

/// One entry per piece of work and gateway that holds a recipient, in the order of the work.
pub fn plan(work: Vec<Resolved>, routes: &Routes) -> Vec<(Node, Arc<StreamEntry>)> {
    let mut entries = Vec::new();
    // consecutive events of a conversation share their member list, and so their recipients
    let mut last: Option<(MemberList, BTreeMap<Node, Recipients>)> = None;
    for piece in work {
        match piece {
            Resolved::Event { head, payload, trace, members } => {
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
                    };
                    entries.push((node.clone(), Arc::new(entry)));
                }
            }
            Resolved::Direct { user, payload } => {
                for (node, recipients) in recipients([&user], routes) {
                    entries.push((node, Arc::new(StreamEntry::Direct { recipients, payload: payload.clone() })));
                }
            }
            Resolved::Typing { conversation, payload, members, typist } => {
                for (node, recipients) in recipients(members.iter().filter(|user| **user != typist), routes) {
                    let (conversation_id, payload) = (conversation.clone(), payload.clone());
                    entries.push((node, Arc::new(StreamEntry::Ephemeral { conversation_id, recipients, payload })));
                }
            }
        }
    }
    entries
}

fn recipients<'a>(users: impl IntoIterator<Item = &'a UserId>, routes: &Routes) -> BTreeMap<Node, Recipients> {
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
        Resolved::Event { head, payload: Bytes::from_static(b"{}"), trace: None, members: Arc::clone(members) }
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
        let entries = plan(vec![event(1, &members), event(2, &members)], &routes);
        assert_eq!(shown(&entries), ["g1 1 ann+bob", "g2 1 bob+cem", "g1 2 ann+bob", "g2 2 bob+cem"]);
    }

    #[test]
    fn nobody_connected_means_nothing_to_write() {
        let members: MemberList = ["ann"].map(user).into();
        assert!(plan(vec![event(1, &members)], &Routes::new()).is_empty());
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
        assert_eq!(shown(&plan(vec![work], &routes(&[("ann", &["g1"]), ("bob", &["g1"])]))), ["g1 bob"]);
    }
}
