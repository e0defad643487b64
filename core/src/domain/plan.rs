//! Decides what becomes of a batch of sends, given what the database says while the conversations are locked.

use std::collections::{BTreeMap, HashMap, HashSet};

use chatcluster_contracts::{
    ids::{ClientMsgId, ConversationId, MessageId, UserId, WorkspaceId},
    problem::{Code, Problem},
    seq::Seq,
};
use jiff::Timestamp;

use super::message::{NewMessage, Stored};

/// A locked conversation row.
#[derive(Debug, Clone)]
pub struct Locked {
    pub workspace_id: WorkspaceId,
    pub last_seq: Seq,
}

/// A message stored earlier under the same (sender, client message id).
#[derive(Debug, Clone)]
pub struct Known {
    pub stored: Stored,
    pub content: String,
}

/// What the database says about a batch.
#[derive(Debug, Default)]
pub struct Facts {
    pub conversations: HashMap<ConversationId, Locked>,
    pub members: HashSet<(ConversationId, UserId)>,
    pub known: HashMap<(UserId, ClientMsgId), Known>,
    /// Where the messages named as thread roots are.
    pub roots: HashMap<MessageId, ConversationId>,
}

/// What is to be done and answered.
#[derive(Debug, Default)]
pub struct Plan {
    /// In the order of the sends.
    pub outcomes: Vec<Result<Stored, Problem>>,
    /// Index of the send and its place in the log; seqs grow per conversation.
    pub appended: Vec<(usize, Stored)>,
    /// The new `last_seq` of every conversation that gets something.
    pub heads: BTreeMap<ConversationId, Seq>,
}

/// One pass over the sends in queue order: each is a repeat, refused, or gets the next seq of its conversation.
pub fn plan(sends: &[NewMessage], mut facts: Facts, now: Timestamp, mut new_id: impl FnMut() -> MessageId) -> Plan {
    let mut plan = Plan::default();
    for (index, send) in sends.iter().enumerate() {
        let key = (send.sender_id.clone(), send.client_msg_id.clone());
        let outcome = match facts.known.get(&key) {
            Some(known) => repeat(send, known),
            None => admit(send, &facts).map(|last_seq| Stored {
                message_id: new_id(),
                conversation_id: send.conversation_id.clone(),
                seq: last_seq.next(),
                created_at: now,
                repeated: false,
            }),
        };
        if let Ok(stored) = &outcome
            && !stored.repeated
        {
            if let Some(locked) = facts.conversations.get_mut(&send.conversation_id) {
                locked.last_seq = stored.seq;
            }
            facts.roots.insert(stored.message_id.clone(), send.conversation_id.clone());
            facts.known.insert(key, Known { stored: stored.clone(), content: send.content.as_str().to_owned() });
            plan.heads.insert(send.conversation_id.clone(), stored.seq);
            plan.appended.push((index, stored.clone()));
        }
        plan.outcomes.push(outcome);
    }
    plan
}

/// The first result again, or a refusal when the id was used for something else.
pub fn repeat(send: &NewMessage, known: &Known) -> Result<Stored, Problem> {
    if known.stored.conversation_id != send.conversation_id || known.content != send.content.as_str() {
        let detail = "this clientMsgId was used before for another message";
        return Err(Problem::new(Code::ClientMsgIdReused, detail));
    }
    Ok(Stored { repeated: true, ..known.stored.clone() })
}

fn admit(send: &NewMessage, facts: &Facts) -> Result<Seq, Problem> {
    let locked = facts
        .conversations
        .get(&send.conversation_id)
        .filter(|locked| locked.workspace_id == send.workspace_id)
        .ok_or_else(|| Problem::new(Code::UnknownConversation, "there is no such conversation"))?;
    if !facts.members.contains(&(send.conversation_id.clone(), send.sender_id.clone())) {
        return Err(Problem::new(Code::NotAMember, "only members send to a conversation"));
    }
    match &send.thread_root_id {
        Some(root) if facts.roots.get(root) != Some(&send.conversation_id) => {
            Err(Problem::new(Code::UnknownMessage, "threadRootId names no message of this conversation"))
        }
        _ => Ok(locked.last_seq),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::Content;

    fn send(sender: &str, conversation: &str, client_msg_id: &str, content: &str) -> NewMessage {
        NewMessage {
            sender_id: UserId::parse(sender).unwrap(),
            workspace_id: WorkspaceId::default(),
            conversation_id: ConversationId::parse(conversation).unwrap(),
            client_msg_id: ClientMsgId::parse(client_msg_id).unwrap(),
            content: Content::parse(content.into()).unwrap(),
            thread_root_id: None,
            attachment_ids: Vec::new(),
            trace: None,
        }
    }

    fn facts() -> Facts {
        let id = |text| ConversationId::parse(text).unwrap();
        let locked = |seq| Locked { workspace_id: WorkspaceId::default(), last_seq: Seq::new(seq) };
        Facts {
            conversations: [(id("c1"), locked(7)), (id("c2"), locked(0))].into(),
            members: [(id("c1"), UserId::parse("ann").unwrap()), (id("c2"), UserId::parse("ann").unwrap())].into(),
            ..Facts::default()
        }
    }

    fn run(sends: &[NewMessage], facts: Facts) -> Plan {
        let mut count = 0;
        plan(sends, facts, Timestamp::UNIX_EPOCH, || {
            count += 1;
            MessageId::parse(&format!("m{count}")).unwrap()
        })
    }

    fn codes(plan: &Plan) -> Vec<Result<u64, Code>> {
        plan.outcomes.iter().map(|o| o.as_ref().map(|s| s.seq.get()).map_err(|p| p.code)).collect()
    }

    #[test]
    fn a_refused_send_takes_no_seq_and_the_others_go_on() {
        let sends = [
            send("ann", "c1", "1", "a"),
            send("bob", "c1", "1", "b"),
            send("ann", "c2", "2", "c"),
            send("ann", "c3", "3", "d"),
            send("ann", "c1", "4", "e"),
        ];
        let plan = run(&sends, facts());
        assert_eq!(codes(&plan), [Ok(8), Err(Code::NotAMember), Ok(1), Err(Code::UnknownConversation), Ok(9)]);
        assert_eq!(plan.heads.values().map(|seq| seq.get()).collect::<Vec<_>>(), [9, 1]);
        assert_eq!(plan.appended.len(), 3);
    }

    #[test]
    fn a_repeat_within_the_batch_gets_the_first_result() {
        let sends = [send("ann", "c1", "1", "a"), send("ann", "c1", "1", "a"), send("ann", "c1", "1", "other")];
        let plan = run(&sends, facts());
        assert_eq!(codes(&plan), [Ok(8), Ok(8), Err(Code::ClientMsgIdReused)]);
        assert!(plan.outcomes[1].as_ref().unwrap().repeated);
        assert_eq!(plan.appended.len(), 1);
    }

    #[test]
    fn another_workspace_sees_nothing_and_a_thread_needs_its_root() {
        let mut stranger = send("ann", "c1", "1", "a");
        stranger.workspace_id = WorkspaceId::parse("elsewhere").unwrap();
        let mut reply = send("ann", "c1", "2", "b");
        reply.thread_root_id = Some(MessageId::parse("m9").unwrap());
        let plan = run(&[stranger, reply], facts());
        assert_eq!(codes(&plan), [Err(Code::UnknownConversation), Err(Code::UnknownMessage)]);
    }
}
